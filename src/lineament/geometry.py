"""Boxes, affines and flips, and the pixel conventions of the package.

- The center of the top-left pixel is (0, 0); x points right, y points down. An image of W x
  H pixels covers [-0.5, W - 0.5] x [-0.5, H - 0.5].
- A box is (x0, y0, x1, y1) in the same continuous coordinates: width = x1 - x0, without
  adding 1. The box of a face is the tight box of its 68 landmarks.
- Resizing by s maps pixel areas: x' = (x + 0.5) s - 0.5. A heatmap of stride s maps to
  its crop by the same rule.
- A horizontal flip maps x' = W - 1 - x.
- An affine is a 2x3 float64 matrix and maps column vectors (x, y, 1). Angles are in degrees,
  clockwise as displayed: a face with roll +30 has its chin turned to the left edge.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ShapeError

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
"""RGB image, (H, W, 3)."""


def as_points(points: ArrayLike, name: str = "landmarks") -> Array:
    """Return `points` as float64 (N, 2).

    Raises:
        ShapeError: If they have another shape.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ShapeError(
            f"{name} have shape {array.shape}; "
            "expected (N, 2): one row of x, y per point"
        )
    return array


def as_boxes(boxes: ArrayLike) -> Array:
    """Return `boxes` as float64 (F, 4); a single box (4,) becomes (1, 4), no boxes (0, 4).

    Raises:
        ShapeError: If the shape is wrong, a number is not finite, or a box has no area.
    """
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ShapeError(
            f"boxes are {str(boxes)[:60]!r}; expected numbers x0, y0, x1, y1 per face"
        ) from error
    if array.size == 0:
        return np.zeros((0, 4))
    if array.shape == (4,):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 4:
        raise ShapeError(
            f"boxes have shape {array.shape}; expected (F, 4): x0, y0, x1, y1 per face"
        )
    is_flat = (array[:, 2:] <= array[:, :2]).any(1)
    bad = ~np.isfinite(array).all(1) | is_flat
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ShapeError(
            f"box {row} is {array[row].tolist()}; "
            "expected finite x0 < x1 and y0 < y1, in pixels"
        )
    return array


def box_error(box: Array, tight: Array) -> float:
    """Return the error of `box`: shift relative to the tight box side, or log ratio of sides."""
    side = box_side(tight)
    shift = np.hypot(*((box[:2] + box[2:] - tight[:2] - tight[2:]) / 2)) / side
    return float(max(shift, abs(np.log(box_side(box) / side))))


def landmark_box(landmarks: ArrayLike) -> Array:
    """Return the tight box (4,) around the finite rows of `landmarks` (N, 2).

    Raises:
        ShapeError: If the shape is wrong, or no landmark is finite.
    """
    points = as_points(landmarks)
    if len(points):
        box = np.concatenate([points.min(0), points.max(0)])
        if np.isfinite(box).all():  # any nan or inf among the points would show up here
            return box
    points = points[np.isfinite(points).all(1)]
    if len(points) == 0:
        raise ShapeError("no landmark is finite; expected at least one")
    return np.concatenate([points.min(0), points.max(0)])


def box_center(box: ArrayLike) -> Array:
    """Return the center (2,) of `box`."""
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2])


def inset_boxes(boxes: Array, insets: tuple[float, float, float, float]) -> Array:
    """Return `boxes` (F, 4) with each side moved inward.

    Args:
        boxes: (F, 4), pixels.
        insets: Left, top, right, bottom, as fractions of the width or height.
    """
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved: Array = boxes + size * np.array(
        [insets[0], insets[1], -insets[2], -insets[3]]
    )
    return moved


def box_side(box: ArrayLike) -> float:
    """Return the longer side of `box`, in pixels; crop sizes are relative to it."""
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    return float(max(x1 - x0, y1 - y0))


