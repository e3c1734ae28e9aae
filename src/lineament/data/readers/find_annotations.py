"""Find the annotations in a user's folder: their format, files and splits."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...io.media_files import contains_visible, visible_files
from .label_text import read_utf8_bytes
from .registry import format_of_table
from .yolo_pose import has_labels, is_label_file
from .yolo_splits import YAML_SUFFIXES, is_image_list, stated_splits
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
    def place(self) -> Path:
        """The file or folder that is read."""
        return self.path if self.part == "all" else self.path / self.part


def find_annotations(place: Path) -> list[Annotations]:
    """Return the annotations in `place`, which must all have the same format.

    Args:
        place: A folder or an annotation file.

    Raises:
        DataError: If there are none, or they have different formats.
    """
    if place.is_file():
        if place.suffix.lower() in YAML_SUFFIXES:
            return _yolo(place.parent, describe_points(place))
        if is_image_list(place):
            split = _split_of(place, place.parent)
            return [Annotations("yolo", place.parent, split, place.name)]
        if place.suffix.lower() not in MARKS:
            raise DataError(
                f"{place}: not an annotation file; expected {', '.join(MARKS)}, the "
                ".yaml of YOLO labels, a folder, or a recipe that ends in .toml"
            )
        return [Annotations(format_of_table(place), place)]
    if not place.is_dir():
        raise DataError(
            f"{place}: no such folder or file; expected a folder of annotated images, "
            "an annotation file, or a recipe that ends in .toml"
        )
    if contains_visible(place, "**/*.pts"):
        return _folders("folder", place, visible_files(place, "**/*.pts"))
    found = _tables(place)
    if not found and has_labels(place):
        described = describe_points(place)
        is_here = described is not None and described.path.parent == place
        return _yolo(place, described if is_here else None)
    if not found:
        # as labelme and VIA write them
        has_json = contains_visible(place, "**/*.json")
        hint = '; its .json files have no "keypoints": export COCO' if has_json else ""
        raise DataError(
            f"{place}: no annotations; expected .pts files next to images, a table of "
            f"landmarks ({', '.join(MARKS)}), or YOLO pose labels (.txt){hint}"
        )
    formats = sorted({each.reader for each in found})
    splits = [each.split for each in found]
    if len(formats) > 1 or len(set(splits)) < len(splits):
        paths = ", ".join(str(each.place) for each in found[:6])
        raise DataError(
            f"{place}: {len(found)} annotation files ({paths}); give one of them, or "
            "list them as [[data]] in a recipe"
        )
    return found


def _yolo(place: Path, described: PointDescription | None) -> list[Annotations]:
    """Return the splits of YOLO labels: those of the .yaml file, or of folders."""
    found = []
    for each in stated_splits(described.path) if described else ():
        if each.place.is_file():
            is_inside = each.place.is_relative_to(place)
            part = each.place.relative_to(place) if is_inside else each.place
            found.append(Annotations("yolo", place, each.split, part.as_posix()))
        else:
            found.append(Annotations("yolo", each.place, each.split))
    if found:
        return found
    files = visible_files(place, "**/labels/**/*.txt")
    # without lists of classes and the like, which belong to no split
    return _folders("yolo", place, list(filter(is_label_file, files)))


def _folders(reader: str, place: Path, files: Sequence[Path]) -> list[Annotations]:
    """Return the folders named as splits that hold all label files, otherwise `place`."""
    found: dict[Path, str] = {}
    for path in files:
        parts = path.parent.relative_to(place).parts
        for depth, part in enumerate(parts, 1):
            if split := _split_of_folder(part):
                found[place.joinpath(*parts[:depth])] = split
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
        content = read_utf8_bytes(path)
        if any(mark in content for mark in marks):
            yield Annotations(format_of_table(path), path, _split_of(path, place))


def _split_of(path: Path, place: Path) -> str:
    names = path.relative_to(place).with_suffix("").parts
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
