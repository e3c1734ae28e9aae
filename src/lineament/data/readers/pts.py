"""The .pts format of 300W and its kin: one file of points beside each image, counted from 1, maybe with a header."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import DataError
from ...geometry import Array
from ...io.formats import parse_pts
from ..sample import Sample

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


def read_pts(path: Path) -> Array:
    """The points (N, 2) of a .pts file, moved to 0-based pixels.    Raises: DataError where the file is broken."""
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); wanted a .pts file") from error
    return parse_pts(text, str(path))


def image_beside(path: Path) -> Path | None:
    """The image with the same stem as `path`, or None."""
    for suffix in IMAGE_SUFFIXES:
        for spelled in (suffix, suffix.upper()):
            image = path.with_suffix(spelled)
            if image.exists():
                return image
    return None


def with_images(samples: Sequence[Sample]) -> list[Sample]:
    """Return `samples`, each of which must have its image.

    Raises:
        DataError: If images are absent; it names the first ten.
    """
    absent = [sample.image for sample in samples if not sample.image.is_file()]
    if absent:
        first, others = absent[0], ", ".join(path.with_suffix(".pts").name for path in absent[1:10])
        more = f"; nor next to {others}" if others else ""
        rest = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
        raise DataError(
            f"{first.with_suffix('.pts')}: no image next to it; wanted {first.stem}.jpg or .png "
            f"in the same folder{more}{rest}"
        )
    return list(samples)


def read_pts_folder(
    root: Path,
    scheme: str,
    folder: str = "",
    photo_of: Callable[[str], str] = lambda stem: stem,
    attributes: dict[str, dict[str, bool]] | None = None,
) -> list[Sample]:
    """Read every face with a .pts file below `root/folder`, in the order of the names.

    Args:
        root: Folder that names start from.
        scheme: Scheme of the points.
        folder: Folder below `root`.
        photo_of: Takes a file stem to the photo's name.
        attributes: Attributes by file stem.

    Raises:
        DataError: If a .pts file is broken or has no image next to it.
    """
    return with_images(annotated_pts(root, scheme, folder, photo_of, attributes))


def annotated_pts(
    root: Path,
    scheme: str,
    folder: str = "",
    photo_of: Callable[[str], str] = lambda stem: stem,
    attributes: dict[str, dict[str, bool]] | None = None,
) -> list[Sample]:
    """Read faces like `read_pts_folder`, also those whose image is absent."""
    samples = []
    for path in sorted((root / folder).rglob("*.pts")):
        image = image_beside(path) or path.with_suffix(".jpg")
        samples.append(
            Sample(
                image=image,
                landmarks=read_pts(path),
                scheme=scheme,
                name=image.relative_to(root).as_posix(),
                subset=folder,
                photo=photo_of(path.stem),
                attributes=(attributes or {}).get(path.stem, {}),
            )
        )
    return samples
