"""Drawing of a scheme on a face: numbered points, and lines between mirrored pairs."""

import numpy as np

from ..geometry import Array, Image, box_side, landmark_box
from ..opencv import cv2
from ..scheme_file.table import Scheme
from .draw import OTHER_COLOR, RIM_COLOR, check_rgb, part_colors

SIDE = 1000
"""Longer side of the drawing, pixels."""
MARGIN = 0.25
"""Margin shown around the points, in units of their box side."""
PAIR_COLOR = (255, 80, 80)


def draw_scheme(image: Image, landmarks: Array, scheme: Scheme) -> Image:
    """Return an enlarged part of `image` with numbered points, contours and mirrored pairs.

    Args:
        image: RGB uint8 (H, W, 3).
        landmarks: (N, 2), pixels; nan if not annotated.
        scheme: Scheme of the landmarks.

    Raises:
        ImageError: If the image has another type or shape.
        ShapeError: If no point is annotated.
    """
    check_rgb(image)
    box = landmark_box(landmarks)
    margin = max(MARGIN * box_side(box), 4.0)
    scale = SIDE / (box_side(box) + 2 * margin)
    start = box[:2] - margin
    size = np.ceil((box[2:] - box[:2] + 2 * margin) * scale).astype(int)
    affine = np.array([[scale, 0, -start[0] * scale], [0, scale, -start[1] * scale]])
    width, height = size.tolist()
    canvas = np.asarray(cv2.warpAffine(image, affine, (width, height)), np.uint8)
    canvas = np.ascontiguousarray(canvas // 2 + 40)
    at = (landmarks - start) * scale
    for index, partner in enumerate(scheme.mirror.tolist()):
        if index < partner:
            _line(canvas, at[index], at[partner], PAIR_COLOR)
    for a, b in scheme.edges:
        _line(canvas, at[a], at[b], OTHER_COLOR)
    for index, color in enumerate(part_colors(scheme)):
        if not np.isfinite(at[index]).all():
            continue
        x, y = np.rint(at[index]).astype(int).tolist()
        cv2.circle(canvas, (x, y), 4, color, -1, cv2.LINE_AA)
        for ink, thickness in ((RIM_COLOR, 3), (color, 1)):
            style = cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, thickness, cv2.LINE_AA
            cv2.putText(canvas, str(index), (x + 6, y - 4), *style)
    return canvas


def _line(canvas: Image, a: Array, b: Array, color: tuple[int, int, int]) -> None:
    if np.isfinite(a).all() and np.isfinite(b).all():
        start, end = (np.rint(point).astype(int).tolist() for point in (a, b))
        cv2.line(canvas, start, end, color, 1, cv2.LINE_AA)
