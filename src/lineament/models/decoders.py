"""Decoding of heatmaps to landmarks: expectation, argmax, quarter offset and DARK.

The inverse of training/targets.py: cell c is crop pixel (c + 0.5) stride - 0.5. Depends on torch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import RecipeError

STEP = 1.5
"""Largest step, in cells, for which the Taylor expansion is used; at the border, one cell more."""
MIN_CURVATURE = 1e-6
"""Second derivatives of the log below this magnitude are treated as rounding errors."""
MAX_JUMP = {"argmax": 1.0, "quarter": 0.5}
"""Cells by which rounding alone may move a landmark; 0 for other decoders."""

FLOOR = 0.03
"""Height below which a map of Gaussians carries no information."""
TINY = 1.2346e-4
"""Weight of all values below the floor, in units of FLOOR^4."""


class Smoothing(NamedTuple):
    """Gaussian smoothing that DARK applies to a heatmap before the logarithm."""

    sigma: float = 0.0
    """Standard deviation in cells; 0: no smoothing."""
    border: float = 0.0
    """Distance from an edge, in cells, within which smoothing is skipped: it would pull the peak
    inwards."""


UNSMOOTHED = Smoothing()


def decode_1d(
    logits_x: Tensor,
    logits_y: Tensor,
    stride: float,
    decoder: str = "expectation",
    smoothing: Smoothing = UNSMOOTHED,
) -> tuple[Tensor, Tensor]:
    """Decode one heatmap along each axis.

    Args:
        logits_x, logits_y: (B, N, L).
        stride: Crop pixels per cell.
        decoder: One of DECODERS.
        smoothing: Smoothing of dark; other decoders ignore it.

    Returns:
        Landmarks (B, N, 2) in pixels of the crop, and the variance around them (B, N),
        mean of both axes, in crop pixels squared.
    """
    length = logits_x.shape[-1]
    centers = positions(length, stride, logits_x)[:, None]
    coordinates, variances = [], []
    for logits in (logits_x, logits_y):
        probability = logits.softmax(-1)
        at, variance = moments(probability, centers)
        if decoder != "expectation":
            cells = PEAKS_1D[decoder](probability, smoothing)
            cells = _if_peaked(probability, cells, length)
            peak = ((cells + 0.5) * stride - length * stride / 2)[..., None]
            variance = variance + (at - peak).square().squeeze(-1)
            at = peak
        coordinates.append(at)
        variances.append(variance)
    landmarks = torch.cat(coordinates, -1) + (length * stride / 2 - 0.5)
    return landmarks, (variances[0] + variances[1]) / 2


def decode_2d(
    logits: Tensor,
    stride: float,
    decoder: str = "expectation",
    smoothing: Smoothing = UNSMOOTHED,
) -> tuple[Tensor, Tensor]:
    """Decode heatmaps in two dimensions.

    Args:
        logits: (B, N, h, w), at least 3 x 3 for dark.
        stride: Crop pixels per cell.
        decoder: One of DECODERS.
        smoothing: Smoothing of dark; other decoders ignore it.

    Returns:
        Landmarks and variance, as in `decode_1d`.
    """
    height, width = logits.shape[-2:]
    x, y = positions(width, stride, logits), positions(height, stride, logits)
    # (h * w, 2)
    centers = torch.stack([x.repeat(height), y.repeat_interleave(width)], -1)
    probability = logits.flatten(2).softmax(-1)
    at, variance = moments(probability, centers)
    if decoder != "expectation":
        column, row = PEAKS_2D[decoder](probability.view_as(logits), smoothing)
        column = _if_peaked(probability, column, width)
        row = _if_peaked(probability, row, height)
        # the center of the peak's cell, relative to the center of the crop
        peak_x = (column + 0.5) * stride - width * stride / 2
        peak_y = (row + 0.5) * stride - height * stride / 2
        peak = torch.stack([peak_x, peak_y], -1)
        variance = variance + (at - peak).square().sum(-1)
        at = peak
    # no new tensor of two numbers, which would be copied to the device at every step
    middle = torch.cat(
        [x.new_full((1,), side * stride / 2 - 0.5) for side in (width, height)]
    )
    return at + middle, variance / 2


def sharpened(heatmaps: Tensor) -> Tensor:
    """Return the log of the excess of `heatmaps`^4 over FLOOR^4, as logits."""
    # in units of FLOOR: ONNX's exporter rounds numbers below 1e-8 to 0, whose log is not finite
    return ((heatmaps / FLOOR).clamp(min=1) ** 4 - 1 + TINY).log()


def positions(length: int, stride: float, like: Tensor) -> Tensor:
    """Return the positions (L,) of the cells in crop pixels, relative to the center.

    This keeps variances numerically precise.
    """
    cells = torch.arange(length, dtype=like.dtype, device=like.device)
    return (cells - (length - 1) / 2) * stride


def moments(probability: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, N, D) and variance (B, N), summed over the D axes.

    Args:
        probability: (B, N, L), each row a distribution.
        centers: (L, D), positions of the cells.
    """
    powers = torch.cat([centers, centers.square().sum(-1, keepdim=True)], -1)
    # autocast would round the product to bfloat16
    with torch.autocast(probability.device.type, enabled=False):
        moments = probability @ powers
    mean = moments[..., :-1]
    return mean, moments[..., -1] - mean.square().sum(-1)


