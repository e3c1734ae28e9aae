"""BioID (Jesorsky et al. 2001): 1,521 gray images with the 20 points of FGNET."""

from pathlib import Path

from ..sample import Sample
from .pts import read_pts_of_images

PARTS: dict[str, int] = {"all": 1521}


def read_bioid(root: Path, part: str) -> list[Sample]:
    """Read the faces, fgnet20; skip missing images.

    Points are read from FGNET's files, such as bioid_0000.pts, images from BioID_0000.pgm; both
    may be anywhere below `root`. The file names do not identify the 23 subjects, so faces of one
    subject can be in both training and validation.

    Layout and point order are inferred from public readers; they were not tested on the original
    data. FGNET is assumed to number pixels from 0, as in its Talking Face video.

    Raises:
        DataError: If there is no .pts file, or one is broken.
    """
    return read_pts_of_images(
        root, sorted(root.rglob("*.pts")), "fgnet20", first_pixel=0.0
    )
