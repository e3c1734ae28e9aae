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
from .photos import Photo


class ImageCache:
    """Gives the image of photo i, RGB (H, W, 3), read-only; written once per list of photos."""

    def __init__(self, folder: Path, photos: Sequence[Photo]) -> None:
        """Open the cache in `folder`, or write it there: about 0.6 MB per photo.

        Raises: DataError, ImageError.
        """
        if not photos:
            raise DataError("no photos to cache; wanted at least one")
        stats = [(photo.image, photo.image.stat()) for photo in photos]
        names = "\n".join(f"{image} {stat.st_size} {stat.st_mtime_ns}" for image, stat in stats)
        stem = hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest()[:16]
        pixels, index = folder / f"{stem}.pixels", folder / f"{stem}.json"
        if not index.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write_images(pixels, index, photos)
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


def _write_images(pixels: Path, index: Path, photos: Sequence[Photo]) -> None:
    """Write both files; the index comes last, so an interrupted cache is written again."""
    shapes = []
    with atomic_path(pixels) as temporary, temporary.open("wb") as file:
        for photo in photos:
            image = read_image(photo.image)
            shapes.append(list(image.shape[:2]))
            file.write(image.tobytes())
    with atomic_path(index) as temporary:
        temporary.write_text(json.dumps(shapes), encoding="utf-8")
