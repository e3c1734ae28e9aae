"""Decoded images in one memory-mapped file, so that training never waits for JPEG decoding.

Depends on array_cache.py.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..array_cache import cached_table, digest, file_state
from .photos import Photo


class ImageCache:
    """A sequence of cached images, RGB (H, W, 3), read-only; written once per list of photos."""

    def __init__(self, folder: Path, photos: Sequence[Photo]) -> None:
        """Open the cache in `folder`, or create it; it takes about 0.3 MB per image.

        Raises:
            DataError: If `photos` is empty, or the cache is broken.
            ImageError: If an image cannot be read.
        """
        if not photos:
            raise DataError("no images to cache; expected at least one")
        key = images_digest(photos)
        self.pixels, columns = cached_table(
            folder / f"photos-{key}", lambda: _read(photos)
        )
        self.shapes = columns["shape"]
        self.starts = np.concatenate([[0], np.cumsum(self.shapes.prod(axis=1))])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        return self.pixels[self.starts[i] : self.starts[i + 1]].reshape(self.shapes[i])


def images_digest(photos: Sequence[Photo]) -> str:
    """Return a digest that changes when the images of `photos` change."""
    return digest([file_state(photo.image, photo.frame) for photo in photos])


def _read(
    photos: Sequence[Photo],
) -> Iterator[tuple[NDArray[np.uint8], dict[str, tuple[int, ...]]]]:
    for photo in photos:
        image = photo.read()
        yield image.ravel(), {"shape": image.shape}
