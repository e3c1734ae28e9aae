"""300VW (Shen et al. 2015): 114 videos with 68 points per frame."""

from pathlib import Path

from ...errors import DataError
from ..sample import Sample
from .pts import read_pts

CATEGORIES: dict[str, tuple[int, ...]] = {
    "1": (114, 124, 125, 126, 150, 158, 401, 402, 505, 506, 507, 508, 509, 510, 511, 514,
          515, 518, 519, 520, 521, 522, 524, 525, 537, 538, 540, 541, 546, 547, 548),
    "2": (203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412,
          550, 551, 553),
    "3": (410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562),
}  # fmt: skip
"""Test categories: well lit, unconstrained lighting, in the wild."""
PARTS: dict[str, int] = {"train": 50, "test": 64, "1": 31, "2": 19, "3": 14}
"""Official numbers of videos per part."""
INNER = "300VW_Dataset_2015_12_14"


def read_300vw(root: Path, part: str) -> list[Sample]:
    """Read the annotated frames of all available videos in one part, ibug68."""
    if (root / INNER).is_dir():
        root = root / INNER
    samples: list[Sample] = []
    for video in sorted(root.glob("[0-9][0-9][0-9]/vid.avi")):
        category = _category(int(video.parent.name))
        if part == category or (part == "test" and category != "train"):
            samples += _read_frames(root, video, category)
    return samples


def _category(video: int) -> str:
    for category, videos in CATEGORIES.items():
        if video in videos:
            return category
    return "train"


def _read_frames(root: Path, video: Path, category: str) -> list[Sample]:
    annotations = sorted(video.parent.glob("annot/*.pts"))
    if not annotations:
        raise DataError(
            f"{video.parent}/annot: no .pts files; expected one per frame of vid.avi"
        )
    samples = []
    for path in annotations:
        samples.append(
            Sample(
                image=video,
                landmarks=read_pts(path),
                scheme="ibug68",
                name=f"{video.relative_to(root).as_posix()}#{path.stem}",
                subset=category,
                frame=int(path.stem) - 1,
                group=f"300vw_{video.parent.name}",
            )
        )
    return samples
