"""Drawing of faces on images, anti-aliased with sub-pixel accuracy; writing of image files."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from ..atomic import atomic_path
from ..errors import ImageError
from ..face import Face, Faces
from ..geometry import Array, Image, box_side
from ..opencv import cv2
from ..scheme_file.table import Scheme
from ..schemes import scheme

Color = tuple[int, int, int]
Shown = NDArray[np.bool_]

PART_COLORS: dict[str, Color] = {
    "jaw": (90, 200, 250),
    "right_brow": (255, 159, 10),
    "left_brow": (255, 214, 10),
    "nose": (191, 140, 255),
    "right_eye": (48, 219, 91),
    "left_eye": (102, 230, 207),
    "mouth": (255, 90, 120),
}
OTHER_COLOR: Color = (240, 240, 240)
BOX_COLOR: Color = (255, 255, 255)
RIM_COLOR: Color = (16, 16, 16)
TRAIL_COLOR: Color = (255, 255, 255)

FORMATS: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

SHIFT = 6  # fractional bits of OpenCV's drawing: 1/64 px
FAR_PX = 2.0**20  # OpenCV's fixed-point coordinates could overflow beyond this
RIM_FROM_PX = 2.0  # below this radius the dark rims of dots would cover the face
CURVE_STEPS = 4  # lines per segment of a smooth contour
RING = 0.6  # inner over outer radius of an occluded landmark
LABEL_FROM_PX = 40.0  # below this box side a label would cover the face
LABEL_DIVISOR = 14.0  # box side over height of the label


def draw_faces(
    image: Image,
    faces: Faces,
    *,
    points: bool = True,
    edges: bool = True,
    boxes: bool = True,
    labels: bool = True,
    sigmas: bool = False,
    occluded: bool = True,
    scale: float = 1.0,
) -> Image:
    """Return a copy of `image` with the faces drawn on it.

    Args:
        image: Image of the faces, RGB uint8 (H, W, 3).
        faces: The faces.
        points: Draw the landmarks, in the colors of their parts.
        edges: Draw the contours of the scheme between landmarks that are not occluded, as
            smooth curves for schemes with dense points.
        boxes: Draw the boxes.
        labels: Write track id and detector score above boxes of at least 40 px.
        sigmas: Draw a circle with a radius of 2 sigma around each landmark.
        occluded: Draw landmarks that are probably turned away or occluded, as rings;
            False: omit them.
        scale: Scale of lines, dots and text, which also grow with the face.

    Raises:
        ImageError: If the image has another type or shape.
    """
    check_rgb(image)
    canvas = np.array(image, order="C")
    for face in faces:
        unit = min(max(box_side(face.box) / 200.0, 0.25), 50.0) * scale
        if boxes:
            _draw_box(canvas, face.box, _thickness(unit))
        shown = _near(face.landmarks)
        if not occluded:
            shown &= ~face.occluded
        if sigmas:
            _draw_sigmas(canvas, face, shown)
        if edges:
            _draw_edges(canvas, face, shown & ~face.occluded, _thickness(unit))
        if points:
            _draw_points(canvas, face, shown, max(1.6 * unit, 0.75))
    for face in faces:  # labels last, so that no other face covers them
        if labels and box_side(face.box) >= LABEL_FROM_PX:
            _draw_label(canvas, face, scale)
    return canvas


def draw_trails(
    canvas: Image, trails: Sequence[Sequence[Array]], color: Color = TRAIL_COLOR
) -> None:
    """Draw motion trails on `canvas`, in place.

    Args:
        canvas: RGB uint8 (H, W, 3).
        trails: Past positions (2,) of each face, most recent last.
        color: RGB.
    """
    for trail in trails:
        for number, (start, end) in enumerate(pairwise(trail), 1):
            if _near(start) and _near(end):
                thickness = 1 + round(2 * number / (len(trail) - 1))
                ends = (_fixed(start), _fixed(end))
                cv2.line(canvas, *ends, color, thickness, cv2.LINE_AA, SHIFT)


def check_rgb(image: Image) -> None:
    """Raise ImageError unless `image` is RGB uint8 (H, W, 3)."""
    is_array = isinstance(image, np.ndarray)
    if is_array and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return
    actual = f"{image.dtype} {image.shape}" if is_array else type(image).__name__
    raise ImageError(
        f"the image is {actual}; expected RGB uint8 (H, W, 3): read it with read_image"
    )


def _thickness(unit: float) -> int:
    return max(1, round(unit))


def _fixed(point: Array) -> tuple[int, int]:
    """Return `point` (2,) as OpenCV fixed-point coordinates."""
    x, y = np.rint(point * (1 << SHIFT)).astype(int).tolist()
    return x, y


def _near(points: Array) -> NDArray[np.bool_]:
    return np.asarray((np.abs(points) < FAR_PX).all(-1))


def part_colors(landmark_scheme: Scheme) -> list[Color]:
    """Return the color of each landmark: that of the last part that contains it."""
    colors = [OTHER_COLOR] * len(landmark_scheme)
    for part, indices in landmark_scheme.parts.items():
        for index in indices:
            colors[index] = PART_COLORS.get(part, OTHER_COLOR)
    return colors


def _paint(
    canvas: Image, center: Array, outer: float, inner: float, color: Color
) -> None:
    """Fill the ring between two radii, weighting each pixel by its covered fraction.

    OpenCV would draw small circles as diamonds.
    """
    height, width = canvas.shape[:2]
    x0, y0 = np.floor(center - outer - 1).astype(int).clip(0, (width, height)).tolist()
    x1, y1 = np.ceil(center + outer + 2).astype(int).clip(0, (width, height)).tolist()
    if x0 == x1 or y0 == y1:
        return
    away = np.hypot(
        np.arange(x0, x1) - center[0], np.arange(y0, y1)[:, None] - center[1]
    )
    cover = (outer + 0.5 - away).clip(0, 1)
    if inner > 0:
        cover *= (away - inner + 0.5).clip(0, 1)
    part = canvas[y0:y1, x0:x1]
    part[:] = np.rint(part + cover[..., None] * (np.array(color) - part)).astype(
        np.uint8
    )


def _draw_points(canvas: Image, face: Face, shown: Shown, radius: float) -> None:
    colors, occluded = part_colors(scheme(face.scheme)), face.occluded
    for index in np.flatnonzero(shown):
        center, inner = face.landmarks[index], RING * radius * occluded[index]
        if radius >= RIM_FROM_PX:
            _paint(canvas, center, radius + 0.5, max(inner - 0.5, 0.0), RIM_COLOR)
        _paint(canvas, center, radius, inner, colors[index])


def smooth_contour(points: Array, steps: int = CURVE_STEPS) -> Array:
    """Return a Catmull-Rom curve through a contour.

    Args:
        points: (K, 2) with K >= 3, in order; a closed contour ends with its first point.
        steps: Number of line segments between two points.

    Returns:
        (M, 2) with M = (K - 1) * steps + 1; every `steps`-th point is an input point.

    Source: Catmull, Rom 1974, with their tension of one half.
    """
    first, last = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    if np.array_equal(points[0], points[-1]):
        first, last = points[-2], points[1]
    padded = np.vstack([first, points, last])[:, None]
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[:, None]
    linear, square = p2 - p0, 2 * p0 - 5 * p1 + 4 * p2 - p3
    cubic = 3 * (p1 - p2) + p3 - p0
    curve = p1 + (linear * t + square * t**2 + cubic * t**3) / 2  # (K - 1, steps, 2)
    return np.vstack([curve.reshape(-1, 2), points[-1:]])


def _draw_edges(canvas: Image, face: Face, shown: Shown, thickness: int) -> None:
    landmark_scheme = scheme(face.scheme)
    colors = part_colors(landmark_scheme)
    for contour in landmark_scheme.contours:
        curve, steps = face.landmarks[list(contour)], 1
        if landmark_scheme.smooth and len(contour) > 2 and _near(curve).all():
            curve, steps = smooth_contour(curve), CURVE_STEPS
        for number, (a, b) in enumerate(pairwise(contour)):
            if shown[a] and shown[b]:
                part = curve[number * steps : (number + 1) * steps + 1]
                line = np.rint(part * (1 << SHIFT)).astype(np.int32)
                style = colors[a], thickness, cv2.LINE_AA, SHIFT
                cv2.polylines(canvas, [line], False, *style)


def _draw_sigmas(canvas: Image, face: Face, shown: Shown) -> None:
    side = box_side(face.box)
    for index, color in enumerate(part_colors(scheme(face.scheme))):
        radius = 2 * face.sigma_px[index]
        if shown[index] and 0 < radius < side:  # a larger circle would be meaningless
            _paint(canvas, face.landmarks[index], radius + 0.5, radius - 0.5, color)


def _draw_box(canvas: Image, box: Array, thickness: int) -> None:
    corners = box.clip(-FAR_PX, FAR_PX)
    cv2.rectangle(
        canvas,
        _fixed(corners[:2]),
        _fixed(corners[2:]),
        BOX_COLOR,
        thickness,
        cv2.LINE_AA,
        SHIFT,
    )


def _draw_label(canvas: Image, face: Face, scale: float) -> None:
    text = f"{face.score:.2f}"
    if face.track_id is not None:
        text = f"#{face.track_id} {text}"
    height = min(max(box_side(face.box) / LABEL_DIVISOR, 8.0), 400.0) * scale
    font_scale = height / 21.0  # a capital of this font is 21 px high at scale 1
    thickness = max(1, round(height / 12))
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, font_scale, thickness)[0][0]
    pad = 0.35 * height
    # keep the label inside the image
    bottom = float(
        np.clip(face.box[1] - 0.5 * height, height + 2 * pad, canvas.shape[0])
    )
    left = float(np.clip(face.box[0], 0, max(canvas.shape[1] - width - 2 * pad, 0)))
    top_left = round(left), round(bottom - height - 2 * pad)
    bottom_right = round(left + width + 2 * pad), round(bottom)
    cv2.rectangle(canvas, top_left, bottom_right, RIM_COLOR, cv2.FILLED)
    origin = (round(left + pad), round(bottom - pad))
    style = cv2.FONT_HERSHEY_SIMPLEX, font_scale, BOX_COLOR, thickness, cv2.LINE_AA
    cv2.putText(canvas, text, origin, *style)


def save_image(path: str | os.PathLike[str], image: Image, quality: int = 95) -> Path:
    """Write an image to a file, atomically, and return its path.

    Args:
        path: Output file; its suffix determines the format.
        image: RGB uint8 (H, W, 3).
        quality: Quality of JPEG and WebP, 1 to 100.

    Raises:
        ImageError: If the suffix is unknown, the image has another type or shape, or
            the file cannot be written.
    """
    target = Path(path)
    name = FORMATS.get(target.suffix.lower())
    if name is None:
        raise ImageError(
            f"{target}: the suffix {target.suffix!r} is not supported; "
            f"expected {', '.join(FORMATS)}"
        )
    check_rgb(image)
    options: dict[str, int] = {"quality": quality} if name in ("JPEG", "WEBP") else {}
    try:
        with atomic_path(target) as temporary:
            PILImage.fromarray(image).save(temporary, format=name, **options)
    except (OSError, ValueError) as error:  # e.g. a size the format lacks
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{target}: cannot be written ({reason}); choose another path or format"
        ) from error
    return target
