"""FGNET's Talking Face video: one person in 5,000 frames, 68 points; for testing only."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..sample import Sample
from .pts import read_pts

VIDEO, FOLDER = "franck.webm", "talking_face"
FRAMES = 4998
BROKEN = (3977,)
"""Frames with an annotation that is not on the face."""
PARTS: dict[str, int] = {"test": FRAMES - len(BROKEN), "all": FRAMES}


def is_talking_face(path: Path) -> bool:
    """Return True if the name of `path` or its folders suggests this video, a test set."""
    for folder in path.resolve().parts[-3:-1]:
        if re.sub(r"[^a-z]", "", folder.lower()) == "talkingface":
            return True
    return bool(re.fullmatch(r"franck(_\d+)?", path.stem.lower()))


def read_talking_face(root: Path, part: str) -> list[Sample]:
    """Read the frames of the video, fgnet68; "test" excludes the badly annotated one.

    The points refer to the 720 x 576 original. Halved and shifted right by 4 pixels, without
    correcting for 1-based pixels, they match the 360 x 288 video.
    """
    video = root / VIDEO
    if not video.is_file():
        raise DataError(
            f"{video}: not found; expected the video next to its folder points"
        )
    samples = []
    for path in sorted((root / "points").glob("franck_*.pts")):
        frame = int(path.stem.rpartition("_")[2])
        if frame >= FRAMES or (part == "test" and frame in BROKEN):
            continue
        landmarks = (read_pts(path) + 1.0) / 2 + np.array([4.0, 0.0])
        name = f"{VIDEO}#{frame:05d}"
        samples.append(
            Sample(
                video,
                landmarks,
                "fgnet68",
                name,
                subset="test",
                frame=frame,
                group=FOLDER,
            )
        )
    return samples
