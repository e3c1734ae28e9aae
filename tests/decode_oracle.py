"""Decoders of heatmaps in NumPy and double precision: the oracle of models/decoders.py.

Cell c of a map is crop pixel (c + 0.5) stride - 0.5.
"""

from dataclasses import dataclass

import numpy as np

TINY = 1e-12  # lower bound of a cell before the logarithm, relative to the peak
STEP = 1.5  # largest Newton step, in cells, for which the Taylor expansion is valid


@dataclass(frozen=True, eq=False)
class Decoded:
    """Landmarks (B, N, 2) and sigma (B, N), both in pixels of the crop."""

    landmarks_crop: np.ndarray
    sigma_px: np.ndarray


def decode_argmax(logits, stride):
    """Decode logits (B, N, h, w) at the highest cell; ties go to the first."""
    maps = softmax(logits, (2, 3))
    return _decoded(maps, _highest(maps).astype(np.float64), stride)


def decode_quarter(logits, stride):
    """Decode at the highest cell, moved a quarter cell toward the higher neighbors.

    Source: Newell, Yang, Deng 2016, section 3.2.
    """
    maps = softmax(logits, (2, 3))
    cells = _highest(maps)
    offset = np.zeros(cells.shape)
    for axis, (dx, dy) in enumerate(((1, 0), (0, 1))):
        inner = (cells[..., axis] > 0) & (cells[..., axis] < maps.shape[3 - axis] - 1)
        rise = _at(maps, cells, dx, dy) - _at(maps, cells, -dx, -dy)
        offset[..., axis] = np.where(inner, 0.25 * np.sign(rise), 0.0)
    return _decoded(maps, cells + offset, stride)


def decode_dark(logits, stride, sigma):
    """Decode at the peak of a Gaussian fitted to the log heatmap, by one Newton step.

    sigma: Standard deviation of the initial Gaussian smoothing, cells. Maps whose peak is within
    3 sigma of the border are not smoothed.
    Source: Zhang et al. 2020 (DARK), eq. 5-10.
    """
    maps = softmax(logits, (2, 3))
    height, width = maps.shape[2:]
    smooth = _kernel(height, sigma) @ maps @ _kernel(width, sigma)
    close = _close(_highest(smooth), np.array([width, height]), sigma).any(-1)
    smooth = np.where(close[..., None, None], maps, smooth)
    highest = _highest(smooth)
    cells = np.clip(highest, 1, [width - 2, height - 2])
    floor = smooth.max((2, 3)) * TINY + np.finfo(np.float64).tiny
    near = {}
    for x in (-1, 0, 1):
        for y in (-1, 0, 1):
            near[x, y] = np.log(np.maximum(_at(smooth, cells, x, y), floor))
    slope = np.stack([near[1, 0] - near[-1, 0], near[0, 1] - near[0, -1]], -1) / 2
    xx = near[1, 0] - 2 * near[0, 0] + near[-1, 0]
    yy = near[0, 1] - 2 * near[0, 0] + near[0, -1]
    xy = (near[1, 1] - near[1, -1] - near[-1, 1] + near[-1, -1]) / 4
    concave = (xx < 0) & (yy < 0) & (xx * yy - xy**2 > 1e-12)
    hessian = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -1)
    hessian = np.where(concave[..., None, None], hessian, -np.eye(2))
    step = np.clip(-np.linalg.solve(hessian, slope[..., None])[..., 0], -STEP, STEP)
    return _decoded(maps, np.where(concave[..., None], cells + step, highest), stride)


def decode_expectation(logits, stride):
    """Decode at the mean of the distribution."""
    maps = softmax(logits, (2, 3))
    return _decoded(
        maps, np.stack([_mean(maps.sum(2)), _mean(maps.sum(3))], -1), stride
    )


def decode_argmax_1d(logits_x, logits_y, stride):
    """Decode logits (B, N, L) along x and y at their highest cells."""
    axes = softmax(logits_x, 2), softmax(logits_y, 2)
    return _decoded_1d(
        axes, [axis.argmax(-1).astype(np.float64) for axis in axes], stride
    )


