"""300W: train, common, challenging, full and the official test, in the official folders."""

from pathlib import Path

from ...errors import DataError, did_you_mean
from ..sample import Sample, check_count, photo_of_numbered
from .pts import read_pts_folder

PARTS: dict[str, tuple[tuple[str, ...], int]] = {
    "train": (("helen/trainset", "lfpw/trainset", "afw"), 3148),
    "common": (("helen/testset", "lfpw/testset"), 554),
    "challenging": (("ibug",), 135),
    "full": (("helen/testset", "lfpw/testset", "ibug"), 689),
    "test": (("300W/01_Indoor", "300W/02_Outdoor"), 600),
    "test-indoor": (("300W/01_Indoor",), 300),
    "test-outdoor": (("300W/02_Outdoor",), 300),
}


def read_300w(root: Path, part: str) -> list[Sample]:
    """The faces of one `part` of 300W below `root`, ibug68; only those present.

    Raises: DataError for an unknown part or a broken file.
    """
    if part not in PARTS:
        raise DataError(f"300W has no part {part!r}; {did_you_mean(part, PARTS)}")
    samples: list[Sample] = []
    for folder in PARTS[part][0]:
        numbered = folder.startswith(("helen", "afw"))
        samples += read_pts_folder(
            root, "ibug68", folder, photo_of_numbered if numbered else lambda stem: stem
        )
    return samples


def missing_300w(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part][1], f"300W {part}")
