"""Further crops of each face after the first: around its landmarks, or at other angles."""

from collections.abc import Callable, Sequence

from ..estimator import CropRequest
from ..geometry import Array, box_side, landmark_box
from .box_shape import BoxShape
from .face_landmarks import FaceLandmarks, keep_better
from .recrop import RecropPolicy, crop_around


class CropSearch:
    """Runs a model on further crops of faces and keeps the best result of each face.

    Args:
        run_model: Runs the model on some crops.
        requests: First crop of each face.
        best: Results of the first crops; better ones replace them, in place.
        policy: When to try which crops.
        box_shape: Maps landmarks to the points that define a crop.
        shapes: Height and width of each image.
    """

    def __init__(
        self,
        run_model: Callable[[list[CropRequest]], FaceLandmarks],
        requests: Sequence[CropRequest],
        best: FaceLandmarks,
        policy: RecropPolicy,
        box_shape: BoxShape,
        shapes: Sequence[tuple[int, ...]],
    ) -> None:
        self.run_model, self.requests, self.best = run_model, requests, best
        self.policy, self.box_shape, self.shapes = policy, box_shape, shapes

    def run(self) -> None:
        """Try further crops of all faces that need them."""
        crops = self._second_crops()
        self._try_upside_down(crops)
        self._keep_better(crops)
        # after trying several angles, crop once more around the best landmarks
        last = {}
        for row in crops:
            landmarks = self.best.landmarks[row]
            if len(crops[row]) > 1 and box_side(landmark_box(landmarks)):
                points, image = (
                    self.box_shape.points(landmarks),
                    self.requests[row].image,
                )
                last[row] = [crop_around(image, points, self.box_shape.mean)]
        self._keep_better(last)

    def _second_crops(self) -> dict[int, list[CropRequest]]:
        """Return the crops to try for each face, by row; none for a box without a face."""
        crops = {}
        for row, first in enumerate(self.requests):
            presence = self.best.presence[row]
            if (
                first.is_roll_known and presence < self.policy.min_presence
            ):  # not for nan
                continue
            points = self.box_shape.points(self.best.landmarks[row])
            scores, mean = self.best.scores[row], self.box_shape.mean
            crops[row] = self.policy.second_crops(first, points, scores, mean)
        return crops

    def _try_upside_down(self, crops: dict[int, list[CropRequest]]) -> None:
        """Try the first of several crops of faces with a low presence.

        If its presence is low as well, the other crops are dropped from `crops`.
        """
        doubtful = {}
        for row in crops:
            is_low = self.best.presence[row] < self.policy.low_presence
            if self.requests[row].is_roll_known and is_low and len(crops[row]) > 1:
                doubtful[row] = [crops[row].pop(0)]
        presence = self._keep_better(doubtful)
        for row in doubtful:
            if presence[row] < self.policy.min_presence_upside_down:
                del crops[row]

    def _keep_better(self, crops: dict[int, list[CropRequest]]) -> dict[int, float]:
        """Run crops, keep better results; return the presence in each face's last crop."""
        rows = [row for row in crops for _ in crops[row]]
        if not rows:
            return {}
        found = self.run_model([crop for row in crops for crop in crops[row]])
        keep_better(self.best, rows, found, self._penalty)
        return dict(zip(rows, found.presence.tolist(), strict=True))

    def _penalty(self, row: int, landmarks: Array) -> float:
        first, points = self.requests[row], self.box_shape.points(landmarks)
        shape = self.shapes[first.image]
        return self.policy.roll_penalty(first, points, self.box_shape.mean, shape)
