"""A folder of images with a .pts file next to each, such as pseudo-labels or a user's own faces."""

from dataclasses import replace
from pathlib import Path

from ...errors import DataError
from ..sample import GROUP_SEPARATOR, Sample
from .pts import read_pts_folder


def read_folder(root: Path, part: str = "all") -> list[Sample]:
    """Read every face with a .pts file below `root`; the scheme is taken from the number of points.

    Files named photo__1 and photo__2 are faces of one group.

    Args:
        root: The folder.
        part: A folder below `root`, or "all".

    Raises:
        DataError: If there is no .pts file, or one is broken or has no image.
    """
    folder = "" if part == "all" else part
    faces = read_pts_folder(root, None, folder, lambda stem: stem.partition(GROUP_SEPARATOR)[0])
    if not faces:
        raise DataError(
            f"{root / folder}: no .pts file in it or below; wanted one next to each image"
        )
    return [replace(face, subset=Path(face.name).parent.as_posix()) for face in faces]
