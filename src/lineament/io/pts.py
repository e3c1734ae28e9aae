"""Landmarks <-> .pts files, which count pixels from 1."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..face import Faces
from ..geometry import Array, as_points


def format_pts(landmarks: ArrayLike) -> str:
    """Return `landmarks` (N, 2) as the text of a .pts file, which counts from 1."""
    lines = [f"{x + 1:.3f} {y + 1:.3f}" for x, y in as_points(landmarks)]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""])


def parse_pts(text: str, name: str = "this text") -> Array:
    """Return the points (N, 2) of a .pts file's text, with or without header, as 0-based pixels.

    Args:
        name: How errors call the file.

    Raises:
        DataError: If a line or the stated count is wrong.
    """
    stated = None
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0] in "{}" or words[0].startswith("version"):
            continue
        if words[0].startswith("n_points"):
            stated = words[-1].removeprefix("n_points:")
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 2:
            raise DataError(
                f"{name}:{number}: {line.strip()[:60]!r}; "
                "wanted two numbers, x and y, counted from 1"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{name}: no points; wanted one line of x and y per point")
    if stated is not None and stated.isdigit() and int(stated) != len(rows):
        raise DataError(
            f"{name}: the header says {stated} points, {len(rows)} follow; "
            "correct the header or the points"
        )
    return np.array(rows) - 1.0


def faces_to_pts(faces: Faces, stem: str) -> dict[str, str]:
    """Return .pts texts by file name: `stem`.pts for one face, `stem`_1.pts, ... for several."""
    if len(faces) == 1:
        return {f"{stem}.pts": format_pts(faces[0].landmarks)}
    texts = {}
    for number, face in enumerate(faces, 1):
        texts[f"{stem}_{number}.pts"] = format_pts(face.landmarks)
    return texts
