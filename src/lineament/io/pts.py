"""Read and write .pts files, in which pixels are numbered from 1."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..face import Faces
from ..geometry import Array, as_points


def format_pts(landmarks: ArrayLike) -> str:
    """Return `landmarks` (N, 2) as the text of a .pts file, with 1-based pixels."""
    lines = [f"{x + 1:.3f} {y + 1:.3f}" for x, y in as_points(landmarks)]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""])


def parse_pts(text: str, name: str = "this text") -> Array:
    """Return the points (N, 2) in the text of a .pts file, with or without header, 0-based pixels.

    Args:
        name: Name of the file in error messages.

    Raises:
        DataError: If a line or the stated number of points is wrong.
    """
    stated_count = None
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace("{", " ").replace("}", " ").split()
        if not words or words[0].startswith("version"):
            continue
        if words[0].startswith("n_points"):
            stated_count = words[-1].removeprefix("n_points:")
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 2:
            raise DataError(
                f"{name}:{number}: {line.strip()[:60]!r}; "
                "expected two numbers, x and y, counted from 1"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{name}: no points; expected one line of x and y per point")
    if (
        stated_count is not None
        and stated_count.isdigit()
        and int(stated_count) != len(rows)
    ):
        raise DataError(
            f"{name}: the header says {stated_count} points, {len(rows)} follow; "
            "correct the header or the points"
        )
    return np.array(rows) - 1.0


def faces_to_pts(faces: Faces, stem: str) -> dict[str, str]:
    """Return .pts texts by file name: `stem`.pts for one face, `stem`_1.pts, ... for several.

    The center of the first pixel is (1, 1) in these files.
    """
    if len(faces) == 1:
        return {f"{stem}.pts": format_pts(faces[0].landmarks)}
    texts = {}
    for number, face in enumerate(faces, 1):
        texts[f"{stem}_{number}.pts"] = format_pts(face.landmarks)
    return texts
