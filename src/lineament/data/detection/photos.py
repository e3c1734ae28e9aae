"""Photos for the face detector: detection/annotations.json, and landmark sets with one face each.

Boxes of every source are brought to the tight box of the 68 landmarks.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError, did_you_mean
from ...geometry import Array, as_boxes, inset_boxes
from ..readers.pts import read_pts_folder
from ..readers.w300 import read_300w
from ..sample import Sample, in_validation

NO_FACE = ("background", "objects", "pets")
"""Kinds of photos without a face."""
INSETS = {
    "wider": (0.01, 0.26, 0.01, 0.0),
    "masks": (0.0, 0.09, 0.02, 0.02),
} | dict.fromkeys(NO_FACE, (0.0, 0.0, 0.0, 0.0))
"""Insets left, top, right, bottom from a set's box to the landmark box, in sides of its box.

Fitted on the training photos through BlazeFace: its boxes against the landmark boxes of 300W train,
then against the boxes of each set. Medians: wider .012 .274 .008 -.006, masks .005 .088 .042 .077,
rounded and made nearly symmetrical. At the bottom of masks BlazeFace stops at the mask, so the chin
was estimated by eye.
"""

KINDS = (*INSETS, "landmarks")


@dataclass(frozen=True, eq=False)
class Photo:
    """One image with every face that is labeled in it."""

    image: Path
    """The file."""
    kind: str
    """landmarks (one face labeled, others unknown), or a key of INSETS (all faces labeled)."""
    boxes: Array
    """(F, 4), the tight boxes, pixels."""
    name: str
    """The photo's name, which decides about validation."""
    landmarks: Array | None = None
    """(68, 2) of the one face, pixels; only of kind landmarks."""
    given_heights: Array | None = None
    """(F,) pixels, heights of the boxes before INSETS; None if they were tight."""

    def is_validation(self) -> bool:
        """Return True if the photo is for validation, not for training."""
        return in_validation(self.name)

    def has_no_face(self) -> bool:
        """Return True for kinds without a face."""
        return self.kind in NO_FACE

    def roll_deg(self) -> Array:
        """Return the roll of each face (F,); 0 without landmarks, since such photos are upright."""
        if self.landmarks is None:
            return np.zeros(len(self.boxes))
        return np.array([eye_roll_deg(self.landmarks)])


def eye_roll_deg(landmarks: Array) -> float:
    """Return the roll of the line between the eyes of ibug68 `landmarks` (68, 2)."""
    x, y = landmarks[42:48].mean(0) - landmarks[36:42].mean(0)
    return float(np.rad2deg(np.arctan2(y, x)))


def read_detection(root: Path) -> list[Photo]:
    """Read the photos of `root/annotations.json`: {"images": [{"file", "boxes_xyxy"}]}.

    Raises: DataError: If the file is missing or broken, or a folder is of no known kind.
    """
    path = root / "annotations.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["images"]
        rows = [(str(entry["file"]), entry["boxes_xyxy"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        wanted = 'wanted {"images": [{"file": ..., "boxes_xyxy": [[x0, y0, x1, y1]]}]}'
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); {wanted}"
        ) from error
    photos = []
    for file, given in rows:
        # the first folder is the kind
        kind = file.split("/")[0]
        if kind not in INSETS:
            kinds = ", ".join(INSETS)
            raise DataError(
                f"{path}: {file} is of no known kind; wanted a folder of {kinds}"
            )
        boxes = as_boxes([box for box in given if box[2] > box[0] and box[3] > box[1]])
        heights = boxes[:, 3] - boxes[:, 1]
        tight = inset_boxes(boxes, INSETS[kind])
        photos.append(
            Photo(root / file, kind, tight, Path(file).stem, given_heights=heights)
        )
    return photos


def photo_of_sample(sample: Sample) -> Photo:
    """Return the photo of one face with 68 landmarks."""
    return Photo(
        image=sample.image,
        kind="landmarks",
        boxes=sample.face_box()[None],
        name=sample.group or sample.image.stem,
        landmarks=sample.landmarks,
    )


def read_detector_photos(root: Path, kinds: Iterable[str] = KINDS) -> list[Photo]:
    """Read the photos of `kinds` below the data folder `root`: training and validation, no tests.

    Raises: DataError: If a data set that these kinds need is missing.
    """
    wanted = set(kinds)
    unknown = sorted(wanted - set(KINDS))
    if unknown:
        raise DataError(
            f"no kind of photo {unknown[0]!r}; {did_you_mean(unknown[0], KINDS)}"
        )
    photos: list[Photo] = []
    if wanted & set(INSETS):
        for photo in read_detection(root / "detection"):
            if photo.kind in wanted:
                photos.append(photo)
    if "landmarks" in wanted:
        samples = read_300w(root / "300w", "train")
        samples += read_pts_folder(root / "infanface", "ibug68", "train")
        photos += [photo_of_sample(sample) for sample in samples]
    return photos
