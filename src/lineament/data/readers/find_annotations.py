"""Find the annotations in a user's folder: their format, files and splits."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...io.media_files import contains_visible, visible_files
from ...io.review_files import SUFFIX as REVIEWED
from .label_text import check_is_text, read_utf8_bytes
from .registry import detect_table_format
from .yolo_pose import has_labels, is_label_file
from .yolo_splits import YAML_SUFFIXES, is_image_list, read_declared_splits
from .yolo_yaml import PointDescription, describe_points

SPLITS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "valset": "validation",
    "validset": "validation",
    "test": "test",
    "testing": "test",
    "testset": "test",
}
"""Split name by a word in the name of a file or its folder."""
FURTHER_WORDS = {"set", "images", "labels", "data", "split", "part"}
"""Further words in the name of a split's folder, as in train_images."""
MARKS = {
    ".json": (b'"keypoints"', b'"keypointlabels"'),
    ".xml": (b"<image",),
    ".csv": (b",", b";", b"\t"),
    ".tsv": (b"\t",),
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
    part: str = "all"
    """Part of `path` to read."""

    @property
    def location(self) -> Path:
        """The file or folder that is read."""
        return self.path if self.part == "all" else self.path / self.part


def find_annotations(location: Path) -> list[Annotations]:
    """Return the annotations in `location`, which must all have the same format.

    Args:
        location: A folder or an annotation file.

    Raises:
        DataError: If there are none, or they have different formats.
    """
    if location.is_file():
        if location.suffix.lower() in YAML_SUFFIXES:
            return _yolo(location.parent, describe_points(location))
        if is_image_list(location):
            split = _split_of(location, location.parent)
            return [Annotations("yolo", location.parent, split, location.name)]
        check_is_text(location)
        if location.suffix.lower() not in MARKS:
            raise DataError(
                f"{location}: not an annotation file; expected {', '.join(MARKS)}, the "
                ".yaml of YOLO labels, a folder, or a recipe that ends in .toml"
            )
        return [Annotations(detect_table_format(location), location)]
    if not location.is_dir():
        raise DataError(
            f"{location}: no such folder or file; expected a folder of annotated images, "
            "an annotation file, or a recipe that ends in .toml"
        )
    if contains_visible(location, f"**/*{REVIEWED}"):
        return _folders("review", location, visible_files(location, f"**/*{REVIEWED}"))
    if contains_visible(location, "**/*.pts"):
        return _folders("folder", location, visible_files(location, "**/*.pts"))
    found = _tables(location)
    if not found and has_labels(location):
        described = describe_points(location)
        is_here = described is not None and described.path.parent == location
        return _yolo(location, described if is_here else None)
    if not found:
        for path in visible_files(location, "*"):
            check_is_text(path)
        # as labelme and VIA write them
        has_json = contains_visible(location, "**/*.json")
        hint = '; its .json files have no "keypoints": export COCO' if has_json else ""
        raise DataError(
            f"{location}: no annotations; expected .pts files next to images, a table of "
            f"landmarks ({', '.join(MARKS)}), or YOLO pose labels (.txt){hint}"
        )
    formats = sorted({each.reader for each in found})
    splits = [each.split for each in found]
    if len(formats) > 1 or len(set(splits)) < len(splits):
        paths = ", ".join(str(each.location) for each in found[:6])
        raise DataError(
            f"{location}: {len(found)} annotation files ({paths}); give one of them, or "
            "list them as [[data]] in a recipe"
        )
    return found


def _yolo(location: Path, described: PointDescription | None) -> list[Annotations]:
    """Return the splits of YOLO labels: those of the .yaml file, or of folders."""
    found = []
    for each in read_declared_splits(described.path) if described else ():
        if each.location.is_file():
            is_inside = each.location.is_relative_to(location)
            part = each.location.relative_to(location) if is_inside else each.location
            found.append(Annotations("yolo", location, each.split, part.as_posix()))
        else:
            found.append(Annotations("yolo", each.location, each.split))
    if found:
        return found
    files = visible_files(location, "**/labels/**/*.txt")
    # without lists of classes and the like, which belong to no split
    return _folders("yolo", location, list(filter(is_label_file, files)))


def _folders(reader: str, location: Path, files: Sequence[Path]) -> list[Annotations]:
    """Return the folders named as splits that hold all label files, otherwise `location`."""
    found: dict[Path, str] = {}
    for path in files:
        parts = path.parent.relative_to(location).parts
        for depth, part in enumerate(parts, 1):
            if split := _split_of_folder(part):
                found[location.joinpath(*parts[:depth])] = split
                break
        else:
            return [Annotations(reader, location)]
    if not found:
        return [Annotations(reader, location)]
    return [Annotations(reader, folder, split) for folder, split in found.items()]


def _tables(location: Path) -> list[Annotations]:
    """Return the landmark tables in a folder, in its `annotations`, or otherwise anywhere below."""
    for pattern in ("*", "annotations/*", "**/*"):
        found = list(_annotations_in(visible_files(location, pattern), location))
        if found:
            return found
    return []


def _annotations_in(paths: Sequence[Path], location: Path) -> Iterator[Annotations]:
    for path in paths:
        marks = MARKS.get(path.suffix.lower())
        if marks is None or not path.is_file():
            continue
        content = read_utf8_bytes(path)
        if any(mark in content for mark in marks):
            yield Annotations(
                detect_table_format(path), path, _split_of(path, location)
            )


def _split_of(path: Path, location: Path) -> str:
    names = path.relative_to(location).with_suffix("").parts
    for name in reversed(names):
        for word in _words(name):
            if word in SPLITS:
                return SPLITS[word]
    return ""


def _split_of_folder(name: str) -> str:
    """Return the split of a folder such as val2017 or train_images, or ""."""
    words = _words(name)
    splits = {SPLITS[word] for word in words if word in SPLITS}
    if len(splits) == 1 and set(words) <= SPLITS.keys() | FURTHER_WORDS:
        return splits.pop()
    return ""


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", name.lower())
