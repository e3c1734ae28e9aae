"""The FGNET Talking Face video: one person talking for 5,000 frames, 68 points in FGNET's order. For tests only."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError, did_you_mean
from ..sample import Sample, check_count
from .pts import read_pts

VIDEO, FOLDER = "franck.webm", "talking_face"
FRAMES = 4998
BROKEN = (3977,)
"""Frames whose annotation has slipped from the face."""
PARTS: dict[str, int] = {"test": FRAMES - len(BROKEN), "all": FRAMES}


def is_talking_face(path: Path) -> bool:
    """Whether `path` is called as the video or one of its frames, or lies in its folder or just below.

    What is to test on may not be learnt from.
    """
    around = {re.sub(r"[^a-z]", "", part.lower()) for part in path.resolve().parts[-3:-1]}
    return "talkingface" in around or bool(re.fullmatch(r"franck(_\d+)?", path.stem.lower()))


def read_talking_face(root: Path, part: str) -> list[Sample]:
    """The frames of the video below `root`, fgnet68; "test" leaves out the broken one.

    The points of points/franck_<frame>.pts are those of the 720 x 576 original: halved and moved right by 4 pixels,
    without the shift from 1-based, they lie on the 360 x 288 video.
    Raises: DataError for an unknown part, a missing video or a broken file.
    """
    if part not in PARTS:
        raise DataError(f"Talking Face has no part {part!r}; {did_you_mean(part, PARTS)}")
    video = root / VIDEO
    if not video.is_file():
        raise DataError(f"{video}: absent; wanted the video beside its folder points")
    samples = []
    for path in sorted((root / "points").glob("franck_*.pts")):
        frame = int(path.stem.rpartition("_")[2])
        if frame >= FRAMES or (part == "test" and frame in BROKEN):
            continue
        landmarks = (read_pts(path) + 1.0) / 2 + np.array([4.0, 0.0])
        name = f"{VIDEO}#{frame:05d}"
        samples.append(
            Sample(video, landmarks, "fgnet68", name, subset="test", frame=frame, photo=FOLDER)
        )
    return samples


def missing_talking_face(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"Talking Face {part}")
