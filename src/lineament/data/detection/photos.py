"""Photos for face detector training, with tight 68-point boxes of all faces or of one face.

Reads detection/annotations.json, landmark sets, unlabeled photos with a box, and video frames.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, did_you_mean
from ...geometry import Array, as_boxes, inset_boxes, iou
from ...io.image import read_image
from ...io.video_reader import VideoReader, read_video_frame
from ...schemes import convert
from ..readers.cfp30 import read_cfp30
from ..readers.mtfl import read_mtfl
from ..readers.pts import read_pts_folder
from ..readers.table import read_table
from ..readers.w300 import read_300w
from ..sample import GROUP_SEPARATOR, Sample, bare_name, in_validation

NO_FACE = ("background", "objects", "pets")
"""Kinds of photos that contain no face."""
INSETS = {
    "wider": (0.01, 0.26, 0.01, 0.0),
    "masks": (0.0, 0.09, 0.02, 0.02),
} | dict.fromkeys(NO_FACE, (0.0, 0.0, 0.0, 0.0))
"""Insets (left, top, right, bottom) from a set's box to the landmark box, in units of the box side.

Medians over the training photos, fitted by way of BlazeFace: its boxes against the landmark
boxes of 300W train, then against the boxes of each set; rounded and made nearly symmetric. On
masked faces BlazeFace ends at the mask, so the chin was estimated by eye.
"""
ONE_FACE: dict[str, Callable[[Path], list[Sample]]] = {
    "landmarks": lambda root: read_300w(root / "300w", "train"),
    "infants": lambda root: read_pts_folder(root / "infanface", "ibug68", "train"),
    "profiles": lambda root: read_cfp30(root / "cfp30", "train"),
    "mtfl": lambda root: read_mtfl(root / "mtfl", "train"),
}
"""Landmark data sets by kind. Only one face per photo is labeled."""
TEST_PHOTOS = ("lfpw/trainset/image_0828", "lfpw/trainset/image_0862")
"""Training photos that are identical to images of the LFPW test set."""
TEACHER_KINDS = ("people", "clips")
"""Kinds whose faces are labeled only by a teacher."""
KINDS = (*INSETS, *ONE_FACE, "unlabelled", *TEACHER_KINDS)
FRAMES_PER_CLIP = 12
SAME_FACE_IOU = 0.35
"""Minimum IoU for assigning five points to a box."""
NEGATIVE_IOU = 0.3
"""Maximum IoU of a negative window with any face."""
SMALLEST_WINDOW_PX = 12.0
"""Side of the smallest window, pixels of the photo."""


@dataclass(frozen=True, eq=False)
class Photo:
    """One image with its labeled faces."""

    image: Path
    """Image file, or the video file that contains the frame."""
    kind: str
    """A key of KINDS."""
    boxes: Array
    """Tight face boxes, (F, 4), pixels."""
    name: str
    """Name of the photo or person; it decides whether the photo is for validation."""
    landmarks: Array | None = None
    """Landmarks (68, 2) of the first face, pixels; None if it does not have 68."""
    given_heights: Array | None = None
    """Heights (F,) of the original boxes before INSETS, pixels; None if they were tight."""
    five: Array | None = None
    """Eyes, nose tip and mouth corners, (F, 5, 2), pixels, nan if unknown; None: all unknown."""
    certain: NDArray[np.bool_] | None = None
    """Mask (F,): False for faces ignored in training and scoring; None: all are certain."""
    frame: int | None = None
    """Frame number if the image is a video frame."""
    all_labeled: bool = True
    """False if the photo may contain faces without a box."""

    def is_validation(self) -> bool:
        """Return True if the photo belongs to the validation set, as its samples do."""
        return in_validation(self.name.partition(GROUP_SEPARATOR)[0])

    def has_no_face(self) -> bool:
        """Return True if the photo is of a kind without faces."""
        return self.kind in NO_FACE

    def read(self) -> NDArray[np.uint8]:
        """Return the image, RGB (H, W, 3).

        Raises:
            ImageError: If it cannot be read.
        """
        if self.frame is not None:
            return read_video_frame(self.image, self.frame)
        return read_image(self.image)

    def five_points(self) -> Array:
        """Return the five points of each face, (F, 5, 2); nan if unknown."""
        if self.five is None:
            return np.full((len(self.boxes), 5, 2), np.nan)
        return self.five

    def is_certain(self) -> NDArray[np.bool_]:
        """Return a mask (F,) that is False for ignored faces."""
        if self.certain is None:
            return np.ones(len(self.boxes), bool)
        return self.certain

    def roll_deg(self) -> Array:
        """Return the roll of each face from its eyes, (F,) degrees; 0 if unknown."""
        x, y = (self.five_points()[:, 1] - self.five_points()[:, 0]).T
        rolls = np.nan_to_num(np.rad2deg(np.arctan2(y, x)))
        if self.landmarks is not None:
            rolls[0] = eye_roll_deg(self.landmarks)
        return np.asarray(rolls, np.float64)


def eye_roll_deg(landmarks: Array) -> float:
    """Return the roll of the line between the eyes of ibug68 `landmarks` (68, 2), degrees."""
    x, y = landmarks[42:48].mean(0) - landmarks[36:42].mean(0)
    return float(np.rad2deg(np.arctan2(y, x)))


def read_detection(root: Path) -> list[Photo]:
    """Read the photos of `root/annotations.json`: {"images": [{"file", "boxes_xyxy"}]}.

    Five points of some faces are read from `root/points5.json` if it exists.

    Raises:
        DataError: If a file is missing or broken, or a folder name is not a known kind.
    """
    path = root / "annotations.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["images"]
        rows = [(str(entry["file"]), entry["boxes_xyxy"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = (
            'expected {"images": [{"file": ..., "boxes_xyxy": [[x0, y0, x1, y1]]}]}'
        )
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); {expected}"
        ) from error
    points = _read_points(root / "points5.json")
    photos = []
    for file, given in rows:
        # the first folder names the kind
        kind = file.split("/")[0]
        if kind not in INSETS:
            kinds = ", ".join(INSETS)
            raise DataError(
                f"{path}: {file} is not in a known folder; expected one of {kinds}"
            )
        boxes = as_boxes([box for box in given if box[2] > box[0] and box[3] > box[1]])
        photos.append(
            Photo(
                root / file,
                kind,
                inset_boxes(boxes, INSETS[kind]),
                Path(file).stem,
                given_heights=boxes[:, 3] - boxes[:, 1],
                five=_points_of_boxes(boxes, points.get(file, [])),
            )
        )
    return photos


def _read_points(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read faces with five points by file: {"box": [4 numbers], "points": [5 pairs]}."""
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(entry["file"]): list(entry["faces"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); "
            'expected [{"file": ..., "faces": [{"box": ..., "points": ...}]}]'
        ) from error


