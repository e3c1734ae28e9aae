"""Find the images named in an annotation table, in the layouts of COCO, CVAT, FiftyOne, ..."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import PIL.Image

from ...errors import DataError
from ...io.image import ORIENTATION_TAG
from ...io.media_files import has_image_suffix, visible_files

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
        self.bases = list(dict.fromkeys(self._bases()))
        self.found = 0
        self.missing: list[str] = []
        self._by_name: dict[str, list[Path]] | None = None

    def _bases(self) -> Iterator[Path]:
        if self.pictures is not None:
            yield self.pictures
        subset = TABLE_KINDS.sub("", self.table.stem)
        for home in (self.home, self.home.parent):
            for folder in FOLDERS:
                yield home / folder
                yield home / folder / subset

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
        """Return the image whose path matches the longest end of `parts`, ignoring case."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for folder in filter(None, (self.pictures, self.home)):
                for path in visible_files(folder, "**/*"):
                    if has_image_suffix(path):
                        self._by_name[path.name.lower()].append(path)
        if not parts:
            return None
        last = parts[-1].lower()
        matches = self._by_name.get(last) or self._by_name.get(
            UPLOAD_PREFIX.sub("", last)
        )
        if not matches:
            return None
        scores = [_common_end(path, parts) for path in matches]
        best = max(scores)
        return matches[scores.index(best)] if scores.count(best) == 1 else None

    def check(self) -> None:
        """Raise DataError if required images are missing, listing the searched folders."""
        if not self.missing or not self.needed:
            return
        count = f"{len(self.missing)} of {len(self.missing) + self.found} images"
        places = ", ".join(str(base) for base in self.bases)
        raise DataError(
            f"{self.table}: {count} were not found, e.g. {self.missing[0]!r}; looked in {places}, "
            f"and for the name anywhere below {self.pictures or self.home}; give the folder "
            'of the images: pictures = "..."'
        )


def _plain_path(name: str) -> str:
    """Return a path or URL with forward slashes, without drive, query or escapes."""
    name = re.sub(r"^(https?://[^?]*)\?.*", r"\1", name.rpartition("?d=")[2])
    name = re.sub(r"(?:%[0-9A-Fa-f]{2})+", _unescaped, name)
    return re.sub(r"^(?:[A-Za-z]:|file://|https?://[^/]*)", "", name.replace("\\", "/"))


def _unescaped(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


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
