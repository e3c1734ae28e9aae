"""Find the annotations in a user's folder: their format, files and splits."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...io.media_files import contains_visible, visible_files
from .registry import format_of_table
from .yolo_pose import has_labels

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Split name by a word in the name of a file or its folder."""
MARKS = {
    ".json": (b'"keypoints"', b'"keypointlabels"'),
    ".xml": (b"<image",),
    ".csv": (b",", b";", b"\t"),
}
"""Byte strings of which every landmark table contains at least one, by suffix."""


@dataclass(frozen=True)
class Annotations:
    """Annotations in one format."""

    reader: str
    """Name of the reader."""
    path: Path
    """The file, or the folder for formats with many files."""
    split: str = ""
    """"train", "validation" or "test", inferred from the name; empty: unknown."""


def find_annotations(place: Path) -> list[Annotations]:
    """Return the annotations in `place`, which must all have the same format.

    Args:
        place: A folder or an annotation file.

    Raises:
        DataError: If there are none, or they have different formats.
    """
    if place.is_file():
        if place.suffix.lower() not in MARKS:
            raise DataError(
                f"{place}: not an annotation file; expected {', '.join(MARKS)}, a "
                "folder, or a recipe that ends in .toml"
            )
        return [Annotations(format_of_table(place), place)]
    if not place.is_dir():
        raise DataError(
            f"{place}: no such folder or file; expected a folder of annotated images, "
            "an annotation file, or a recipe that ends in .toml"
        )
    if contains_visible(place, "**/*.pts"):
        return _folders("folder", place, "**/*.pts")
    found = _tables(place)
    if not found and has_labels(place):
        return _folders("yolo", place, "**/labels/**/*.txt")
    if not found:
        raise DataError(
            f"{place}: no annotations; expected .pts files next to images, a table of "
            f"landmarks ({', '.join(MARKS)}), or YOLO pose labels (.txt)"
        )
    formats = sorted({each.reader for each in found})
    splits = [each.split for each in found]
    if len(formats) > 1 or len(set(splits)) < len(splits):
        paths = ", ".join(str(each.path) for each in found[:6])
        raise DataError(
            f"{place}: {len(found)} annotation files ({paths}); give one of them, or "
            "list them as [[data]] in a recipe"
        )
    return found


def _folders(reader: str, place: Path, pattern: str) -> list[Annotations]:
    """Return the folders named as splits that hold all label files, otherwise `place`."""
    found: dict[Path, str] = {}
    for path in visible_files(place, pattern):
        parts = path.parent.relative_to(place).parts
        for depth, part in enumerate(parts, 1):
            if part.lower() in SPLITS:
                found[place.joinpath(*parts[:depth])] = SPLITS[part.lower()]
                break
        else:
            return [Annotations(reader, place)]
    if not found:
        return [Annotations(reader, place)]
    return [Annotations(reader, folder, split) for folder, split in found.items()]


def _tables(place: Path) -> list[Annotations]:
    """Return the landmark tables in a folder, in its `annotations`, or otherwise anywhere below."""
    for pattern in ("*", "annotations/*", "**/*"):
        found = list(_annotations_in(visible_files(place, pattern), place))
        if found:
            return found
    return []


def _annotations_in(paths: Sequence[Path], place: Path) -> Iterator[Annotations]:
    for path in paths:
        marks = MARKS.get(path.suffix.lower())
        if marks is None or not path.is_file():
            continue
        content = path.read_bytes()
        if any(mark in content for mark in marks):
            yield Annotations(format_of_table(path), path, _split_of(path, place))


def _split_of(path: Path, place: Path) -> str:
    names = path.relative_to(place).with_suffix("").parts
    for name in reversed(names):
        for word in re.findall(r"[a-z]+", name.lower()):
            if word in SPLITS:
                return SPLITS[word]
    return ""
