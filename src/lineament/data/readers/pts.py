"""The .pts format of 300W: a file of points next to each image, counted from 1."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ...errors import DataError
from ...geometry import Array
from ...io.formats import parse_pts
from ...io.image import SUFFIXES
from ..sample import Sample, scheme_of_count

USUAL_SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGE_SUFFIXES = (*USUAL_SUFFIXES, *sorted(SUFFIXES.difference(USUAL_SUFFIXES)))
"""Suffixes of the image of a .pts file, in the order in which they are tried."""


def read_pts(path: Path) -> Array:
    """Read the points (N, 2) of a .pts file, as 0-based pixels.

    Raises:
        DataError: If the file is broken.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); wanted a .pts file") from error
    return parse_pts(text, str(path))


def find_image(path: Path) -> Path | None:
    """Return the image with the stem of the .pts file `path`, or None."""
    for suffix in IMAGE_SUFFIXES:
        for spelled in (suffix, suffix.upper()):
            image = path.with_suffix(spelled)
            if image.exists():
                return image
    return None


def read_pts_folder(
    root: Path,
    scheme: str | None,
    folder: str = "",
    group_of: Callable[[str], str] = str,
    attributes: Mapping[str, Mapping[str, bool]] | None = None,
) -> list[Sample]:
    """Read every face with a .pts file below `root/folder`, sorted by path.

    Args:
        root: Folder that the names of the faces are relative to.
        scheme: Scheme of the points; None: by their number.
        folder: The part of `root` to read.
        group_of: Maps the stem of a file to its group.
        attributes: Attributes by file stem.

    Raises:
        DataError: If a .pts file is broken or has no image.
    """
    samples = []
    for path in sorted((root / folder).rglob("*.pts")):
        image = find_image(path)
        if image is None:
            raise DataError(f"{path}: no image next to it; wanted {path.stem}.jpg or .png")
        landmarks = read_pts(path)
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme=scheme or scheme_of_count(len(landmarks), path),
                name=image.relative_to(root).as_posix(),
                subset=folder,
                group=group_of(path.stem),
                attributes=(attributes or {}).get(path.stem, {}),
            )
        )
    return samples
