"""Splits of a YOLO data set, as train, val and test in its .yaml file state them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import DataError
from ...io.media_files import has_image_suffix
from .label_text import read_label_text
from .yolo_yaml import parse_yaml_lists

SPLIT_KEYS = {"train": "train", "val": "validation", "test": "test"}
"""Split by its key in the .yaml file."""
LIST_SUFFIX = ".txt"
YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class DeclaredSplit:
    """One entry of a split."""

    split: str
    """"train", "validation" or "test"."""
    location: Path
    """Folder of the labels, or a text file that lists images."""


def read_declared_splits(description: Path) -> list[DeclaredSplit]:
    """Return the splits that a .yaml file states.

    Empty if it states no training set, if a place for training or validation does not exist, or
    if two splits have the same place, as in a file that only names the folder of all images.
    """
    text = read_label_text(description, "the description of a YOLO data set")
    home = parse_yaml_lists(text, "path").get("", [""])[0]
    found: list[DeclaredSplit] = []
    for key, split in SPLIT_KEYS.items():
        for entry in parse_yaml_lists(text, key).get("", []):
            location = _resolve(entry, home, description.parent)
            if location is not None:
                found.append(DeclaredSplit(split, location))
            elif split != "test":
                return []
    locations = [each.location for each in found]
    if "train" not in [each.split for each in found] or _overlap(locations):
        return []
    return found


def _resolve(entry: str, home: str, folder: Path) -> Path | None:
    """Return the list or the folder of labels of an entry; None if it does not exist.

    The path in the file may be that of another computer, so the folder of the file is searched,
    too, also without the ".." that Roboflow writes.
    """
    plain = PurePosixPath(entry.replace("\\", "/"))
    shorter = PurePosixPath(*(part for part in plain.parts if part not in ("..", "/")))
    for base in (folder / home, folder):
        for name in (plain, shorter):
            location = base / name
            if location.suffix.lower() == LIST_SUFFIX and location.is_file():
                return location
            if location.is_dir():
                return _labels_of(location)
    return None


def _labels_of(images: Path) -> Path:
    """Return the folder of the labels of a folder of images: labels/a for images/a."""
    parts = list(images.parts)
    for number in range(len(parts) - 1, -1, -1):
        if parts[number].lower() == "images":
            labels = Path(*parts[:number], "labels", *parts[number + 1 :])
            if labels.is_dir():
                return labels
    return images


def _overlap(locations: Sequence[Path]) -> bool:
    """Return True if two places are equal, or one is in another."""
    resolved = [location.resolve() for location in locations]
    for number, location in enumerate(resolved):
        others = resolved[:number] + resolved[number + 1 :]
        if any(location == other or other in location.parents for other in others):
            return True
    return False


def is_image_list(path: Path) -> bool:
    """Return True for a text file whose first line names an image."""
    if path.suffix.lower() != LIST_SUFFIX:
        return False
    lines = read_label_text(path, "a list of images").split("\n")
    return has_image_suffix(PurePosixPath(lines[0].strip()))


def listed_label_files(root: Path, listed: Path) -> Iterator[Path]:
    """Yield the label file of each image in a list; images without a label file are skipped.

    Raises:
        DataError: If the file is not a list of images.
    """
    for line in read_label_text(listed, "a list of images").splitlines():
        name = PurePosixPath(line.strip().replace("\\", "/"))
        if not name.parts:
            continue
        if not has_image_suffix(name):
            raise DataError(
                f"{listed}: {line.strip()[:60]!r} is not an image; expected one image "
                "per line"
            )
        path = _label_of(root, listed.parent, name)
        if path is not None:
            yield path


def _label_of(root: Path, home: Path, image: PurePosixPath) -> Path | None:
    """Return the label file of a listed image: below a folder `labels`, or next to it."""
    label = image.with_suffix(".txt")
    parts = ["labels" if part == "images" else part for part in label.parts]
    for name in (PurePosixPath(*parts), label):
        kept = [part for part in name.parts if part not in (".", "/")]
        for start in range(len(kept)):
            # a list may have absolute paths of another computer
            for base in (home, root):
                path = base.joinpath(*kept[start:])
                if path.is_file():
                    return path
    return None
