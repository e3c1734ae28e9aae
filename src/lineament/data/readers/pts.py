"""The .pts format of 300W: one file of 1-based points next to each image."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import (
    IMAGE_SUFFIXES,
    image_next_to,
    images_by_stem,
    visible_files,
)
from ...io.pts import parse_pts
from ...schemes import scheme as scheme_named
from ..sample import Sample
from .label_text import read_label_text


def read_pts(path: Path) -> Array:
    """Read the points (N, 2) in a .pts file, as 0-based pixels.

    Raises:
        DataError: If the file is broken.
    """
    return parse_pts(read_label_text(path, "a .pts file"), str(path))


def with_images(samples: Sequence[Sample]) -> list[Sample]:
    """Return `samples` unchanged; raise an error if images are missing.

    Raises:
        DataError: If images are missing; the message lists the first ten.
    """
    absent = [sample.image for sample in samples if not sample.image.is_file()]
    if not absent:
        return list(samples)
    others = ", ".join(path.with_suffix(".pts").name for path in absent[1:10])
    more = f"; nor next to {others}" if others else ""
    rest = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
    first = absent[0]
    raise DataError(
        f"{first.with_suffix('.pts')}: no image next to it; expected {first.stem}.jpg "
        f"or .png{more}{rest}; add them, remove the labels, or give the folder of the "
        "images: --pictures"
    )


def read_pts_folder(
    root: Path,
    scheme: str,
    folder: str = "",
    group_of: Callable[[str], str] = str,
    attributes: Mapping[str, Mapping[str, bool]] | None = None,
) -> list[Sample]:
    """Read every face with a .pts file below `root/folder`, sorted by path.

    Args:
        root: Folder that the names of the faces are relative to.
        scheme: Landmark scheme.
        folder: Folder below `root` to read.
        group_of: Maps a file stem to its group.
        attributes: Attributes by file stem.

    Raises:
        DataError: If a .pts file is broken or lacks its image.
    """
    return with_images(annotated_pts(root, scheme, folder, group_of, attributes))


def annotated_pts(
    root: Path,
    scheme: str,
    folder: str = "",
    group_of: Callable[[str], str] = str,
    attributes: Mapping[str, Mapping[str, bool]] | None = None,
) -> list[Sample]:
    """Read faces like `read_pts_folder`, including those whose image is missing."""
    samples = []
    for path in visible_files(root / folder, "**/*.pts"):
        image = image_next_to(path) or path.with_suffix(".jpg")
        landmarks = read_pts(path)
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme=scheme,
                name=image.relative_to(root).as_posix(),
                subset=folder,
                group=group_of(path.stem),
                attributes=(attributes or {}).get(path.stem, {}),
            )
        )
    return samples


def read_pts_of_images(
    root: Path,
    files: Sequence[Path],
    scheme: str,
    group_of: Callable[[str], str] = str,
    first_pixel: float = 1.0,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
) -> list[Sample]:
    """Read the faces of .pts files with images anywhere below `root`; skip missing images.

    A .pts file and its image have the same stem, ignoring case.

    Args:
        root: Folder that the names of the faces are relative to.
        files: The .pts files.
        scheme: Landmark scheme.
        group_of: Maps a file stem to its group.
        first_pixel: Coordinate of the center of the first pixel in the files.
        suffixes: Lower-case image suffixes, most preferred first.

    Raises:
        DataError: If there is no file, or one is broken or has a different number of points.
    """
    if not files:
        raise DataError(f"{root}: no .pts file below it; expected one for each image")
    images = images_by_stem(root, suffixes)
    expected = len(scheme_named(scheme))
    samples = []
    for path in files:
        image = images.get(path.stem.lower())
        if image is None:
            continue
        # read_pts assumes that the first pixel is 1
        landmarks = read_pts(path) + (1.0 - first_pixel)
        if len(landmarks) != expected:
            count = f"{len(landmarks)} points"
            raise DataError(
                f"{path}: {count}; "
                f"expected the {expected} points of {scheme}: check the file"
            )
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme=scheme,
                name=image.relative_to(root).as_posix(),
                group=group_of(path.stem),
            )
        )
    return samples
