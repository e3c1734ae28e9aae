"""LFPW (Belhumeur et al. 2011): web photos with 35 points, 29 of which are published."""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import images_by_stem
from ..sample import Sample, numbered_name

PARTS: dict[str, int] = {"train": 1132, "test": 300, "train35": 1132, "test35": 300}
LIST = "kbvt_lfpw_v1_{}.csv"
POINTS = 35
COLUMNS = 2 + 3 * POINTS  # address, worker, and (x, y, flag) per point
PUBLISHED = [*range(28), 34]
"""Indices of the paper's 29 points among the 35: all except those of the ears."""
VISIBLE, CROPPED = 0, 3
"""Point flags; 1 means occluded, 2 turned away."""


def read_lfpw(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part: cofw29, or lfpw35 for "train35" and "test35".

    The list has several rows per photo, each with the photo's URL: one per worker, and their
    average, which is used. Points outside the crop and points with a negative coordinate are nan.
    Coordinates are not shifted. Left means the left side of the image, as in the list.

    The image for a URL is in `train` or `test` next to the list, or otherwise anywhere below
    `root`. Its name is the end of the URL; case and suffix may differ. Photos without an image are
    skipped, and so are names shared by two URLs, because their images are ambiguous.

    Columns and flags are inferred from public readers; they were not tested on the original list.

    Raises:
        DataError: If the list is missing or broken.
    """
    split = part.removesuffix("35")
    path = root / LIST.format(split)
    if not path.is_file():
        raise DataError(
            f"{path}: not found; "
            f"expected the official list, and the images in {root / split}"
        )
    folder = root / split if (root / split).is_dir() else root
    images = images_by_stem(folder)
    rows = _average_rows(path)
    shared = _shared_stems([words[0] for _, words in rows])
    indices = list(range(POINTS)) if part.endswith("35") else PUBLISHED
    faces: Counter[str] = Counter()
    samples = []
    for number, words in rows:
        stem = _stem(words[0])
        landmarks, visible = _points(words, f"{path}:{number}")
        image = images.get(stem)
        if image is None or stem in shared:
            continue
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks[indices],
                scheme="lfpw35" if part.endswith("35") else "cofw29",
                name=numbered_name(image.relative_to(root).as_posix(), faces),
                visible=visible[indices],
                subset=split,
            )
        )
    return samples


def _average_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the line number and words of each row with the workers' average."""
    rows = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("\t")
        if len(words) > 1 and words[1] == "average":
            rows.append((number, words))
    if not rows:
        raise DataError(
            f"{path}: no row of the worker 'average'; "
            "expected address, worker, x, y, flag"
        )
    return rows


def _stem(address: str) -> str:
    """Return the lower-case stem of the image name in a URL.

    >>> _stem("http://a.org/photos/Anna.PNG?size=2")
    'anna'
    """
    return Path(address.partition("?")[0].rpartition("/")[2]).stem.lower()


def _shared_stems(addresses: list[str]) -> set[str]:
    """Return the stems shared by two different URLs."""
    counts = Counter(_stem(address) for address in set(addresses))
    return {stem for stem, count in counts.items() if count > 1}


def _points(words: list[str], location: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return the points (35, 2) and their visibility mask (35,)."""
    try:
        if len(words) != COLUMNS:
            raise ValueError(f"{len(words)} columns")
        table = np.array(words[2:], dtype=np.float64).reshape(POINTS, 3)
    except ValueError as error:
        raise DataError(
            f"{location}: {error}; expected address, worker, and x, y, flag of 35 points"
        ) from error
    landmarks, flags = table[:, :2], table[:, 2]
    landmarks[(flags == CROPPED) | (landmarks < 0).any(1)] = np.nan
    return landmarks, flags == VISIBLE
