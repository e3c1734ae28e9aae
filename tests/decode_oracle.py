"""Heatmaps -> landmarks: argmax, quarter offset, DARK and expectation, in two dimensions or one an axis.

Each is the inverse of its target (learn/target.py): cell c is crop pixel (c + 0.5) stride - 0.5. NumPy only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ShapeError
from ..geometry import Array

NEAR = 0.1  # a score counts the share of the distribution within this fraction of the crop's side
TINY = 1e-12  # of the peak: what a cell counts at least where its logarithm is taken
STEP = 1.5  # cells: how far a Taylor expansion is trusted; from beside a border it may have to go one cell further


@dataclass(frozen=True, eq=False)
class Decoded:
    """What heatmaps say of B crops."""

    landmarks_crop: Array
    """(B, N, 2), pixels of the crop, never beyond it."""
    scores: Array
    """(B, N): the share of the distribution within a tenth of the crop's side of the landmark, along each axis."""
    sigma_px: Array
    """(B, N): root mean square distance of the distribution from the landmark along an axis, pixels of the crop."""


def decode_argmax(heatmaps: ArrayLike, stride: float, logits: bool = False) -> Decoded:
    """Decoded centre of the highest cell, the first of equals: at most half a cell off along an axis.

    heatmaps: (B, N, h, w), in proportion to a distribution; values below 0 count as 0.    stride: crop pixels a cell.
    logits: take the softmax of each map first.    Raises: ShapeError where the shape differs or a value is not finite.
    """
    maps = _distributions(heatmaps, 4, logits)
    return _decoded(maps, _highest(maps).astype(np.float64), stride)


def decode_quarter(heatmaps: ArrayLike, stride: float, logits: bool = False) -> Decoded:
    """Decoded highest cell, moved a quarter of a cell towards the higher neighbor of each axis; at a border it stays.

    At most a quarter of a cell off along an axis. Arguments and errors as for decode_argmax.
    Source: Newell, Yang, Deng 2016, section 3.2.
    """
    maps = _distributions(heatmaps, 4, logits)
    cells = _highest(maps)
    offset = np.zeros(cells.shape)
    for axis, (dx, dy) in enumerate(((1, 0), (0, 1))):
        inner = (cells[..., axis] > 0) & (cells[..., axis] < maps.shape[3 - axis] - 1)
        rise = _at(maps, cells, dx, dy) - _at(maps, cells, -dx, -dy)
        offset[..., axis] = np.where(inner, 0.25 * np.sign(rise), 0.0)
    return _decoded(maps, cells + offset, stride)


def decode_dark(heatmaps: ArrayLike, stride: float, sigma: float, logits: bool = False) -> Decoded:
    """Decoded peak of the Gaussian through the log of the map around its highest cell, by one Newton step.

    sigma: width of the Gaussian the map is smoothed by first, in cells: that of the target; 0 smooths nothing.
    Within 3 sigma of the border nothing is smoothed, as that would pull inwards; a border cell is expanded from its
    inner neighbor. A map that is not concave there stays at its highest cell.
    Other arguments and errors as for decode_argmax; a map has at least 3 x 3 cells.
    Source: Zhang et al. 2020 (DARK), eq. 5-10; smoothed without rescaling, which a logarithm's slope does not see.
    """
    maps = _distributions(heatmaps, 4, logits)
    height, width = maps.shape[2:]
    if min(height, width) < 3:
        raise ShapeError(
            f"heatmaps have {height} x {width} cells; wanted at least 3 x 3 for a second derivative"
        )
    smooth = _kernel(height, sigma) @ maps @ _kernel(width, sigma)
    close = np.any(
        _close(_highest(smooth), np.array([width, height]), sigma), axis=-1, keepdims=True
    )
    smooth = np.where(close[..., None], maps, smooth)
    highest = _highest(smooth)
    cells = np.clip(highest, 1, [width - 2, height - 2])
    floor = np.maximum(smooth.max((2, 3)) * TINY, np.finfo(np.float64).tiny)
    near = {
        (x, y): np.log(np.maximum(_at(smooth, cells, x, y), floor))
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
    }
    slope_x, slope_y = (near[1, 0] - near[-1, 0]) / 2, (near[0, 1] - near[0, -1]) / 2
    xx, yy = near[1, 0] - 2 * near[0, 0] + near[-1, 0], near[0, 1] - 2 * near[0, 0] + near[0, -1]
    xy = (near[1, 1] - near[1, -1] - near[-1, 1] + near[-1, -1]) / 4
    determinant = xx * yy - xy**2
    concave = (xx < 0) & (yy < 0) & (determinant > 1e-12)
    safe = np.where(concave, determinant, 1.0)
    step = (
        np.stack([xy * slope_y - yy * slope_x, xy * slope_x - xx * slope_y], -1) / safe[..., None]
    )
    peak = np.where(concave[..., None], cells + np.clip(step, -STEP, STEP), highest)
    return _decoded(maps, peak, stride)


