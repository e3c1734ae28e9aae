"""YOLO pose labels: one .txt file per image, with coordinates as fractions of the image size."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import image_next_to, visible_files
from ...schemes import scheme
from ..sample import Sample, numbered_name
from .image_finder import ImageFinder, StemFinder, check_shared, image_size
from .label_text import read_label_text
from .own_data import DEFAULT_OWN_DATA, OwnData, UnknownPointsError, choose_points
from .sentinels import note_absent, without_useless_flags
from .yolo_splits import listed_label_files
from .yolo_yaml import PointDescription, describe_points

FLAGS = (0, 1, 2)
"""Third number of a point: not annotated, occluded, visible."""
MIN_CONFIDENCE = 0.5
"""Smallest confidence of a predicted point that counts as visible."""
Row = tuple[Path, int, list[float]]
"""Label file, number of the line, and its numbers."""
VALUES_BEFORE_POINTS = 5
"""Number of values before the points in a line: class, and center and size of the box."""


def read_yolo(
    root: Path, part: str = "all", own: OwnData = DEFAULT_OWN_DATA
) -> list[Sample]:
    """Read every label file below `root`, or below its subfolder `part` unless "all".

    The image of labels/a.txt is in the folder `images` next to `labels`, or next to the file.
    Points with v = 0 or at (0, 0) are not annotated; points with v = 1 are occluded. kpt_shape in a
    .yaml file gives the number of values per point, kpt_names their names. flip_idx must agree
    with the mirror of the scheme.

    Args:
        root: The folder, or the .yaml file in it.
        part: A subfolder, a text file that lists images, or "all".
        own: User-provided information about the data.

    Raises:
        DataError: If there is no label, a line is broken, an image is missing, or the .yaml file
            contradicts the scheme.
    """
    described = describe_points(root)
    root = root.parent if root.is_file() else root
    rows = _read_rows(root, root if part == "all" else root / part)
    count, per_point = described.shape if described else _shape(root, rows[0][2], own)
    _check_lengths(rows, count, per_point)
    classes = sorted({int(values[0]) for _, _, values in rows})
    scheme_name, indices = _choose_points(described, classes, count, own, str(root))
    finder, counted = ImageFinder(root, own.pictures, own.needs_images), Counter[str]()
    elsewhere = StemFinder(own.pictures) if own.pictures else None
    least_visible = _least_visible(root, rows, per_point, own)
    samples, found = [], []
    for path, _, values in rows:
        image = _image_of(path) or (elsewhere.find(path) if elsewhere else None)
        finder.found += image is not None
        image = image or finder.find(path.with_suffix(".jpg").name)
        if not image.is_file():
            continue
        found.append((path, image))
        # a list of images may be in another folder than the labels
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        name = inside.with_suffix(image.suffix).as_posix()
        face = _face(np.array(values), per_point, image, least_visible)
        face = replace(face, name=numbered_name(name, counted))
        face = replace(face, subset=inside.parent.as_posix())
        sample = face.with_points(scheme_name, indices)
        samples.append(replace(sample, group=own.group_of(name, {}, "")))
    finder.check()
    if finder.missing:
        own.note(
            f"{root}: the images of {len(finder.missing)} label files were not found, e.g. "
            f"{finder.missing[0]!r}; their faces are skipped"
        )
    check_shared(found)
    note_absent(samples, own, str(root))
    if least_visible == FLAGS[-1]:
        return without_useless_flags(samples, own, str(root))
    return samples


def _read_rows(root: Path, location: Path) -> list[Row]:
    """Return the labels below a folder, or of the images in a list.

    Raises:
        DataError: If there is none, or a line is broken.
    """
    if location.is_file():
        files = list(listed_label_files(root, location))
    else:
        files = visible_files(location, "**/*.txt")
    rows = []
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            if values := _numbers(line, f"{path}:{number}"):
                rows.append((path, number, values))
    if not rows:
        raise DataError(
            f"{location}: no labels; "
            "expected .txt files of class, box and points as fractions"
        )
    return rows


def _check_lengths(rows: Sequence[Row], count: int, per_point: int) -> None:
    expected = VALUES_BEFORE_POINTS + count * per_point
    for path, number, values in rows:
        if len(values) != expected:
            raise DataError(
                f"{path}:{number}: {len(values)} numbers; expected {expected}: class, "
                f"box and {count} points of {per_point} numbers"
            )


def _least_visible(
    root: Path, rows: Sequence[Row], per_point: int, own: OwnData
) -> float:
    """Return the number from which on the third number of a point means that it is visible.

    This is 2, or a confidence if the labels are predictions.
    """
    for _, _, values in rows if per_point == 3 else ():
        if not np.isin(values[VALUES_BEFORE_POINTS + 2 :: 3], FLAGS).all():
            own.note(
                f"{root}: the third numbers of points are not only 0, 1 and 2, so they "
                f"are taken for confidences; points below {MIN_CONFIDENCE} count as "
                "not visible"
            )
            return MIN_CONFIDENCE
    return FLAGS[-1]


def has_labels(folder: Path) -> bool:
    """Return True if a .txt file below `folder` contains a pose label."""
    return any(is_label_file(path) for path in visible_files(folder, "**/*.txt"))


def is_label_file(path: Path) -> bool:
    """Return True if a .txt file contains a pose label."""
    lines = enumerate(_lines(path), 1)
    return any(_numbers(line, f"{path}:{number}") for number, line in lines)


def _lines(path: Path) -> list[str]:
    return read_label_text(path, "labels as text").splitlines()


def _numbers(line: str, location: str) -> list[float]:
    """Return the numbers in a label line; empty for names and labels without points."""
    words = line.split()
    if len(words) <= VALUES_BEFORE_POINTS:
        return []
    values: list[float] = []
    try:
        for word in words:
            values.append(float(word))
    except ValueError as error:
        if len(values) < VALUES_BEFORE_POINTS:
            return []
        raise DataError(
            f"{location}: {words[len(values)][:40]!r} is not a number; expected class, box and "
            "points as fractions"
        ) from error
    return values


def _choose_points(
    described: PointDescription | None,
    classes: Sequence[int],
    count: int,
    own: OwnData,
    location: str,
) -> tuple[str, list[int]]:
    """Return the scheme of the points, and the index of each in it; see `choose_points`.

    Raises:
        DataError: If flip_idx contradicts the mirror of the scheme.
    """
    if described is None:
        return choose_points([""] * count, own, location)
    names = described.names_of(classes)
    try:
        name, rows = choose_points(names, own, location)
    except UnknownPointsError as error:
        raise UnknownPointsError(str(error), error.points, described.mirror) from error
    points, mirror = scheme(name).points, scheme(name).mirror
    for row, partner in zip(rows, described.mirror, strict=False):
        if rows[partner] != mirror[row]:
            message = (
                f"{described.path}: flip_idx swaps {points[row]!r} with "
                f"{points[rows[partner]]!r}, but the scheme {name} swaps it with "
                f"{points[mirror[row]]!r}; correct or remove flip_idx, or set another scheme"
            )
            if own.scheme:
                raise DataError(message)
            raise UnknownPointsError(message, names, described.mirror)
    return name, rows


def _shape(root: Path, values: Sequence[float], own: OwnData) -> tuple[int, int]:
    """Return the number of points, and of values per point, of a line of labels."""
    rest = len(values) - VALUES_BEFORE_POINTS
    flags = np.array(values[VALUES_BEFORE_POINTS:])[2::3]
    per_point = 3 if rest % 3 == 0 and np.isin(flags, FLAGS).all() else 2
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


def _face(values: Array, per_point: int, image: Path, least_visible: float) -> Sample:
    size = image_size(image)
    points = values[VALUES_BEFORE_POINTS:].reshape(-1, per_point)
    annotated = np.asarray(points[:, :2].any(1) & np.isfinite(points[:, :2]).all(1))
    visible = None
    if per_point == 3:
        annotated &= points[:, 2] > 0
        visible = points[:, 2] >= least_visible
    center, side = values[1:3] * size, values[3:5] * size
    return Sample(
        image=image,
        landmarks=np.where(annotated[:, None], points[:, :2] * size, np.nan),
        scheme="",
        name="",
        box=np.concatenate([center - side / 2, center + side / 2]),
        visible=visible,
    )
