"""Decoded photos in one memory-mapped file, so that training does not wait for JPEG."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic_path
from ...errors import DataError
from ...io.image import read_image


class ImageCache:
    """Gives the image of file i, RGB (H, W, 3), read-only; written once per list of files."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        """Open the cache in `folder`, or write it there: about 0.6 MB per image.

        Raises: DataError, ImageError.
        """
        if not files:
            raise DataError("no images to cache; wanted at least one")
        stats = [(file, file.stat()) for file in files]
        names = "\n".join(f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats)
        stem = hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest()[:16]
        pixels, index = folder / f"{stem}.pixels", folder / f"{stem}.json"
        if not index.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write_images(pixels, index, files)
        self.shapes: list[list[int]] = json.loads(index.read_text(encoding="utf-8"))
        sizes = [height * width * 3 for height, width in self.shapes]
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        size = pixels.stat().st_size
        if size != self.starts[-1]:
            raise DataError(f"{pixels} has {size} bytes, wanted {self.starts[-1]}; delete {folder}")
        self.pixels = np.memmap(pixels, np.uint8, "r")

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        height, width = self.shapes[i]
        return self.pixels[self.starts[i] : self.starts[i + 1]].reshape(height, width, 3)


def _write_images(pixels: Path, index: Path, files: Sequence[Path]) -> None:
    """Write both files; the index comes last, so an interrupted cache is written again."""
    shapes = []
    with atomic_path(pixels) as temporary, temporary.open("wb") as out:
        for file in files:
            image = read_image(file)
            shapes.append(list(image.shape[:2]))
            out.write(image.tobytes())
    with atomic_path(index) as temporary:
        temporary.write_text(json.dumps(shapes), encoding="utf-8")
