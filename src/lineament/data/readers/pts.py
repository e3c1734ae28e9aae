"""The .pts format of 300W and its kin: one file of points beside each image, counted from 1, maybe with a header."""

from collections.abc import Callable
from pathlib import Path

from ...errors import DataError
from ...geometry import Array
from ...io.formats import parse_pts
from ...io.media_files import image_next_to
from ..sample import Sample


def read_pts(path: Path) -> Array:
    """The points (N, 2) of a .pts file, moved to 0-based pixels.    Raises: DataError where the file is broken."""
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); wanted a .pts file") from error
    return parse_pts(text, str(path))


def read_pts_folder(
    root: Path,
    scheme: str,
    folder: str = "",
    photo_of: Callable[[str], str] = lambda stem: stem,
    attributes: dict[str, dict[str, bool]] | None = None,
) -> list[Sample]:
    """Every face with a .pts file below `root/folder`, in the order of the names; an empty list where there is none.

    photo_of: takes a file stem to the photo's name.    attributes: by file stem.
    Raises: DataError where a .pts file is broken or has no image next to it.
    """
    samples = []
    for path in sorted((root / folder).rglob("*.pts")):
        image = image_next_to(path)
        if image is None:
            raise DataError(
                f"{path}: no image next to it; wanted {path.stem}.jpg or .png in the same folder"
            )
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
