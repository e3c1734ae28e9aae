"""300W: train, common, challenging, full and the official test, in the official folders."""

from pathlib import Path

from ...errors import DataError, did_you_mean
from ..sample import Sample, check_count, photo_of_numbered
from .pts import annotated_pts, with_images

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
    """Read the faces of one `part` of 300W below `root`, ibug68; absent folders are skipped.

    Raises:
        DataError: If the part is unknown, a file is broken or an image is absent.
    """
    return with_images(annotated_300w(root, part))


def annotated_300w(root: Path, part: str) -> list[Sample]:
    """Read faces like `read_300w`, also those whose image is absent."""
    if part not in PARTS:
        raise DataError(f"300W has no part {part!r}; {did_you_mean(part, PARTS)}")
    samples: list[Sample] = []
    for folder in PARTS[part][0]:
        numbered = folder.startswith(("helen", "afw"))
        samples += annotated_pts(
            root, "ibug68", folder, photo_of_numbered if numbered else lambda stem: stem
        )
    return samples


def missing_300w(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part][1], f"300W {part}")