def decode_quarter_1d(logits_x, logits_y, stride):
    """Decode each axis as decode_quarter does."""
    axes = softmax(logits_x, 2), softmax(logits_y, 2)
    cells = []
    for axis in axes:
        padded = np.pad(axis, ((0, 0), (0, 0), (1, 1)))
        highest = axis.argmax(-1)
        before = np.take_along_axis(padded, highest[..., None], -1)[..., 0]
        after = np.take_along_axis(padded, highest[..., None] + 2, -1)[..., 0]
        inner = (highest > 0) & (highest < axis.shape[-1] - 1)
        cells.append(highest + np.where(inner, 0.25 * np.sign(after - before), 0.0))
    return _decoded_1d(axes, cells, stride)


def decode_dark_1d(logits_x, logits_y, stride, sigma):
    """Decode each axis as decode_dark does in two dimensions."""
    axes = softmax(logits_x, 2), softmax(logits_y, 2)
    return _decoded_1d(axes, [_dark_axis(axis, sigma) for axis in axes], stride)


def decode_expectation_1d(logits_x, logits_y, stride):
    """Decode each axis at its mean."""
    axes = softmax(logits_x, 2), softmax(logits_y, 2)
    return _decoded_1d(axes, [_mean(axis) for axis in axes], stride)


def softmax(logits, axes):
    """Return the distribution of `logits` over `axes` in double precision."""
    logits = np.asarray(logits, dtype=np.float64)
    weights = np.exp(logits - logits.max(axes, keepdims=True))
    return weights / weights.sum(axes, keepdims=True)


def _highest(maps):
    """Return x and y (B, N, 2) of the highest cell of maps (B, N, h, w)."""
    row, column = np.divmod(maps.reshape(*maps.shape[:2], -1).argmax(-1), maps.shape[3])
    return np.stack([column, row], -1)


def _at(maps, cells, dx, dy):
    """Return the values (B, N) of maps (B, N, h, w) at an offset from `cells`, clamped."""
    height, width = maps.shape[2:]
    x, y = (
        np.clip(cells[..., 0] + dx, 0, width - 1),
        np.clip(cells[..., 1] + dy, 0, height - 1),
    )
    batch, point = np.ogrid[: maps.shape[0], : maps.shape[1]]
    return maps[batch, point, y, x]


def _kernel(length, sigma):
    """Return the symmetric matrix (L, L) that smooths along one axis."""
    if sigma == 0:
        return np.eye(length)
    cells = np.arange(length)
    return np.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma**2))


def _close(cells, length, sigma):
    return (cells < 3 * sigma) | (cells > length - 1 - 3 * sigma)


def _dark_axis(axis, sigma):
    length = axis.shape[-1]
    smooth = axis @ _kernel(length, sigma)
    smooth = np.where(_close(smooth.argmax(-1), length, sigma)[..., None], axis, smooth)
    highest = smooth.argmax(-1)
    cells = np.clip(highest, 1, length - 2)
    floor = smooth.max(-1) * TINY + np.finfo(np.float64).tiny
    near = [
        np.take_along_axis(smooth, (cells + d)[..., None], -1)[..., 0]
        for d in (-1, 0, 1)
    ]
    low, middle, high = np.log(np.maximum(near, floor))
    curve = high - 2 * middle + low
    concave = curve < -1e-9
    step = np.clip((low - high) / 2 / np.where(concave, curve, 1.0), -STEP, STEP)
    return np.where(concave, cells + step, highest)


def _mean(axis):
    return axis @ np.arange(axis.shape[-1], dtype=np.float64)


def _spread(axis, cells):
    """Return the mean squared distance (B, N) of distributions (B, N, L) from `cells`, cells^2."""
    return (axis * (np.arange(axis.shape[-1]) - cells[..., None]) ** 2).sum(-1)


def _decoded(maps, cells, stride):
    return _decoded_1d(
        (maps.sum(2), maps.sum(3)), (cells[..., 0], cells[..., 1]), stride
    )


def _decoded_1d(axes, cells, stride):
    variance = sum(_spread(axis, c) for axis, c in zip(axes, cells, strict=True)) / 2
    return Decoded(
        (np.stack(cells, -1) + 0.5) * stride - 0.5, np.sqrt(variance) * stride
    )
