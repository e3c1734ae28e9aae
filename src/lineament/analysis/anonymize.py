"""Anonymization: blur, pixelate or fill face outlines that include the forehead.

Covers too much rather than too little: outlines are wide. Videos: `anonymize_video`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SchemeError, did_you_mean
from ..face import Face, Faces
from ..geometry import Array, Image, box_center, box_side
from ..opencv import cv2
from ..schemes import convert
from .draw import FAR_PX, SHIFT, check_rgb

MARGIN = 0.1
"""Distance by which a region extends beyond the outline, in units of the face box side."""
SIGMAS, MAX_SIGMA = 2.0, 0.25
"""Landmark uncertainty added to the margin, in sigma, and its maximum in units of the box side."""
FOREHEAD = 0.5
"""Height of the forehead relative to that from brows to chin: hairline, brows, nose and chin
divide a face into thirds."""
CELLS = 4
"""Number of cells per box side that remain of a blurred or pixelated face."""
GRAY = 128
MAX_THICKNESS = 32_767
"""Widest line that OpenCV draws, pixels."""
MIN_PRESENCE = 0.1
"""Minimum presence of a face to cover, chosen with the next three by `bench.anonymize`."""
CLEAR_PRESENCE = 0.9
"""Minimum presence of a clear face, whose size tells the size of the others."""
SMALL_FACE_RATIO = 0.5
"""Side of a face relative to the smallest clear face, below which it needs more presence."""
SMALL_FACE_PRESENCE_FACTOR = 5.0
"""Factor by which the minimum presence of such a small face is higher, up to CLEAR_PRESENCE."""
EYES, MOUTH = slice(0, 2), slice(3, 5)
"""Indices in the scheme `five`."""


class Region(NamedTuple):
    """A part of an image to cover."""

    outline: Array
    """(K, 2): convex polygon, pixels of the image."""
    margin_px: float
    """Distance by which the region extends beyond the outline, pixels."""
    side_px: float
    """Side of the face's box, pixels."""


Method = Callable[[Image, tuple[int, int]], Image]


