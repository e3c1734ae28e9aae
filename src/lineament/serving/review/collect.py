"""Collect the faces of a review from images, results or annotated samples, with predictions.

Depends on the predictor.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...data.box_noise import shift_box
from ...data.label_files import box_of, occluded_points
from ...data.sample import Sample, iter_images
from ...errors import DataError, InputError
from ...face import Face
from ...geometry import Array, Image
from ...inference.predictor import Predictor
from ...io.formats import faces_from_dict
from ...io.image import read_image
from ...io.input_images import FailedInput, InputImage, predict_images
from ...io.result_folder import SETTINGS
from ...labeling.pseudo_labels import BOX_MOVES
from .candidate import Candidate

Step = Callable[[], None]


@dataclass(frozen=True)
class Comparison:
    """The models whose predictions are compared with the landmarks under review."""

    model: Predictor | None = None
    """Model that also predicts annotated faces; None: no suitable model."""
    second: Predictor | None = None
    """Second model, for comparison."""
    spread: bool = False
    """True if faces are also predicted from shifted boxes."""

    def add_to(self, face: Candidate, image: Image, box: Array) -> Candidate:
        """Return the face with these predictions added.

        Args:
            face: Candidate.
            image: RGB (H, W, 3).
            box: (4,), the tight box of its landmarks.
        """
        if self.model is not None and face.annotated:
            found = self.model(image, box)[0]
            face = replace(face, predicted=found.landmarks, sigma_px=found.sigma_px)
        if self.model is not None and self.spread:
            moved = self.model(image, [shift_box(box, *move) for move in BOX_MOVES])
            _check_points(face, moved.scheme, moved.landmarks)
            spread = np.sqrt(moved.landmarks.var(0).sum(-1))
            face = replace(face, spread_px=spread)
        if self.second is not None:
            other = self.second(image, box)
            _check_points(face, other.scheme, other.landmarks)
            face = replace(face, second=other[0].landmarks)
        return face


def _check_points(face: Candidate, scheme: str, landmarks: Array) -> None:
    if landmarks.shape[1:] != face.landmarks.shape:
        raise DataError(
            f"faces of {face.scheme} cannot be compared with {scheme}; add --scheme "
            f"{face.scheme}, or choose another order"
        )


def candidates_of_images(
    predictor: Predictor,
    images: Sequence[InputImage],
    comparison: Comparison,
    step: Step = lambda: None,
) -> tuple[list[Candidate], list[FailedInput]]:
    """Return the faces that a model finds in images, and the images that cannot be read."""
    found: list[Candidate] = []
    failures = []
    for image, pixels, faces in predict_images(predictor, images):
        step()
        if isinstance(faces, InputError):
            failures.append(FailedInput(str(image.path), str(faces)))
            continue
        assert pixels is not None
        size = (pixels.shape[1], pixels.shape[0])
        for face in faces:
            candidate = _to_candidate(image.path, size, face)
            found.append(comparison.add_to(candidate, pixels, face.box))
    return found, failures


def _to_candidate(image: Path, size: tuple[int, int], face: Face) -> Candidate:
    return Candidate(
        image=image,
        image_size=size,
        scheme=face.scheme,
        box=face.box,
        landmarks=face.landmarks,
        occluded=face.occluded,
        sigma_px=face.sigma_px,
        predicted=face.landmarks,
    )


def is_result_folder(path: Path) -> bool:
    """Return True if the folder was written by `lineament detect --out`."""
    return (path / SETTINGS).is_file()


def candidates_of_results(
    folder: Path, comparison: Comparison, step: Step = lambda: None
) -> list[Candidate]:
    """Return the faces in a folder written by `lineament detect --out`.

    Raises:
        DataError: If a record is broken, an image is missing, or there are no faces.
    """
    found: list[Candidate] = []
    for path in sorted(folder.rglob("*.json")):
        step()
        if path.name == SETTINGS:
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            faces = faces_from_dict(record)
            image = Path(str(record["image"]))
        except (OSError, ValueError, KeyError, AttributeError):
            continue  # an export, such as faces.coco.json
        if not len(faces):
            continue
        if not image.is_file():
            raise DataError(
                f"{path}: its image {image} is missing; start the review in the folder "
                "where lineament detect ran"
            )
        pixels = read_image(image)
        size = (pixels.shape[1], pixels.shape[0])
        for face in faces:
            candidate = _to_candidate(image, size, face)
            found.append(comparison.add_to(candidate, pixels, face.box))
    if not found:
        raise DataError(f"{folder}: no results with a face; run lineament detect first")
    return found


def candidates_of_samples(
    samples: Iterable[Sample], comparison: Comparison, step: Step = lambda: None
) -> Iterator[Candidate]:
    """Yield a candidate per annotated face.

    Raises:
        ImageError: If an image cannot be read.
        DataError: If a sample is a video frame.
    """
    for sample, pixels in iter_images(samples):
        step()
        if sample.frame is not None:
            raise DataError(
                f"{sample.name} is a frame of {sample.image.name}; "
                "expected faces in image files"
            )
        unknown = np.full(sample.landmarks.shape, np.nan)
        candidate = Candidate(
            image=sample.image,
            image_size=(pixels.shape[1], pixels.shape[0]),
            scheme=sample.scheme,
            box=box_of(sample),
            landmarks=sample.landmarks,
            occluded=occluded_points(sample),
            sigma_px=unknown[:, 0],
            predicted=unknown,
            annotated=True,
        )
        yield comparison.add_to(candidate, pixels, sample.face_box())
