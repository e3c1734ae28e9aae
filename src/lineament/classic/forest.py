"""Ferns and trees over differences of shape-indexed pixels.

Source: Dollar, Welinder, Perona 2010 (ferns); Cao et al. 2012, section 2.3 (pixels relative to
landmarks, differences of two); Kazemi, Sullivan 2014, section 2.3 (trees).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .shapes import Arrays, Shapes, as_rows, fit_rotation_and_scale, from_rows

CHUNK = 512
"""Shapes updated at once, to limit memory."""


@dataclass(frozen=True, eq=False)
class Forest:
    """K trees of equal depth, or ferns: trees with one shared split per level."""

    pairs: NDArray[np.uint16]
    """(K, nodes, 2): the two pixels of each split. A tree of depth d has 2^d - 1 nodes, ordered by
    level; a fern has d."""
    thresholds: NDArray[np.int16]
    """(K, nodes): samples with a larger difference go to the second child."""
    outputs: NDArray[np.floating]
    """(K, 2^d, D): coefficients of the update, by leaf."""

    @property
    def depth(self) -> int:
        """Number of levels."""
        return int(self.outputs.shape[1]).bit_length() - 1

    def leaves(self, values: NDArray[np.int16]) -> NDArray[np.intp]:
        """Return the leaf (n, K) that pixel values (n, P) reach in each tree."""
        rows, trees = np.arange(len(values))[:, None], np.arange(len(self.pairs))
        leaf = np.zeros((len(values), len(self.pairs)), np.intp)
        has_one_split = self.pairs.shape[1] == self.depth
        for level in range(self.depth):
            node = level if has_one_split else 2**level - 1 + leaf
            pair = self.pairs[trees, node]
            difference = values[rows, pair[..., 0]] - values[rows, pair[..., 1]]
            leaf = 2 * leaf + (difference > self.thresholds[trees, node])
        return leaf

    def __call__(self, values: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return the sum of all outputs (n, D) for pixel values (n, P)."""
        trees = np.arange(len(self.pairs))
        chosen = self.outputs[trees, self.leaves(values)]  # (n, K, D)
        return np.asarray(chosen.sum(1, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class ShapePixels:
    """P pixels that are translated, rotated and scaled with a shape."""

    landmarks: NDArray[np.uint16]
    """(P,): landmark of each pixel."""
    offsets: Shapes
    """(P,): offsets from the landmarks, in the frame of the mean shape."""

    def read(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.intp],
        shapes: Shapes,
        mean: Shapes,
    ) -> NDArray[np.int16]:
        """Return the values (n, P); positions outside the image are clamped to its border.

        Args:
            images: Gray crops, (F, S, S).
            rows: (n,), index of the crop of each shape.
            shapes: (n, N), pixels of the crop.
            mean: Mean shape, (N,).
        """
        rotated = self.offsets / fit_rotation_and_scale(shapes, mean)[:, None]
        positions = shapes[:, self.landmarks] + rotated
        last = images.shape[-1] - 1
        x = np.clip(np.rint(positions.real), 0, last).astype(np.intp)
        y = np.clip(np.rint(positions.imag), 0, last).astype(np.intp)
        return images[rows[:, None], y, x].astype(np.int16)


class ForestStage:
    """One stage of a cascade: a forest over the pixels of the stage."""

    names: ClassVar[tuple[str, ...]] = (
        "landmarks",
        "offsets",
        "pairs",
        "thresholds",
        "outputs",
        "basis",
    )
    channels = "gray"

    def __init__(self, arrays: Arrays) -> None:
        """Unpack the arrays of `names`; offsets are (P, 2), basis is (D, 2 N)."""
        offsets = arrays["offsets"].astype(np.float64)
        self.pixels = ShapePixels(
            arrays["landmarks"], offsets[:, 0] + 1j * offsets[:, 1]
        )
        self.forest = Forest(
            arrays["pairs"], arrays["thresholds"], arrays["outputs"].astype(np.float32)
        )
        self.basis = arrays["basis"].astype(np.float32)

    def update(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.intp],
        shapes: Shapes,
        mean: Shapes,
    ) -> Shapes:
        """Return the update (n, N) of shapes (n, N) in the frame of the mean shape."""
        parts = []
        for start in range(0, len(shapes), CHUNK):
            part = slice(start, start + CHUNK)
            values = self.pixels.read(images, rows[part], shapes[part], mean)
            parts.append(self.forest(values) @ self.basis)
        return from_rows(np.concatenate(parts))


def principal_basis(updates: Shapes, variance_fraction: float) -> NDArray[np.float32]:
    """Return the principal directions (D, 2 N) of updates (n, N).

    They explain at least `variance_fraction` of the power of the updates.
    """
    rows = as_rows(updates).astype(np.float64)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    explained = np.cumsum(values[::-1]) / values.sum()
    count = int(np.searchsorted(explained, variance_fraction)) + 1
    return np.ascontiguousarray(vectors[:, ::-1][:, :count].T, dtype=np.float32)
