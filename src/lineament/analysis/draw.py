"""Image and faces -> the picture with the faces drawn on it, anti-aliased and sub-pixel; and pictures to files."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..atomic import atomic_path
from ..errors import ImageError
from ..face import Face, Faces
from ..geometry import Array, box_side
from ..schemes import Scheme, scheme

Color = tuple[int, int, int]

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
FAR_PX = (
    2.0**20
)  # beyond it OpenCV's fixed-point coordinates could overflow; no picture reaches so far
RIM_FROM_PX = 2.0  # below this radius the dark rims of neighboring dots would hide the face
LABEL_FROM_PX = 40.0  # below this box side a label would hide the face
LABEL_DIVISOR = 14.0  # box side over height of the label


def draw_faces(
    image: NDArray[np.uint8],
    faces: Faces,
    *,
    points: bool = True,
    edges: bool = True,
    boxes: bool = True,
    labels: bool = True,
    sigmas: bool = False,
    size: float = 1.0,
) -> NDArray[np.uint8]:
    """A copy of `image` with `faces` drawn on it.

    image: RGB uint8 (H, W, 3), the one the faces are of.    points, edges: the landmarks, and the lines of their
    scheme, in the color of their part.    labels: the detector's score and the track number over the box, on faces of
    at least 40 px.    sigmas: around each landmark the circle of 2 sigma_px.    size: a factor on line, dot and letter,
    all of which grow with the face.
    Raises: ImageError where the image is of another type or shape.
    """
    canvas = _copied(image)
    for face in faces:
        unit = min(max(box_side(face.box) / 200.0, 0.25), 50.0) * size
        if boxes:
            _draw_box(canvas, face.box, _thickness(unit))
        if sigmas:
            _draw_sigmas(canvas, face)
        if edges:
            _draw_edges(canvas, face, _thickness(unit))
        if points:
            _draw_points(canvas, face, max(1.6 * unit, 0.75))
    for face in faces:  # after every face, so that no neighbor covers a label
        if labels and box_side(face.box) >= LABEL_FROM_PX:
            _draw_label(canvas, face, size)
    return canvas


def draw_trails(
    canvas: NDArray[np.uint8], trails: Sequence[Sequence[Array]], color: Color = TRAIL_COLOR
) -> None:
    """Draws on `canvas`, in place, the way of each face: a line through points (2,), the latest last and thickest."""
    for trail in trails:
        for number, (start, end) in enumerate(pairwise(trail), 1):
            if _near(start) and _near(end):
                thickness = 1 + round(2 * number / (len(trail) - 1))
                cv2.line(canvas, _fixed(start), _fixed(end), color, thickness, cv2.LINE_AA, SHIFT)


def _copied(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        given = (
            f"{image.dtype} {image.shape}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise ImageError(
            f"the image is {given}; wanted RGB uint8 (H, W, 3): read it with read_image"
        )
    return np.array(image, order="C")


def _thickness(unit: float) -> int:
    return max(1, round(unit))


def _fixed(point: Array) -> tuple[int, int]:
    """`point` (2,) in OpenCV's fixed-point pixels."""
    x, y = np.rint(point * (1 << SHIFT)).astype(int).tolist()
    return x, y


def _near(points: Array) -> NDArray[np.bool_]:
    return np.asarray((np.abs(points) < FAR_PX).all(-1))


def part_colors(of: Scheme) -> list[Color]:
    """The color of each point: of the last part that lists it."""
    colors = [OTHER_COLOR] * len(of)
    for part, indices in of.parts.items():
        for index in indices:
            colors[index] = PART_COLORS.get(part, OTHER_COLOR)
    return colors


def _paint(
    canvas: NDArray[np.uint8], center: Array, outer: float, inner: float, color: Color
) -> None:
    """Fill the ring between two radii, each pixel by how much of it is covered.

    By hand, since OpenCV draws circles of few pixels as diamonds.
    """
    height, width = canvas.shape[:2]
    x0, y0 = np.floor(center - outer - 1).astype(int).clip(0, (width, height)).tolist()
    x1, y1 = np.ceil(center + outer + 2).astype(int).clip(0, (width, height)).tolist()
    if x0 == x1 or y0 == y1:
        return
    away = np.hypot(np.arange(x0, x1) - center[0], np.arange(y0, y1)[:, None] - center[1])
    cover = (outer + 0.5 - away).clip(0, 1)
    if inner > 0:
        cover *= (away - inner + 0.5).clip(0, 1)
    patch = canvas[y0:y1, x0:x1]
    patch[:] = np.rint(patch + cover[..., None] * (np.array(color) - patch)).astype(np.uint8)