def relative_to_box(landmarks: ArrayLike, box: ArrayLike) -> Array:
    """Return landmarks (N, 2) relative to a box (4,), from 0 to 1 inside it.

    The upper left corner is (0, 0), the lower right corner (1, 1).

    Raises:
        ShapeError: If the box has no area.
    """
    corner, sides = _corner_and_sides(box)
    return np.asarray((as_points(landmarks) - corner) / sides)


def absolute_from_box(relative: ArrayLike, box: ArrayLike) -> Array:
    """Return the landmarks (N, 2) that `relative_to_box` maps to `relative`.

    Raises:
        ShapeError: If the box has no area.
    """
    corner, sides = _corner_and_sides(box)
    return np.asarray(as_points(relative, "relative landmarks") * sides + corner)


def _corner_and_sides(box: ArrayLike) -> tuple[Array, Array]:
    corners = as_boxes(box)[0]
    return corners[:2], corners[2:] - corners[:2]


def iou(boxes_a: ArrayLike, boxes_b: ArrayLike) -> Array:
    """Return the intersection over union (A, B) of boxes (A, 4) and (B, 4)."""
    a = np.asarray(boxes_a, dtype=np.float64).reshape(-1, 4)
    b = np.asarray(boxes_b, dtype=np.float64).reshape(-1, 4)
    ax0, ay0, ax1, ay1 = a.T[:, :, None]
    bx0, by0, bx1, by1 = b.T[:, None, :]
    width = np.maximum(np.minimum(ax1, bx1) - np.maximum(ax0, bx0), 0)
    height = np.maximum(np.minimum(ay1, by1) - np.maximum(ay0, by0), 0)
    inner = width * height
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - inner
    empty = np.zeros_like(inner)
    return np.asarray(np.divide(inner, union, out=empty, where=union > 0))


def similarity(
    scale: float, angle_deg: float, source: ArrayLike, target: ArrayLike
) -> Array:
    """Return the similarity transform (2, 3) that scales, rotates and maps `source` to `target`."""
    angle = math.radians(angle_deg)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    x, y = np.asarray(source, dtype=np.float64).tolist()
    to_x, to_y = np.asarray(target, dtype=np.float64).tolist()
    return np.array(
        [[cos, -sin, to_x - cos * x + sin * y], [sin, cos, to_y - sin * x - cos * y]]
    )


def crop_affine(
    box: ArrayLike, size: int, padding: float, roll_deg: float = 0.0
) -> Array:
    """Return the image_to_crop affine matrix (2, 3) of the square crop around `box`.

    Args:
        box: (4,), image pixels.
        size: Side of the crop, pixels.
        padding: Side of the square in the image as a multiple of the longer box side.
        roll_deg: Roll of the face in the image, degrees; the face is upright in the crop.
    """
    center_crop = np.array([(size - 1) / 2, (size - 1) / 2])
    scale = size / (padding * box_side(box))
    return similarity(scale, -roll_deg, box_center(box), center_crop)


def box_in_crop(size: int, padding: float) -> Array:
    """Return the square (4,) in a crop of `crop_affine` that the longer side of its box spans."""
    center, half = (size - 1) / 2, size / padding / 2
    return np.array([center - half] * 2 + [center + half] * 2)


def apply_affine(affine: ArrayLike, points: ArrayLike) -> Array:
    """Return `points` (..., 2) mapped by `affine` (2, 3)."""
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def invert_affine(affine: ArrayLike) -> Array:
    """Return the inverse (2, 3) of `affine`.

    Raises:
        ShapeError: If `affine` is singular.
    """
    (a, b, x), (c, d, y) = np.asarray(affine, dtype=np.float64).tolist()
    area = a * d - b * c
    if area == 0:
        raise ShapeError(
            f"the affine {[[a, b, x], [c, d, y]]} is singular; "
            "expected an invertible one"
        )
    first = [d / area, -b / area, (b * y - d * x) / area]
    return np.array([first, [-c / area, a / area, (c * x - a * y) / area]])


