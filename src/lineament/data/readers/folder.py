"""A folder of images with a .pts file next to each, such as pseudo-labels."""

from dataclasses import replace
from pathlib import Path

from ...errors import DataError
from ..sample import GROUP_SEPARATOR, Sample
from .pts import annotated_pts, with_images


def read_folder(root: Path, part: str = "all") -> list[Sample]:
    """Read every face with a .pts file below `root`, or below its folder `part` if not "all".

    The number of points gives the scheme. photo__1 and photo__2 are faces of one group.

    Raises:
        DataError: If there is no .pts file, or one is broken or has no image.
    """
    return with_images(annotated_folder(root, part))


def annotated_folder(root: Path, part: str = "all") -> list[Sample]:
    """Read faces like `read_folder`, also those whose image is absent."""
    folder = "" if part == "all" else part
    faces = annotated_pts(
        root, None, folder, lambda stem: stem.partition(GROUP_SEPARATOR)[0]
    )
    if not faces:
        place = root / folder
        raise DataError(
            f"{place}: no .pts file in it or below; wanted one next to each image"
        )
    return [replace(face, subset=Path(face.name).parent.as_posix()) for face in faces]