def _points_of_boxes(boxes: Array, faces: list[dict[str, Any]]) -> Array:
    """Return the points (F, 5, 2) of the faces that best match `boxes`."""
    five = np.full((len(boxes), 5, 2), np.nan)
    if not faces or not len(boxes):
        return five
    overlaps = iou(boxes, np.array([face["box"] for face in faces]))
    for face, row in enumerate(overlaps.argmax(0).tolist()):
        if overlaps[row, face] > SAME_FACE_IOU:
            five[row] = faces[face]["points"]
    return five


def photo_from_sample(sample: Sample, kind: str = "landmarks") -> Photo:
    """Return the photo of a face with landmarks; other faces in the photo are not labeled."""
    # profiles keep the reader's box: completing them by a mean face would add the hidden half
    box = sample.box if kind == "profiles" else sample.face_box()
    assert box is not None
    five = sample.landmarks
    if sample.scheme != "five":
        five = convert(sample.landmarks, sample.scheme, "five").points
    complete = sample.scheme == "ibug68" and np.isfinite(sample.landmarks).all()
    return Photo(
        image=sample.image,
        kind=kind,
        boxes=box[None],
        name=sample.group or sample.image.stem,
        landmarks=sample.landmarks if complete else None,
        five=five[None],
        all_labeled=False,
    )


def read_detector_photos(root: Path, kinds: Iterable[str] = KINDS) -> list[Photo]:
    """Read the training and validation photos of `kinds` in the data root, but no test photos.

    Raises:
        DataError: If a required data set is missing, or a kind is unknown.
    """
    unique_kinds = list(dict.fromkeys(kinds))
    for kind in unique_kinds:
        if kind not in KINDS:
            raise DataError(f"no kind of photo {kind!r}; {did_you_mean(kind, KINDS)}")
    photos: list[Photo] = []
    if set(unique_kinds) & set(INSETS):
        for photo in read_detection(root / "detection"):
            if photo.kind in unique_kinds:
                photos.append(photo)
    for kind in unique_kinds:
        if kind in ONE_FACE:
            photos += _read_one_face(root, kind)
        elif kind in FOLDERS:
            photos += FOLDERS[kind](root)
    return photos


def _read_one_face(root: Path, kind: str) -> list[Photo]:
    photos = []
    for sample in ONE_FACE[kind](root):
        if bare_name(sample.name) not in TEST_PHOTOS:
            photos.append(photo_from_sample(sample, kind))
    return photos


def _read_people(root: Path) -> list[Photo]:
    folder = root / "detection" / "people"
    files = sorted(folder.glob("*.jpg"))
    if not files:
        raise DataError(f"{folder}: no .jpg file; expected photos with people")
    return [_unlabeled_photo(file, "people") for file in files]


def _unlabeled_photo(file: Path, kind: str, frame: int | None = None) -> Photo:
    return Photo(
        file, kind, np.zeros((0, 4)), file.stem, frame=frame, all_labeled=False
    )


def _read_clips(root: Path) -> list[Photo]:
    """Read every N-th frame of each clip; the clip name decides about validation."""
    photos = []
    for file in sorted((root / "clips").glob("*.*")):
        with VideoReader(file) as video:
            count = video.frames or 1
        # files often end before the number of frames in their header
        frames = np.unique(
            np.linspace(0, 0.9 * (count - 1), FRAMES_PER_CLIP).astype(int)
        )
        for frame in frames.tolist():
            photos.append(_unlabeled_photo(file, "clips", frame))
    return photos


def _read_unlabelled(root: Path) -> list[Photo]:
    """Read the photos in unlabelled/*.csv: file, x0, y0, x1, y1 of the single labeled face."""
    folder = root / "unlabelled"
    photos = []
    for table in sorted(folder.glob("*.csv")):
        _, rows = read_table(table, ("file", "x0", "y0", "x1", "y1"))
        for row in rows:
            box = np.array([[float(row[key]) for key in ("x0", "y0", "x1", "y1")]])
            file = folder / row["file"]
            photos.append(Photo(file, "unlabelled", box, file.stem, all_labeled=False))
    if not photos:
        raise DataError(
            f"{folder}: no .csv file with boxes; "
            "expected the columns file, x0, y0, x1, y1"
        )
    return photos


FOLDERS: dict[str, Callable[[Path], list[Photo]]] = {
    "people": _read_people,
    "clips": _read_clips,
    "unlabelled": _read_unlabelled,
}
"""Readers for the kinds stored as plain folders."""