def check_decoder(name: str) -> str:
    """Return `name` if it is one of DECODERS.

    Raises:
        RecipeError: If it is not.
    """
    if name not in DECODERS:
        raise RecipeError(
            f"model.decoder is {name!r}; expected one of {', '.join(DECODERS)}"
        )
    return name


def _if_peaked(probability: Tensor, cells: Tensor, length: int) -> Tensor:
    """Return `cells` (B, N), or the center of the axis if the distribution is uniform.

    Otherwise, rounding errors would decide between equal cells.
    """
    even = probability.amax(-1) <= probability.amin(-1) * (1 + 1e-5)
    return torch.where(even, (length - 1) / 2, cells)


def _argmax_1d(probability: Tensor, smoothing: Smoothing) -> Tensor:
    """Return the highest cell (B, N), the first of equals; its error is up to half a cell."""
    return probability.argmax(-1).to(probability.dtype)


def _quarter_1d(probability: Tensor, smoothing: Smoothing) -> Tensor:
    """Return the highest cell moved a quarter of a cell towards its higher neighbor.

    Its error is up to a quarter of a cell; a border cell is not moved.
    Source: Newell, Yang, Deng 2016, section 3.2.
    """
    length = probability.shape[-1]
    highest = probability.argmax(-1)
    low = _at(probability, (highest - 1).clamp(min=0))
    high = _at(probability, (highest + 1).clamp(max=length - 1))
    inner = (highest > 0) & (highest < length - 1)
    offset = torch.where(inner, 0.25 * (high - low).sign(), 0.0)
    return highest.to(probability.dtype) + offset


def _dark_1d(probability: Tensor, smoothing: Smoothing) -> Tensor:
    """Return the peak of a Gaussian fitted to the log, by one Newton step.

    At a border cell, the expansion is around its inner neighbor. If the log is not concave
    there, the result is the highest cell. Source: Zhang et al. 2020 (DARK), eq. 5-10,
    without rescaling the smoothed map, which does not change derivatives of the log.
    """
    length = probability.shape[-1]
    if smoothing.sigma > 0:
        blurred = _blurred(probability, smoothing.sigma)
        close = _close(blurred.argmax(-1), length, smoothing.border)
        probability = torch.where(close[..., None], probability, blurred)
    highest = probability.argmax(-1)
    middle = highest.clamp(1, length - 2)
    log = _log(probability)
    low, mid, high = (_at(log, middle + step) for step in (-1, 0, 1))
    curve = high - 2 * mid + low
    concave = curve < -MIN_CURVATURE
    step = ((low - high) / 2 / torch.where(concave, curve, -1.0)).clamp(-STEP, STEP)
    return torch.where(concave, middle + step, highest.to(step.dtype))


def _argmax_2d(probability: Tensor, smoothing: Smoothing) -> tuple[Tensor, Tensor]:
    """Return the column and row (B, N) of the highest cell, the first of equals."""
    column, row = _highest(probability)
    return column.to(probability.dtype), row.to(probability.dtype)


def _quarter_2d(probability: Tensor, smoothing: Smoothing) -> tuple[Tensor, Tensor]:
    """Return the highest cell, moved along row and column as in `_quarter_1d`."""
    column, row = _highest(probability)
    along_row = _line(probability, row, 2)
    along_column = _line(probability, column, 3)
    return _quarter_1d(along_row, smoothing), _quarter_1d(along_column, smoothing)


