"""Find the images named in an annotation table, in the layouts of COCO, CVAT, FiftyOne, ..."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import PIL.Image

from ...errors import DataError
from ...io.image import ORIENTATION_TAG
from ...io.media_files import IMAGE_SUFFIXES, has_image_suffix, visible_files

TABLE_KINDS = re.compile(r"^(person_keypoints|keypoints|instances|captions|labels)_")
"""Prefixes of COCO file names, before the name of the subset."""
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""Prefix that Label Studio adds to the names of uploaded files."""
FOLDERS = ("", "images", "data", "img")


class ImageFinder:
    """Finds the images of an annotation table by the names that tools write.

    Args:
        table: The annotation file, or the folder that names are relative to.
        pictures: A folder to search first, or None.
        needed: If True, `check` raises an error for missing images.
    """

    def __init__(
        self, table: Path, pictures: Path | None = None, needed: bool = False
    ) -> None:
        self.table, self.pictures, self.needed = table, pictures, needed
        self.home = table if table.is_dir() else table.parent
        self.found = 0
        """Number of images that were found."""
        self.missing: list[str] = []
        self.clashes: list[tuple[str, str, Path]] = []
        """Pairs of different names for which the same image was found."""
        self._names: dict[Path, str] = {}
        self._by_name: dict[str, list[Path]] | None = None
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        self._subset = TABLE_KINDS.sub("", table.stem)
        self.bases = list(dict.fromkeys(self._bases()))

    def _bases(self) -> Iterator[Path]:
        if self.pictures is not None:
            yield self.pictures
        for home in (self.home, self.home.parent):
            for folder in FOLDERS:
                yield home / folder
                yield home / folder / self._subset

    def find(self, name: str) -> Path:
        """Return the path of image `name`; if not found, a missing path in the table's folder."""
        plain = _plain_path(name)
        parts = [part for part in plain.split("/") if part not in ("", ".", "..")]
        # first as it is: the name of a file may look as if it was escaped
        exact = self._find_in_bases(name) if name != plain else None
        path = exact or self._find_shortened(plain, parts) or self._find_anywhere(parts)
        if path is None:
            self.missing.append(name)
            return self.home.joinpath(*parts)
        self.found += 1
        other = self._names.setdefault(path, plain)
        if other != plain and not _name_same_image(other, plain):
            self.clashes.append((other, name, path))
        return path

    def _find_shortened(self, plain: str, parts: list[str]) -> Path | None:
        """Return the absolute path `plain`, or the longest end of `parts` below a base."""
        if Path(plain).is_absolute() and Path(plain).is_file():
            return Path(plain)
        for start in range(len(parts)):
            path = self._find_in_bases("/".join(parts[start:]))
            if path is not None:
                return path
        return None

    def _find_in_bases(self, name: str) -> Path | None:
        """Return the image at a path relative to a base, or at an absolute path."""
        for number, base in enumerate(self.bases):
            path = base / name
            if path.is_file():
                # most images are in the same folder as the previous one
                self.bases.insert(0, self.bases.pop(number))
                return path
        return None

    def _find_anywhere(self, parts: list[str]) -> Path | None:
        """Return the image whose path matches the longest end of `parts`, ignoring case.

        The suffix of the image may be missing.
        """
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for folder in filter(None, (self.pictures, self.home)):
                for path in visible_files(folder, "**/*"):
                    if has_image_suffix(path):
                        self._by_name[_plain_case(path.name)].append(path)
                        self._by_stem[_plain_case(path.stem)].append(path)
        if not parts:
            return None
        last = _plain_case(parts[-1])
        names = self._by_name if has_image_suffix(Path(last)) else self._by_stem
        matches = names.get(last) or names.get(UPLOAD_PREFIX.sub("", last))
        if not matches:
            return None
        scores = [_common_end(path, parts) for path in matches]
        best = max(scores)
        return matches[scores.index(best)] if scores.count(best) == 1 else None

    def check(self) -> None:
        """Raise DataError if required images are missing, or two of them are the same file.

        The message about missing images describes where they were searched.
        """
        if self.needed and self.clashes:
            one, two, path = self.clashes[0]
            raise DataError(
                f"{self.table}: {one!r} and {two!r} are different images, but only {path} was "
                "found for both; add the other one, or set the folder of both: "
                'pictures = "..."'
            )
        if not self.missing or not self.needed:
            return
        count = f"{len(self.missing)} of {len(self.missing) + self.found} images"
        folders = ", ".join(dict.fromkeys(filter(None, (*FOLDERS, self._subset))))
        raise DataError(
            f"{self.table}: {count} were not found, e.g. {self.missing[0]!r}; looked "
            f"for the name below {self.pictures or self.home}, and in "
            f"{self.home.parent} and its folders {folders}; add them, or give the "
            "folder of the images: --pictures, or in a recipe "
            'pictures = "..."'
        )