def _draw_points(canvas: NDArray[np.uint8], face: Face, radius: float) -> None:
    near = _near(face.landmarks)
    for index, color in enumerate(part_colors(scheme(face.scheme))):
        if near[index]:
            if radius >= RIM_FROM_PX:
                _paint(canvas, face.landmarks[index], radius + 0.5, 0.0, RIM_COLOR)
            _paint(canvas, face.landmarks[index], radius, 0.0, color)


def _draw_edges(canvas: NDArray[np.uint8], face: Face, thickness: int) -> None:
    of = scheme(face.scheme)
    colors, near = part_colors(of), _near(face.landmarks)
    for a, b in of.edges:
        if near[a] and near[b]:
            ends = _fixed(face.landmarks[a]), _fixed(face.landmarks[b])
            cv2.line(canvas, *ends, colors[a], thickness, cv2.LINE_AA, SHIFT)


def _draw_sigmas(canvas: NDArray[np.uint8], face: Face) -> None:
    near, side = _near(face.landmarks), box_side(face.box)
    for index, color in enumerate(part_colors(scheme(face.scheme))):
        radius = 2 * face.sigma_px[index]
        if near[index] and 0 < radius < side:  # a larger one says nothing
            _paint(canvas, face.landmarks[index], radius + 0.5, radius - 0.5, color)


def _draw_box(canvas: NDArray[np.uint8], box: Array, thickness: int) -> None:
    corners = box.clip(-FAR_PX, FAR_PX)
    cv2.rectangle(
        canvas, _fixed(corners[:2]), _fixed(corners[2:]), BOX_COLOR, thickness, cv2.LINE_AA, SHIFT
    )


def _draw_label(canvas: NDArray[np.uint8], face: Face, size: float) -> None:
    text = f"{face.score:.2f}" if face.track_id is None else f"#{face.track_id} {face.score:.2f}"
    height = min(max(box_side(face.box) / LABEL_DIVISOR, 8.0), 400.0) * size
    scale = height / 21.0  # a capital of this font is 21 px high at scale 1
    thickness = max(1, round(height / 12))
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)[0][0]
    pad = 0.35 * height
    bottom = float(
        np.clip(face.box[1] - 0.5 * height, height + 2 * pad, canvas.shape[0])
    )  # within the picture
    left = float(np.clip(face.box[0], 0, max(canvas.shape[1] - width - 2 * pad, 0)))
    top_left = round(left), round(bottom - height - 2 * pad)
    cv2.rectangle(
        canvas, top_left, (round(left + width + 2 * pad), round(bottom)), RIM_COLOR, cv2.FILLED
    )
    origin = (round(left + pad), round(bottom - pad))
    cv2.putText(
        canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, BOX_COLOR, thickness, cv2.LINE_AA
    )


def save_image(path: str | os.PathLike[str], image: NDArray[np.uint8], quality: int = 95) -> Path:
    """The path that `image` was written to, whole or not at all; the suffix decides the format.

    image: RGB uint8 (H, W, 3).    quality: of JPEG and WebP, 1 to 100.
    Raises: ImageError for an unknown suffix, another type or shape, or a place that cannot be written.
    """
    target = Path(path)
    name = FORMATS.get(target.suffix.lower())
    if name is None:
        raise ImageError(
            f"{target}: the suffix {target.suffix!r} names no format; wanted {', '.join(FORMATS)}"
        )
    picture = Image.fromarray(_copied(image))
    options: dict[str, int] = {"quality": quality} if name in ("JPEG", "WEBP") else {}
    try:
        with atomic_path(target) as beside:
            picture.save(beside, format=name, **options)
    except (OSError, ValueError) as error:  # a format that holds no such size says so as it likes
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{target}: cannot be written ({reason}); choose another place or format"
        ) from error
    return target