def _dark_2d(probability: Tensor, smoothing: Smoothing) -> tuple[Tensor, Tensor]:
    """Return the peak as in `_dark_1d`, including the mixed second derivative."""
    height, width = probability.shape[-2:]
    if smoothing.sigma > 0:
        blurred = _blurred(probability, smoothing.sigma)
        blurred = _blurred(blurred.transpose(2, 3), smoothing.sigma).transpose(2, 3)
        column, row = _highest(blurred)
        close = _close(column, width, smoothing.border) | _close(
            row, height, smoothing.border
        )
        probability = torch.where(close[..., None, None], probability, blurred)
    column, row = _highest(probability)
    middle_x, middle_y = column.clamp(1, width - 2), row.clamp(1, height - 2)
    log = _log(probability.flatten(2))

    def neighbor(dx: int, dy: int) -> Tensor:
        return _at(log, (middle_y + dy) * width + middle_x + dx)

    mid, left, right = neighbor(0, 0), neighbor(-1, 0), neighbor(1, 0)
    above, below = neighbor(0, -1), neighbor(0, 1)
    slope_x, slope_y = (right - left) / 2, (below - above) / 2
    xx, yy = right - 2 * mid + left, below - 2 * mid + above
    xy = (neighbor(1, 1) - neighbor(1, -1) - neighbor(-1, 1) + neighbor(-1, -1)) / 4
    determinant = xx * yy - xy.square()
    concave = (
        (xx < -MIN_CURVATURE) & (yy < -MIN_CURVATURE) & (determinant > MIN_CURVATURE**2)
    )
    safe_determinant = torch.where(concave, determinant, 1.0)
    step_x = ((xy * slope_y - yy * slope_x) / safe_determinant).clamp(-STEP, STEP)
    step_y = ((xy * slope_x - xx * slope_y) / safe_determinant).clamp(-STEP, STEP)
    return (
        torch.where(concave, middle_x + step_x, column.to(step_x.dtype)),
        torch.where(concave, middle_y + step_y, row.to(step_y.dtype)),
    )


Peak1D = Callable[[Tensor, Smoothing], Tensor]
Peak2D = Callable[[Tensor, Smoothing], tuple[Tensor, Tensor]]
PEAKS_1D: dict[str, Peak1D] = {
    "argmax": _argmax_1d,
    "quarter": _quarter_1d,
    "dark": _dark_1d,
}
PEAKS_2D: dict[str, Peak2D] = {
    "argmax": _argmax_2d,
    "quarter": _quarter_2d,
    "dark": _dark_2d,
}
DECODERS = ("expectation", *PEAKS_1D)


def _blurred(probability: Tensor, sigma: float) -> Tensor:
    """Smooth (..., L) along its last axis, without rescaling."""
    length = probability.shape[-1]
    cells = torch.arange(length, dtype=probability.dtype, device=probability.device)
    # autocast would round the product to bfloat16
    with torch.autocast(probability.device.type, enabled=False):
        return probability @ torch.exp(
            -((cells[:, None] - cells) ** 2) / (2 * sigma**2)
        )


def _close(cells: Tensor, length: int, border: float) -> Tensor:
    return (cells < border) | (cells > length - 1 - border)


def _log(probability: Tensor) -> Tensor:
    """Return the log of (B, N, L), finite where a cell is 0."""
    floor = probability.amax(-1, keepdim=True) * 1e-12 + 1e-30
    return torch.maximum(probability, floor).log()


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Return the values (B, N) of (B, N, L) at `index` (B, N)."""
    return values.gather(-1, index[..., None]).squeeze(-1)


def _highest(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column and row (B, N) of the highest cell of maps (B, N, h, w)."""
    width = maps.shape[-1]
    index = maps.flatten(2).argmax(-1)
    row = torch.div(index, width, rounding_mode="floor")
    return index - row * width, row


def _line(maps: Tensor, index: Tensor, axis: int) -> Tensor:
    """Return the row (axis 2) or column (axis 3) of (B, N, h, w) at `index`."""
    shape = list(maps.shape)
    shape[axis] = 1
    return maps.gather(axis, index[..., None, None].expand(shape)).squeeze(axis)