class StemFinder:
    """Finds the images of label files by their names without suffix, below another folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in visible_files(folder, "**/*"):
            if has_image_suffix(path):
                self._by_stem[_plain_case(path.stem)].append(path)

    def find(self, label: Path) -> Path | None:
        """Return the image with the stem of `label`; None if there is none.

        Of several images, the one whose folders match most of the label's is returned, and in
        one folder the most common suffix.

        Raises:
            DataError: If images in several folders match equally.
        """
        matches = self._by_stem.get(_plain_case(label.stem), [])
        scores = [_common_end(path, list(label.parts)) for path in matches]
        best = []
        for path, score in zip(matches, scores, strict=True):
            if score == max(scores):
                best.append(path)
        if len({path.parent for path in best}) > 1:
            raise DataError(
                f"{label}: {best[0]} and {best[1]} have its name; put labels and images into "
                "folders of the same names, or give the folder of one of them"
            )
        ranked = sorted(
            best, key=lambda path: IMAGE_SUFFIXES.index(path.suffix.lower())
        )
        return ranked[0] if ranked else None


def check_shared(found: Iterable[tuple[Path, Path]]) -> None:
    """Raise DataError if a label file was given the image of another one in a closer folder.

    Args:
        found: Label file and image; the folder "images" corresponds to "labels".
    """
    labels_of: dict[Path, dict[Path, int]] = defaultdict(dict)
    for label, image in found:
        parts = ["images" if p.lower() == "labels" else p for p in label.parts]
        labels_of[image][label] = _common_end(image, parts)
    for image, scores in labels_of.items():
        own = max(scores, key=scores.__getitem__)
        wrong = min(scores, key=scores.__getitem__)
        if scores[wrong] < scores[own]:
            raise DataError(
                f"{wrong}: its image is missing, and {image} is that of {own}; add the image, "
                "or remove the labels"
            )


def _plain_path(name: str) -> str:
    """Return a path or URL with forward slashes, without drive, query or escapes."""
    name = re.sub(r"^(https?://[^?]*)\?.*", r"\1", name.rpartition("?d=")[2])
    name = unescaped(name)
    return re.sub(r"^(?:[A-Za-z]:|file://|https?://[^/]*)", "", name.replace("\\", "/"))


def unescaped(name: str) -> str:
    """Return a part of a URL with its escapes, such as %20, replaced by their characters."""
    return re.sub(r"(?:%[0-9A-Fa-f]{2})+", _unescaped_bytes, name)


def _unescaped_bytes(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


def _plain_case(name: str) -> str:
    """Return a file name in lower case, with accents composed, as macOS does not write them."""
    return unicodedata.normalize("NFC", name).lower()


def _name_same_image(one: str, two: str) -> bool:
    """Return True if one path is the end of the other, or both are from different computers."""
    first, second = _plain_parts(one), _plain_parts(two)
    length = min(len(first), len(second))
    if one.startswith("/") or two.startswith("/"):
        # absolute paths may begin differently, but the image's own folder is the same
        length = min(length, 2)
    return first[-length:] == second[-length:]


def _plain_parts(name: str) -> list[str]:
    parts = [part for part in _plain_case(name).split("/") if part not in ("", ".")]
    return [*parts[:-1], UPLOAD_PREFIX.sub("", parts[-1])]


def _common_end(path: Path, parts: list[str]) -> int:
    """Return the number of trailing components that a path shares with `parts`."""
    count = 0
    for mine, other in zip(path.parts[-2::-1], parts[-2::-1], strict=False):
        if mine.lower() != other.lower():
            break
        count += 1
    return count


def image_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image after EXIF rotation, from its header.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        with PIL.Image.open(path) as image:
            width, height = image.size
            orientation = image.getexif().get(ORIENTATION_TAG, 1)
            # Pillow already exchanges width and height of a TIFF
            is_exchanged = image.format == "TIFF"
    except (OSError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise DataError(
            f"{path}: cannot be read as an image ({error}); add it or remove its labels"
        ) from error
    exchange = orientation in range(5, 9) and not is_exchanged
    return (height, width) if exchange else (width, height)