def _blur(pixels: Image, cells: tuple[int, int]) -> Image:
    small = cv2.resize(pixels, cells, interpolation=cv2.INTER_AREA)
    size = (pixels.shape[1], pixels.shape[0])
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _pixelate(pixels: Image, cells: tuple[int, int]) -> Image:
    small = cv2.resize(pixels, cells, interpolation=cv2.INTER_AREA)
    size = (pixels.shape[1], pixels.shape[0])
    return np.asarray(
        cv2.resize(small, size, interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _fill(pixels: Image, cells: tuple[int, int]) -> Image:
    return np.full_like(pixels, GRAY)


METHODS: dict[str, Method] = {"blur": _blur, "pixelate": _pixelate, "fill": _fill}
"""Method name -> function of the pixels around a region and the number of cells in x and y."""


def anonymize_faces(
    image: Image, faces: Faces, method: str = "blur", margin: float = MARGIN
) -> Image:
    """Return a copy of `image` with the faces covered, from the chin to the hairline.

    Args:
        image: Image of the faces, RGB uint8 (H, W, 3).
        faces: The faces; find them with a low `min_presence` and a small `min_face`.
        method: "blur" or "pixelate", which keep four cells per side of a face, or "fill",
            which keeps nothing.
        margin: Distance to cover beyond the face, as a fraction of the longer side of its box.

    Raises:
        ImageError: If the image has another type or shape.
        InputError: If the method is unknown, the margin is negative, or the faces were found
            in an image of another size.
    """
    check_rgb(image)
    width, height = image.shape[1], image.shape[0]
    if faces.image_size not in (None, (width, height)):
        raise InputError(
            f"the faces were found in an image of {faces.image_size} pixels (width, height), "
            f"this one has {(width, height)}; find the faces in the image to cover"
        )
    return cover(image, face_regions(faces, margin), method)


def likely_faces(faces: Faces, min_presence: float = MIN_PRESENCE) -> Faces:
    """Return the faces to cover: those with enough presence that are not far too small.

    A detection less than half as large as every clear face (presence of at least 0.9) is often
    a badge, a knot or an ear, so it needs five times the minimum presence, 0.9 at most. A
    minimum of 0 keeps all detections. Faces without a presence are kept.

    Args:
        faces: The faces in one image; find them with a low `min_presence`.
        min_presence: Minimum presence of a face.
    """
    clear = [box_side(face.box) for face in faces if face.presence >= CLEAR_PRESENCE]
    small = SMALL_FACE_RATIO * min(clear, default=0.0)
    strict = max(
        min(SMALL_FACE_PRESENCE_FACTOR * min_presence, CLEAR_PRESENCE), min_presence
    )
    kept = []
    for face in faces:
        required = strict if box_side(face.box) < small else min_presence
        if not face.presence < required:  # keeps nan
            kept.append(face)
    return replace(faces, faces=tuple(kept))


def face_regions(faces: Iterable[Face], margin: float = MARGIN) -> list[Region]:
    """Return the region of each face; uncertain landmarks make it wider.

    Raises:
        InputError: If the margin is negative.
    """
    if not margin >= 0:
        raise InputError(
            f"the margin is {margin}; expected 0 or more, as a fraction of the box side"
        )
    regions = []
    for face in faces:
        side = box_side(face.box)
        sigma_px = np.nan_to_num(face.sigma_px).mean()
        uncertain_px = min(SIGMAS * float(sigma_px), MAX_SIGMA * side)
        regions.append(Region(face_outline(face), margin * side + uncertain_px, side))
    return regions


def face_outline(face: Face) -> Array:
    """Return the convex outline (K, 2) of a face including the forehead, image pixels.

    It encloses both the landmarks and the ellipse in the box, as either may be wrong.
    """
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    sides = (face.box[2:] - face.box[:2]) / 2
    ellipse = box_center(face.box) + sides * np.column_stack(
        [np.cos(angles), np.sin(angles)]
    )
    points = np.concatenate([face.landmarks, ellipse]).clip(-FAR_PX, FAR_PX)
    up = _up(face)
    heights = points @ up
    upper = points[heights >= np.median(heights)]
    raised = upper + FOREHEAD * np.ptp(heights) * up
    hull = cv2.convexHull(np.concatenate([points, raised]).astype(np.float32))
    return np.asarray(hull[:, 0], np.float64)


def _up(face: Face) -> Array:
    """Return the unit vector (2,) from mouth to eyes; upward in the image if they are unknown."""
    upright = np.array([0.0, -1.0])
    try:
        five = convert(face.landmarks, face.scheme, "five").points
    except SchemeError:
        return upright
    up = five[EYES].mean(0) - five[MOUTH].mean(0)
    length = float(np.hypot(*up))
    return up / length if length > 0 else upright  # also covers nan


def cover(image: Image, regions: Iterable[Region], method: str = "blur") -> Image:
    """Return a copy of `image` with the regions covered; `method` is one of METHODS.

    Raises:
        ImageError: If the image has another type or shape.
        InputError: If there is no such method.
    """
    check_rgb(image)
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; {did_you_mean(method, METHODS)}")
    covered = np.array(image, order="C")
    for region in regions:
        rows, columns, inside = _window(region, image.shape)
        if inside.size:
            pixels = covered[rows, columns]
            cell_px = max(region.side_px / CELLS, 1.0)
            cells = (_cells(pixels.shape[1], cell_px), _cells(pixels.shape[0], cell_px))
            pixels[inside] = METHODS[method](pixels, cells)[inside]
    return covered


def _cells(length: int, cell_px: float) -> int:
    return max(1, round(length / cell_px))


def covered_pixels(
    regions: Iterable[Region], shape: Sequence[int]
) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the pixels `cover` replaces in an image of the given shape."""
    covered = np.zeros(tuple(shape[:2]), np.bool_)
    for region in regions:
        rows, columns, inside = _window(region, shape)
        covered[rows, columns] |= inside
    return covered


def _window(
    region: Region, shape: Sequence[int]
) -> tuple[slice, slice, NDArray[np.bool_]]:
    """Return rows and columns around a region, and a mask of the covered pixels in them."""
    border = region.margin_px + 1
    first = np.floor(region.outline.min(0) - border).astype(int)
    last = np.ceil(region.outline.max(0) + border).astype(int) + 1
    x0, y0 = np.clip(first, 0, (shape[1], shape[0])).tolist()
    x1, y1 = np.clip(last, 0, (shape[1], shape[0])).tolist()
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    if inside.size:
        fixed = np.rint((region.outline - (x0, y0)) * (1 << SHIFT)).astype(np.int32)
        cv2.fillConvexPoly(inside, fixed, (1,), cv2.LINE_8, SHIFT)
        width = min(int(np.ceil(2 * region.margin_px)) + 1, MAX_THICKNESS)
        cv2.polylines(inside, [fixed], True, (1,), width, cv2.LINE_8, SHIFT)
    return slice(y0, y1), slice(x0, x1), inside.astype(np.bool_)
