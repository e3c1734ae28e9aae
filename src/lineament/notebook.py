"""Faces as HTML for notebooks: an SVG drawing of landmarks on the image, and a table."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .geometry import Array, box_side, landmark_box

SHOWN_PX = 640
"""Longer displayed side of the image; it is embedded at twice this size for high-DPI screens."""
COLORS = ("#00e5ff", "#ffd500", "#ff4fd8", "#7cff4f", "#ff8a3c")
"""Colors of faces, used in rotation."""


def faces_svg(
    image: NDArray[np.uint8] | None,
    size: tuple[int, int],
    faces: Sequence[Array],
    edges: Sequence[tuple[int, int]],
) -> str:
    """Return an SVG drawing of faces on their image.

    Args:
        image: RGB (H, W, 3); None: gray background.
        size: Width and height of the image.
        faces: Landmarks (N, 2) of each face, pixels of the image.
        edges: Pairs of landmarks to connect by lines.
    """
    width, height = size
    scale = min(1.0, SHOWN_PX / max(size))
    place = f'x="-0.5" y="-0.5" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-0.5 -0.5 {width} {height}" '
        f'width="{width * scale:.0f}" height="{height * scale:.0f}">',
        f'<rect {place} fill="#888"/>',
    ]
    if image is not None:
        parts.append(f'<image {place} href="{_jpeg(image)}"/>')
    for number, landmarks in enumerate(faces):
        parts.append(_face(landmarks, edges, COLORS[number % len(COLORS)], number))
    return "".join([*parts, "</svg>"])


def _face(
    landmarks: Array, edges: Sequence[tuple[int, int]], color: str, number: int
) -> str:
    """Return the lines, dots and number of one face."""
    points = [f"{x:.1f} {y:.1f}" for x, y in landmarks.tolist()]
    lines = "".join(f"M{points[a]}L{points[b]}" for a, b in edges)
    dots = "".join(f"M{point}h0" for point in points)
    box = landmark_box(landmarks)
    side = box_side(box)
    pen = f'stroke="{color}" fill="none" stroke-linecap="round"'
    return (
        f'<path d="{lines}" {pen} stroke-width="{side / 150:.2f}"/>'
        f'<path d="{dots}" {pen} stroke-width="{side / 50:.2f}"/>'
        f'<text x="{box[0]:.1f}" y="{box[1]:.1f}" fill="{color}" '
        f'font-size="{side / 7:.1f}">{number}</text>'
    )


def _jpeg(image: NDArray[np.uint8]) -> str:
    """Return a JPEG of the image as a data URL."""
    small = Image.fromarray(image)
    small.thumbnail((2 * SHOWN_PX, 2 * SHOWN_PX))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def table_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table."""
    lines = [_row("th", head)]
    lines += [_row("td", row) for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _row(kind: str, cells: Sequence[str]) -> str:
    inner = "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{inner}</tr>"