def decode_soft_argmax(heatmaps: ArrayLike, stride: float, logits: bool = False) -> Decoded:
    """Decoded mean of the map as a distribution. Arguments and errors as for decode_argmax."""
    maps = _distributions(heatmaps, 4, logits)
    mean = np.stack([_mean(maps.sum(2)), _mean(maps.sum(3))], -1)
    return _decoded(maps, mean, stride)


def decode_argmax_1d(
    heatmaps_x: ArrayLike, heatmaps_y: ArrayLike, stride: float, logits: bool = False
) -> Decoded:
    """Decoded centre of the highest cell of each axis, the first of equals: at most half a cell off.

    heatmaps_x, heatmaps_y: (B, N, L), in proportion to distributions along x and y.
    Other arguments and errors as for decode_argmax.
    """
    axes = _pair(heatmaps_x, heatmaps_y, logits)
    return _decoded_1d(axes, [axis.argmax(-1).astype(np.float64) for axis in axes], stride)


def decode_dark_1d(
    heatmaps_x: ArrayLike, heatmaps_y: ArrayLike, stride: float, sigma: float, logits: bool = False
) -> Decoded:
    """Decoded peak of the Gaussian through the log of each axis around its highest cell: decode_dark in one dimension.

    heatmaps_x, heatmaps_y: (B, N, L), L at least 3.    sigma: as for decode_dark.
    Other arguments and errors as for decode_argmax.
    """
    axes = _pair(heatmaps_x, heatmaps_y, logits)
    return _decoded_1d(axes, [_dark_axis(axis, sigma) for axis in axes], stride)


def decode_expectation_1d(
    heatmaps_x: ArrayLike, heatmaps_y: ArrayLike, stride: float, logits: bool = False
) -> Decoded:
    """Decoded mean of the distribution along each axis. Arguments and errors as for decode_argmax_1d."""
    axes = _pair(heatmaps_x, heatmaps_y, logits)
    return _decoded_1d(axes, [_mean(axis) for axis in axes], stride)


def _distributions(heatmaps: ArrayLike, ndim: int, logits: bool) -> Array:
    """Each map as a distribution, float64; without a positive value one counts from its lowest, a flat one is even."""
    maps = np.asarray(heatmaps, dtype=np.float64)
    if maps.ndim != ndim or 0 in maps.shape[2:]:
        wanted = "(B, N, h, w)" if ndim == 4 else "(B, N, L)"
        raise ShapeError(
            f"heatmaps have shape {maps.shape}; wanted {wanted}, one map for each landmark of each crop"
        )
    if not np.isfinite(maps).all():
        raise ShapeError(
            f"heatmaps hold {int((~np.isfinite(maps)).sum())} values that are not finite; wanted numbers"
        )
    axes = tuple(range(2, ndim))
    if logits:
        weights = np.exp(maps - maps.max(axes, keepdims=True))
    else:
        positive = maps.max(axes, keepdims=True) > 0
        weights = np.where(positive, np.maximum(maps, 0), maps - maps.min(axes, keepdims=True))
        # divided by its peak first, so that neither a tiny nor a huge map loses its sum
        peak = weights.max(axes, keepdims=True)
        weights = np.where(peak > 0, weights / np.where(peak > 0, peak, 1.0), 1.0)
    return np.asarray(weights / weights.sum(axes, keepdims=True))


def _pair(heatmaps_x: ArrayLike, heatmaps_y: ArrayLike, logits: bool) -> list[Array]:
    axes = [_distributions(heatmaps, 3, logits) for heatmaps in (heatmaps_x, heatmaps_y)]
    if axes[0].shape[:2] != axes[1].shape[:2]:
        raise ShapeError(
            f"heatmaps_x have shape {axes[0].shape}, heatmaps_y {axes[1].shape}; wanted the same (B, N)"
        )
    return axes


