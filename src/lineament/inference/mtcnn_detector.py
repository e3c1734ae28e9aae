"""MTCNN as a face detector."""

from os import PathLike
from pathlib import Path

from ..geometry import Image
from .detections import Detections, check_image, empty_detections
from .min_face import parse_min_face
from .model_files import read_card
from .mtcnn_model import MtcnnFile
from .nms import drop_nested
from .window_cascade import WindowCascade

MIN_FACE_PX = 20.0
"""Default smallest face, pixels of an image whose longer side is at most LARGEST_SIDE."""
LARGEST_SIDE = 1024
"""Longer side up to which an image is searched at its own size by default, pixels."""


class MtcnnDetector:
    """Detect faces with MTCNN. Thread-safe and deterministic."""

    scheme = "five"

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        threshold: float | None = None,
        min_face: float | str | None = None,
        threads: int = 1,
    ) -> None:
        """Open a file of `lineament export`.

        Args:
            path: The .onnx file.
            threshold: Minimum score of a face; None: the file's.
            min_face: Smallest face to find, as the longer side of its tight box: above 1 or
                "40px" in pixels of the image, below 1 as a fraction of its longer side; at
                least 6 pixels. The time grows with the square of 1 / min_face. None: 20
                pixels of the image, after shrinking its longer side to at most 1,024 pixels.
            threads: Threads of ONNX Runtime.

        Raises:
            InputError: If `min_face` is not a size.
            ModelError: If the file is missing, broken or of another kind.
        """
        self.min_face = None if min_face is None else parse_min_face(min_face)
        self.path = Path(path)
        self.file = MtcnnFile(self.path, threads)
        self.card = read_card(self.path)
        *earlier, stated = self.file.metadata["min_scores"]
        self.threshold = stated if threshold is None else threshold
        min_scores = (*earlier, self.threshold)
        self.cascade = WindowCascade(self.file.run, self.file.sides, min_scores)

    def __call__(self, image: Image) -> Detections:
        """Detect the faces of an RGB uint8 image (H, W, 3).

        Raises:
            ShapeError: If the image has another type or shape.
        """
        check_image(image)
        if min(image.shape[:2]) == 0:
            return empty_detections(self.scheme)
        return drop_nested(self.cascade(image, self.smallest_px(image.shape)))

    def smallest_px(self, shape: tuple[int, ...]) -> float:
        """Return the side of the smallest face to detect in an image of this `shape`, pixels."""
        longest = max(shape[:2])
        if self.min_face is None:
            return MIN_FACE_PX * max(1.0, longest / LARGEST_SIDE)
        return self.min_face if self.min_face > 1 else self.min_face * longest
