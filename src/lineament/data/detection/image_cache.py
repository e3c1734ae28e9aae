"""Decoded images in one memory-mapped file, so that training never waits for JPEG.

Depends on array_cache.py.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...io.image import read_image
from ..array_cache import cached_table, digest, file_state


class ImageCache:
    """Give the image of file i, RGB (H, W, 3), read-only; written once per list of files."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        """Open the cache in `folder`, or write it there: about 0.6 MB per image.

        Raises:
            DataError: If there is no file, or the cache is broken.
            ImageError: If an image cannot be read.
        """
        if not files:
            raise DataError("no images to cache; wanted at least one")
        key = digest([file_state(file) for file in files])
        self.pixels, columns = cached_table(
            folder / f"photos-{key}", lambda: _read(files)
        )
        self.shapes = columns["shape"]
        self.starts = np.concatenate([[0], np.cumsum(self.shapes.prod(axis=1))])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        return self.pixels[self.starts[i] : self.starts[i + 1]].reshape(self.shapes[i])


def _read(
    files: Sequence[Path],
) -> Iterator[tuple[NDArray[np.uint8], dict[str, tuple[int, ...]]]]:
    for file in files:
        image = read_image(file)
        yield image.ravel(), {"shape": image.shape}
