"""YOLO pose labels: one .txt file per image, with coordinates as fractions of the image size."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import image_next_to, visible_files
from ..sample import Sample, numbered_name
from .image_finder import ImageFinder, StemFinder, image_size
from .marks import note_absent
from .own_data import UNSTATED, OwnData, choose_points

LEAD = 5
"""Number of values before the points in a line: class, and center and size of the box."""


def read_yolo(root: Path, part: str = "all", own: OwnData = UNSTATED) -> list[Sample]:
    """Read every label file below `root`, or below its subfolder `part` unless "all".

    The image of labels/a.txt is in the folder `images` next to `labels`, or next to the file.
    Points with v = 0 or at (0, 0) are not annotated; points with v = 1 are occluded. kpt_shape in a
    .yaml file gives the number of values per point.

    Raises:
        DataError: If there is no label, a line is broken or an image is missing.
    """
    folder = root if part == "all" else root / part
    lines = []
    for path in visible_files(folder, "**/*.txt"):
        for number, line in enumerate(_lines(path), 1):
            lines.append((path, number, line))
    rows = [(path, n, values) for path, n, line in lines if (values := _numbers(line))]
    if not rows:
        raise DataError(
            f"{folder}: no labels; "
            "expected .txt files of class, box and points as fractions"
        )
    count, per_point = _shape(root, rows, own)
    scheme, places = choose_points([""] * count, own, str(root))
    finder, counted = ImageFinder(root, own.pictures, own.needs_images), Counter[str]()
    elsewhere = StemFinder(own.pictures) if own.pictures else None
    samples = []
    for path, number, values in rows:
        if len(values) != LEAD + count * per_point:
            raise DataError(
                f"{path}:{number}: {len(values)} numbers; expected "
                f"{LEAD + count * per_point}: class, box and {count} points of "
                f"{per_point} numbers"
            )
        image = (
            _image_of(path)
            or (elsewhere.find(path) if elsewhere else None)
            or finder.find(path.with_suffix(".jpg").name)
        )
        if not image.is_file():
            continue
        name = path.relative_to(root).with_suffix(image.suffix).as_posix()
        face = _face(np.array(values), per_point, image)
        face = replace(face, name=numbered_name(name, counted))
        face = replace(face, subset=path.parent.relative_to(root).as_posix())
        sample = face.with_points(scheme, places)
        samples.append(replace(sample, group=own.group_of(name, {}, "")))
    finder.check()
    note_absent(samples, own, str(root))
    return samples


def has_labels(folder: Path) -> bool:
    """Return True if a .txt file below `folder` contains a pose label."""
    for path in visible_files(folder, "**/*.txt"):
        if any(_numbers(line) for line in _lines(path)):
            return True
    return False


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected labels as text"
        ) from error


def _numbers(line: str) -> list[float]:
    """Return the numbers in a label line; empty for names and labels without points."""
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return []
    return values if len(values) > LEAD else []


def _shape(
    root: Path, rows: list[tuple[Path, int, list[float]]], own: OwnData
) -> tuple[int, int]:
    """Return the number of points, and of values per point."""
    homes = (root, *root.parents[:2])
    described = [path for home in homes for path in sorted(home.glob("*.y*ml"))]
    for path in described:
        stated = re.search(
            r"kpt_shape:\s*(?:\[|-)\s*(\d+)\s*(?:,|-)\s*(\d)", "\n".join(_lines(path))
        )
        if stated:
            return int(stated[1]), int(stated[2])
    rest = len(rows[0][2]) - LEAD
    flags = np.array(rows[0][2][LEAD:])[2::3]
    per_point = 3 if rest % 3 == 0 and np.isin(flags, (0, 1, 2)).all() else 2
    own.note(
        f"{root}: no kpt_shape in a .yaml file; the labels have {rest // per_point} points of "
        f"{per_point} numbers"
    )
    return rest // per_point, per_point


def _image_of(label: Path) -> Path | None:
    """Return the image of a label file: in images/ next to labels/, or next to the file."""
    parts = list(label.parts)
    for number in range(len(parts) - 2, -1, -1):
        if parts[number].lower() == "labels":
            parts[number] = "images"
            found = image_next_to(Path(*parts))
            if found is not None:
                return found
            break
    return image_next_to(label)


def _face(values: Array, per_point: int, image: Path) -> Sample:
    size = image_size(image)
    points = values[LEAD:].reshape(-1, per_point)
    annotated = np.asarray(points[:, :2].any(1))
    visible = None
    if per_point == 3:
        annotated &= points[:, 2] > 0
        visible = points[:, 2] > 1
    center, side = values[1:3] * size, values[3:5] * size
    return Sample(
        image=image,
        landmarks=np.where(annotated[:, None], points[:, :2] * size, np.nan),
        scheme="",
        name="",
        box=np.concatenate([center - side / 2, center + side / 2]),
        visible=visible,
    )
