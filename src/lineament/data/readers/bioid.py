"""BioID (Jesorsky et al. 2001): 1,521 gray images with the 20 points of FGNET."""

from pathlib import Path

from ..sample import Sample
from .pts import read_pts_of_images

PARTS: dict[str, int] = {"all": 1521}


def read_bioid(root: Path, part: str) -> list[Sample]:
    """Read the faces, fgnet20; only existing images.

    Points are the files bioid_0000.pts of FGNET, images BioID_0000.pgm; both may be anywhere below
    `root`. The names do not tell the 23 persons apart, so faces of one person can be in training
    and validation.

    This is the layout and the order that public readers expect; we have not seen the set. FGNET is
    assumed to count pixels from 0, as its Talking Face video does.

    Raises:
        DataError: If there is no .pts file, or one is broken.
    """
    return read_pts_of_images(
        root, sorted(root.rglob("*.pts")), "fgnet20", first_pixel=0.0
    )