def compose(second: ArrayLike, first: ArrayLike) -> Array:
    """Return the affine matrix (2, 3) that applies `first`, then `second`."""
    a, b = np.asarray(second, dtype=np.float64), np.asarray(first, dtype=np.float64)
    return np.hstack([a[:, :2] @ b[:, :2], a[:, :2] @ b[:, 2:] + a[:, 2:]])


def affine_scale(affine: ArrayLike) -> float:
    """Return target pixels per source pixel: the square root of the determinant's magnitude."""
    (a, b, _), (c, d, _) = np.asarray(affine, dtype=np.float64).tolist()
    return math.sqrt(abs(a * d - b * c))


def resize_affine(scale_x: float, scale_y: float) -> Array:
    """Return the affine matrix (2, 3) for resizing an image, mapping pixel areas to pixel areas."""
    return np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2]])


def flip_affine(width: int) -> Array:
    """Return the affine matrix (2, 3) for mirroring an image: x' = width - 1 - x."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def fit_roll_deg(source: ArrayLike | None, target: ArrayLike) -> float:
    """Return the roll of `fit_similarity(source, target)`, degrees; 0 without a source.

    Args:
        source: (N, 2), N >= 2, unchecked; the mean face of a scheme, nan for points not in it;
            or None.
        target: (N, 2), unchecked.
    """
    if source is None:
        return 0.0
    # in complex numbers, rotation and scale are the product of the centered point sets; it is
    # enough to center one of them
    start = np.ascontiguousarray(source, np.float64).view(np.complex128)[:, 0]
    end = np.ascontiguousarray(target, np.float64).view(np.complex128)[:, 0]
    known = np.isfinite(start)
    if not known.all():
        start, end = start[known], end[known]
    product = np.vdot(start - start.sum() / len(start), end)
    return math.degrees(math.atan2(product.imag, product.real))


def upright_box(landmarks: ArrayLike, mean: ArrayLike | None) -> tuple[Array, float]:
    """Return the box of an upright crop of `landmarks`, and their roll in degrees.

    Args:
        landmarks: (N, 2), image pixels.
        mean: Upright mean face, (N, 2), in any unit; None: the landmarks count as upright.

    Returns:
        A square (4,) in image pixels with the center and longer side of the tight box at that
        roll, and the roll.
    """
    roll_deg = fit_roll_deg(mean, landmarks)
    rotation = similarity(1.0, -roll_deg, (0, 0), (0, 0))
    box = landmark_box(apply_affine(rotation, landmarks))
    center = apply_affine(invert_affine(rotation), box_center(box))
    half = box_side(box) / 2
    return np.concatenate([center - half, center + half]), roll_deg


def fit_similarity(source: ArrayLike, target: ArrayLike) -> Array:
    """Return the least-squares similarity transform (2, 3) from `source` to `target`.

    Reflections are excluded.

    Args:
        source: (N, 2), N >= 2.
        target: (N, 2).

    Raises:
        ShapeError: If the numbers of points differ or are below 2, or all source points
            coincide.

    Source: Umeyama 1991, eq. 40-43; in 2D a division of complex numbers.
    """
    a, b = as_points(source, "source points"), as_points(target, "target points")
    if len(a) != len(b) or len(a) < 2:
        raise ShapeError(
            f"{len(a)} source and {len(b)} target points; "
            "expected the same number, at least 2"
        )
    mean_a, mean_b = a.mean(0), b.mean(0)
    z, w = (a - mean_a) @ (1, 1j), (b - mean_b) @ (1, 1j)
    spread = np.vdot(z, z).real
    if spread == 0:
        raise ShapeError(
            "all source points coincide; expected at least two different points"
        )
    turn = np.vdot(z, w) / spread
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, mean_b - linear @ mean_a])


def affine_roll_deg(affine: ArrayLike) -> float:
    """Return the rotation of a similarity transform, degrees in (-180, 180]."""
    matrix = np.asarray(affine, dtype=np.float64)
    return float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
