"""300W: 68 points on HELEN, LFPW, AFW, iBUG and the official test set."""

from collections.abc import Callable
from pathlib import Path

from ..sample import Sample, strip_face_number
from .pts import annotated_pts, with_images

PARTS: dict[str, int] = {
    "train": 3148,
    "common": 554,
    "challenging": 135,
    "full": 689,
    "test": 600,
    "test-indoor": 300,
    "test-outdoor": 300,
}
FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("helen/trainset", "lfpw/trainset", "afw"),
    "common": ("helen/testset", "lfpw/testset"),
    "challenging": ("ibug",),
    "full": ("helen/testset", "lfpw/testset", "ibug"),
    "test": ("300W/01_Indoor", "300W/02_Outdoor"),
    "test-indoor": ("300W/01_Indoor",),
    "test-outdoor": ("300W/02_Outdoor",),
}
"""Folders that make up each part."""


def read_300w(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part of 300W, ibug68; skip missing folders."""
    return with_images(annotated_300w(root, part))


def annotated_300w(root: Path, part: str) -> list[Sample]:
    """Read faces like `read_300w`, including those whose image is missing."""
    samples: list[Sample] = []
    for folder in FOLDERS[part]:
        samples += annotated_pts(root, "ibug68", folder, group_in(folder))
    return samples


def group_in(folder: str) -> Callable[[str], str]:
    """Return a function from file stem to photo name, for a folder of 300W."""
    return strip_face_number if folder.startswith(("helen", "afw")) else str
