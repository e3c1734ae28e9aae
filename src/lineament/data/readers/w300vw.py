"""300VW (Shen et al. 2015): 114 videos with 68 points a frame, in three categories of difficulty."""

from pathlib import Path

from ...errors import DataError, did_you_mean
from ..sample import Sample
from .pts import read_pts

CATEGORIES: dict[str, tuple[int, ...]] = {
    "1": (114, 124, 125, 126, 150, 158, 401, 402, 505, 506, 507, 508, 509, 510, 511, 514, 515, 518, 519, 520, 521, 522,
          524, 525, 537, 538, 540, 541, 546, 547, 548),
    "2": (203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412, 550, 551, 553),
    "3": (410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562),
}  # fmt: skip
"""Test videos: well lit, in any light, in the wild."""
PARTS: dict[str, int] = {"train": 50, "test": 64, "1": 31, "2": 19, "3": 14}
"""Official numbers of videos."""
INNER = "300VW_Dataset_2015_12_14"


def read_300vw(root: Path, part: str) -> list[Sample]:
    """The annotated frames of one `part` of 300VW below `root`, ibug68, video by video; only the videos present.

    Layout: <id>/vid.avi and <id>/annot/000001.pts, the first frame's.
    Raises: DataError for an unknown part, a video without annotations or a broken file.
    """
    if part not in PARTS:
        raise DataError(f"300VW has no part {part!r}; {did_you_mean(part, PARTS)}")
    if (root / INNER).is_dir():
        root = root / INNER
    test = {f"{video:03d}": category for category, videos in CATEGORIES.items() for video in videos}
    samples: list[Sample] = []
    for video in sorted(root.glob("[0-9][0-9][0-9]/vid.avi")):
        category = test.get(video.parent.name, "train")
        if part in (category, "test") and (part != "test" or category != "train"):
            samples += _frames(root, video, category)
    return samples


def _frames(root: Path, video: Path, category: str) -> list[Sample]:
    annotations = sorted(video.parent.glob("annot/*.pts"))
    if not annotations:
        raise DataError(
            f"{video.parent}/annot: no .pts files; wanted one for each frame of vid.avi, from 000001.pts"
        )
    return [
        Sample(
            image=video,
            landmarks=read_pts(path),
            scheme="ibug68",
            name=f"{video.relative_to(root).as_posix()}#{path.stem}",
            subset=category,
            frame=int(path.stem) - 1,
            photo=f"300vw_{video.parent.name}",
        )
        for path in annotations
    ]


def missing_300vw(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are of fewer videos than `part` officially has, else an empty text."""
    videos = len({sample.image for sample in samples})
    return (
        ""
        if videos == PARTS[part]
        else f"300VW {part}: {videos} of the official {PARTS[part]} videos are here"
    )
