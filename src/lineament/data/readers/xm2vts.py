"""XM2VTS (Messer et al. 1999): 2,360 portraits with 68 points, of ibug or of FGNET."""

from pathlib import Path

from ..sample import Sample
from .pts import read_pts_of_images

PARTS: dict[str, int] = {"ibug": 2360, "fgnet": 2360}
FORMATS = {"ibug": ("ibug68", 1.0), "fgnet": ("fgnet68", 0.0)}
"""Scheme of each part, and coordinate of the center of the first pixel."""
MARKUP = "markup"
"""Folder of FGNET's points; all other points are ibug's."""


def read_xm2vts(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part: "ibug" as ibug68, "fgnet" as fgnet68; skip missing images.

    Files are named by person, session and shot, as in 000_1_1. Points and images may be anywhere
    below `root`, for example next to each other, or in `landmarks` and one folder per person. FGNET
    orders its points differently from ibug, so they are in their own folder, `markup`. The faces of
    one person form one group.

    ibug numbers pixels from 1. FGNET is assumed to number them from 0, as in its Talking Face
    video; this was not tested on its files for this data set.

    Raises:
        DataError: If there is no .pts file, or one is broken.
    """
    files: dict[str, list[Path]] = {"ibug": [], "fgnet": []}
    for path in sorted(root.rglob("*.pts")):
        in_markup = MARKUP in path.relative_to(root).parts
        files["fgnet" if in_markup else "ibug"].append(path)
    scheme, first_pixel = FORMATS[part]
    return read_pts_of_images(root, files[part], scheme, _person, first_pixel)


def _person(stem: str) -> str:
    return f"xm2vts_{stem.partition('_')[0]}"
