"""What a model remembers of faces, moved with their crops: it stays where it was in the picture.

Models that remember keep features along the axes of the crop. The next frame's crop is another one, a little aside,
larger or turned; the turn, which two axes cannot follow, is left out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..crop import old_cells, scale_and_shift
from ..geometry import Array


class Memory(NamedTuple):
    """What is remembered of F faces."""

    maps: NDArray[np.float32]
    """(F, 2, W, L): W features at L cells along x and along y of each crop."""
    affines: Array
    """(F, 2, 3): image_to_crop of the crops that they are of."""

    def seen_by(self, affines: Array, size: int) -> NDArray[np.float32]:
        """`maps` at the cells of the crops of `affines` (F, 2, 3), of `size` pixels a side."""
        moved = np.empty_like(self.maps)
        for k, (before, now) in enumerate(zip(self.affines, affines, strict=True)):
            scale, shift = scale_and_shift(before, now, size)
            for axis in range(2):
                cells = old_cells(
                    np.arange(self.maps.shape[-1]), self.maps.shape[-1], size, scale, shift[axis]
                )
                cells = cells.clip(0, self.maps.shape[-1] - 1)
                low = cells.astype(np.intp)
                high = np.minimum(low + 1, self.maps.shape[-1] - 1)
                rest = (cells - low).astype(np.float32)
                row = self.maps[k, axis]
                moved[k, axis] = row[:, low] * (1 - rest) + row[:, high] * rest
        return moved
