"""Decoded photos in one memory-mapped file, so that training never waits for JPEG.

Depends on array_cache.py.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...io.image import read_image
from ..array_cache import cached_table, digest, file_state
from .photos import Photo


class ImageCache:
    """Give the image of photo i, RGB (H, W, 3), read-only; written once per list of photos."""

    def __init__(self, folder: Path, photos: Sequence[Photo]) -> None:
        """Open the cache, or make it: about 0.6 MB per photo.

        Args:
            folder: Where the cache is kept.
            photos: The photos.

        Raises:
            DataError: If there is no photo, or the cache is broken.
            ImageError: If an image cannot be read.
        """
        if not photos:
            raise DataError("no photos to cache; wanted at least one")
        key = digest([file_state(photo.image) for photo in photos])
        self.pixels, columns = cached_table(folder / f"photos-{key}", lambda: _read(photos))
        self.shapes = columns["shape"]
        self.starts = np.concatenate([[0], np.cumsum(self.shapes.prod(axis=1))])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        return self.pixels[self.starts[i] : self.starts[i + 1]].reshape(self.shapes[i])


def _read(
    photos: Sequence[Photo],
) -> Iterator[tuple[NDArray[np.uint8], dict[str, tuple[int, ...]]]]:
    for photo in photos:
        image = read_image(photo.image)
        yield image.ravel(), {"shape": image.shape}
