"""Photos for the face detector: detection/annotations.json, and the landmark sets with their one labeled face a photo.

Boxes of every source are brought to the tight box of the 68 landmarks.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array, as_boxes
from ..readers.pts import read_pts_folder
from ..readers.w300 import read_300w
from ..sample import Sample, in_validation

TO_TIGHT = {
    "wider": (0.01, 0.26, 0.01, 0.0),
    "masks": (0.0, 0.09, 0.02, 0.02),
    "background": (0.0, 0.0, 0.0, 0.0),
}
"""Insets left, top, right, bottom from a set's box to the landmark box, in sides of its box.

Fitted on the training photos through BlazeFace: its boxes against the landmark boxes of 300W train, then against the
boxes of each set (medians: wider .012 .274 .008 -.006, masks .005 .088 .042 .077, rounded and made nearly symmetrical;
at the bottom of masks BlazeFace stops at the mask, so the chin was read off by eye).
"""


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture with every face that is labeled in it."""

    image: Path
    """The file."""
    kind: str
    """wider, masks, background (all faces labeled) or landmarks (one face labeled, others unknown)."""
    boxes: Array
    """(F, 4), the tight boxes, pixels."""
    photo: str
    """The photo's name, on which validation is decided."""
    landmarks: Array | None = None
    """(68, 2) of the one face, pixels; only of kind landmarks."""
    heights: Array | None = None
    """(F,) heights in pixels of the boxes as the set gives them; None where they are the tight ones."""

    def is_validation(self) -> bool:
        """Whether the photo is held back for choosing."""
        return in_validation(self.photo)

    def roll_deg(self) -> Array:
        """(F,) how far each face is turned; 0 where nobody says, for those photos show people upright."""
        if self.landmarks is None:
            return np.zeros(len(self.boxes))
        return np.array([eye_roll_deg(self.landmarks)])


def eye_roll_deg(landmarks: Array) -> float:
    """The roll of a face from the line between its eyes; landmarks: (68, 2) ibug68."""
    x, y = landmarks[42:48].mean(0) - landmarks[36:42].mean(0)
    return float(np.rad2deg(np.arctan2(y, x)))


def inset(boxes: Array, insets: tuple[float, float, float, float]) -> Array:
    """`boxes` (F, 4) with each end moved inwards by a share of the box: left, top, right, bottom."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved: Array = boxes + size * np.array([insets[0], insets[1], -insets[2], -insets[3]])
    return moved


def read_detection(root: Path) -> list[Photo]:
    """The photos of `root/annotations.json`: {"images": [{"file", "boxes_xyxy"}]}.

    The kind is the first folder of the file.    Raises: DataError where the file is absent or broken.
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
        kind = file.split("/")[0]
        if kind not in TO_TIGHT:
            raise DataError(
                f"{path}: {file} is of no known kind; wanted a folder of " + ", ".join(TO_TIGHT)
            )
        boxes = as_boxes([box for box in given if box[2] > box[0] and box[3] > box[1]])
        heights = boxes[:, 3] - boxes[:, 1]
        photos.append(
            Photo(root / file, kind, inset(boxes, TO_TIGHT[kind]), Path(file).stem, heights=heights)
        )
    return photos


def photo_of_sample(sample: Sample) -> Photo:
    """The photo of one face with 68 landmarks."""
    return Photo(
        image=sample.image,
        kind="landmarks",
        boxes=sample.face_box()[None],
        photo=sample.group or sample.image.stem,
        landmarks=sample.landmarks,
    )


def read_detector_photos(root: Path) -> list[Photo]:
    """Everything the detector may learn from or be chosen on, below the data folder `root`: never 300W's tests."""
    samples = read_300w(root / "300w", "train") + read_pts_folder(
        root / "infanface", "ibug68", "train"
    )
    return read_detection(root / "detection") + [photo_of_sample(sample) for sample in samples]
