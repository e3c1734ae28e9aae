"""The .pts format of 300W: a file of points next to each image, counted from 1."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import image_next_to
from ...io.pts import parse_pts
from ..sample import Sample, scheme_of_count


def read_pts(path: Path) -> Array:
    """Read the points (N, 2) of a .pts file, as 0-based pixels.

    Raises:
        DataError: If the file is broken.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as text ({error}); wanted a .pts file"
        ) from error
    return parse_pts(text, str(path))


def with_images(samples: Sequence[Sample]) -> list[Sample]:
    """Return `samples`, each of which must have its image.

    Raises:
        DataError: If images are absent; it names the first ten.
    """
    absent = [sample.image for sample in samples if not sample.image.is_file()]
    if not absent:
        return list(samples)
    others = ", ".join(path.with_suffix(".pts").name for path in absent[1:10])
    more = f"; nor next to {others}" if others else ""
    rest = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
    first = absent[0]
    raise DataError(
        f"{first.with_suffix('.pts')}: no image next to it; "
        f"wanted {first.stem}.jpg or .png{more}{rest}"
    )


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
    return with_images(annotated_pts(root, scheme, folder, group_of, attributes))


def annotated_pts(
    root: Path,
    scheme: str | None,
    folder: str = "",
    group_of: Callable[[str], str] = str,
    attributes: Mapping[str, Mapping[str, bool]] | None = None,
) -> list[Sample]:
    """Read faces like `read_pts_folder`, also those whose image is absent."""
    samples = []
    for path in sorted((root / folder).rglob("*.pts")):
        image = image_next_to(path) or path.with_suffix(".jpg")
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