def _highest(maps: Array) -> NDArray[np.intp]:
    """x and y (B, N, 2) of the highest cell of maps (B, N, h, w)."""
    row, column = np.divmod(
        maps.reshape(*maps.shape[:2], maps.shape[2] * maps.shape[3]).argmax(-1), maps.shape[3]
    )
    return np.stack([column, row], -1)


def _at(maps: Array, cells: NDArray[np.intp], dx: int, dy: int) -> Array:
    """The values (B, N) of maps (B, N, h, w) beside `cells` (B, N, 2), repeated beyond the border."""
    height, width = maps.shape[2:]
    x, y = np.clip(cells[..., 0] + dx, 0, width - 1), np.clip(cells[..., 1] + dy, 0, height - 1)
    batch, point = np.ogrid[: maps.shape[0], : maps.shape[1]]
    return np.asarray(maps[batch, point, y, x])


def _kernel(length: int, sigma: float) -> Array:
    """The symmetric matrix (L, L) that smooths along an axis."""
    if sigma == 0:
        return np.eye(length)
    cells = np.arange(length)
    return np.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma**2))


def _close(
    cells: NDArray[np.intp], length: int | NDArray[np.intp], sigma: float
) -> NDArray[np.bool_]:
    return np.asarray((cells < 3 * sigma) | (cells > length - 1 - 3 * sigma))


def _dark_axis(axis: Array, sigma: float) -> Array:
    length = axis.shape[-1]
    if length < 3:
        raise ShapeError(f"heatmaps have {length} cells; wanted at least 3 for a second derivative")
    smooth = axis @ _kernel(length, sigma)
    smooth = np.where(_close(smooth.argmax(-1), length, sigma)[..., None], axis, smooth)
    highest = smooth.argmax(-1)
    cells = np.clip(highest, 1, length - 2)
    floor = np.maximum(smooth.max(-1) * TINY, np.finfo(np.float64).tiny)
    low, middle, high = (
        np.log(np.maximum(np.take_along_axis(smooth, (cells + d)[..., None], -1)[..., 0], floor))
        for d in (-1, 0, 1)
    )
    curve = high - 2 * middle + low
    concave = curve < -1e-9
    step = np.clip((low - high) / 2 / np.where(concave, curve, 1.0), -STEP, STEP)
    return np.asarray(np.where(concave, cells + step, highest))


def _mean(axis: Array) -> Array:
    return axis @ np.arange(axis.shape[-1], dtype=np.float64)


def _spread(axis: Array, cells: Array) -> Array:
    """The mean square distance (B, N) of distributions (B, N, L) from `cells` (B, N), in cells squared."""
    distance = np.arange(axis.shape[-1]) - cells[..., None]
    return np.asarray((axis * distance**2).sum(-1))


def _near(axis: Array, cells: Array) -> NDArray[np.bool_]:
    length = axis.shape[-1]
    return np.asarray(np.abs(np.arange(length) - cells[..., None]) <= max(0.5, NEAR * length))


def _decoded(maps: Array, cells: Array, stride: float) -> Decoded:
    height, width = maps.shape[2:]
    along_x, along_y = maps.sum(2), maps.sum(3)
    cells = np.clip(cells, -0.5, [width - 0.5, height - 0.5])
    x, y = cells[..., 0], cells[..., 1]
    rows = (maps @ _near(along_x, x)[..., None].astype(np.float64))[..., 0]
    scores = (rows * _near(along_y, y)).sum(-1)
    sigma = np.sqrt((_spread(along_x, x) + _spread(along_y, y)) / 2)
    return Decoded((cells + 0.5) * stride - 0.5, np.minimum(scores, 1.0), sigma * stride)


def _decoded_1d(axes: list[Array], cells: list[Array], stride: float) -> Decoded:
    inside = [np.clip(c, -0.5, axis.shape[-1] - 0.5) for axis, c in zip(axes, cells, strict=True)]
    shares = [(axis * _near(axis, c)).sum(-1) for axis, c in zip(axes, inside, strict=True)]
    sigma = np.sqrt(sum(_spread(axis, c) for axis, c in zip(axes, inside, strict=True)) / 2)
    landmarks_crop = (np.stack(inside, -1) + 0.5) * stride - 0.5
    return Decoded(landmarks_crop, np.minimum(shares[0] * shares[1], 1.0), sigma * stride)
