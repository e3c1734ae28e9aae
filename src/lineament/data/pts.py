"""The .pts format of 300W and its kin: one file of points beside each image, counted from 1, with or without a header."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..geometry import Array
from .sample import Sample

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


def read_pts(path: Path) -> Array:
    """The points (N, 2) of a .pts file, moved to 0-based pixels.    Raises: DataError where the file is broken."""
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); wanted a .pts file") from error
    stated = None
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0] in "{}" or words[0].startswith("version"):
            continue
        if words[0].startswith("n_points"):
            stated = words[-1].removeprefix("n_points:")
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 2:
            raise DataError(f"{path}:{number}: {line.strip()[:60]!r}; wanted two numbers, x and y, counted from 1")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no points; wanted one line of x and y for each point")
    if stated is not None and stated.isdigit() and int(stated) != len(rows):
        raise DataError(f"{path}: the header says {stated} points, {len(rows)} follow; mend the header or the points")
    return np.array(rows) - 1.0


def format_pts(landmarks: Array) -> str:
    """The text of a .pts file for 0-based `landmarks` (N, 2)."""
    lines = [f"{x + 1:.3f} {y + 1:.3f}" for x, y in landmarks]
    return "\n".join(["version: 1", f"n_points: {len(landmarks)}", "{", *lines, "}", ""])


def image_beside(path: Path) -> Path | None:
    """The image with the same stem as `path`, or None."""
    for suffix in IMAGE_SUFFIXES:
        for spelled in (suffix, suffix.upper()):
            image = path.with_suffix(spelled)
            if image.exists():
                return image
    return None


def read_pts_folder(
    root: Path,
    scheme: str,
    folder: str = "",
    photo_of: Callable[[str], str] = lambda stem: stem,
    attributes: dict[str, dict[str, bool]] | None = None,
) -> list[Sample]:
    """Every face with a .pts file below `root/folder`, in the order of the names; an empty list where there is none.

    photo_of: takes a file stem to the photo's name.    attributes: by file stem.
    Raises: DataError where a .pts file is broken or has no image beside it.
    """
    samples = []
    for path in sorted((root / folder).rglob("*.pts")):
        image = image_beside(path)
        if image is None:
            raise DataError(f"{path}: no image beside it; wanted {path.stem}.jpg or .png in the same folder")
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
