"""Recurrent state of temporal models: features along a crop's axes.

When the next frame's crop is shifted or scaled, the state is resampled; rotation is
ignored.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..crop import scale_and_shift, source_cells
from ..geometry import Array


class RecurrentState(NamedTuple):
    """State of F faces after a frame."""

    maps: NDArray[np.float32]
    """(F, 2, W, L): W features at L cells along x and along y of each crop."""
    image_to_crop: Array
    """(F, 2, 3): affines of the crops."""

    def moved_to(self, image_to_crop: Array, size: int) -> NDArray[np.float32]:
        """Resample the maps (F, 2, W, L) at the cells of other crops.

        Args:
            image_to_crop: Affines of the other crops, (F, 2, 3).
            size: Side of all crops, pixels.
        """
        resampled = np.empty_like(self.maps)
        length = self.maps.shape[-1]
        for k, (before, now) in enumerate(
            zip(self.image_to_crop, image_to_crop, strict=True)
        ):
            scale, shift = scale_and_shift(before, now, size)
            for axis in range(2):
                low, high, weight = source_cells(
                    np.arange(length), length, size, scale, shift[axis]
                )
                rest, row = weight.astype(np.float32), self.maps[k, axis]
                below, above = row[:, low.astype(int)], row[:, high.astype(int)]
                resampled[k, axis] = below * (1 - rest) + above * rest
        return resampled
