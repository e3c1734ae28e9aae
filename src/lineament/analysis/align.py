"""Alignment of faces: a canonical crop, by a similarity transform from landmarks to a template.

Templates are read from tables/templates/<name>.toml or given as named points.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike

from ..crop import warp
from ..errors import InputError, SchemeError, ShapeError, did_you_mean
from ..face import Face
from ..geometry import (
    Array,
    Image,
    apply_affine,
    fit_similarity,
    resize_affine,
    similarity,
)
from ..schemes import NAMES, convert, scheme
from .draw import check_rgb

TEMPLATES = ("arcface112", "ffhq256", "ffhq512", "ffhq1024")
MAX_SIZE = 8192


@dataclass(frozen=True)
class Square:
    """FFHQ's crop rule: a square around eyes and mouth, upright relative to them."""

    eyes: float
    """Minimum of half the side, in distances between the eyes."""
    mouth: float
    """Minimum of half the side, in distances from the eyes to the mouth."""
    drop: float
    """Position of the center from the eyes (0) to the mouth (1)."""


@dataclass(frozen=True)
class Template:
    """Position of a face in a crop: named points, or a square built on them."""

    size: int
    """Side of the crop in pixels."""
    points: Mapping[str, tuple[float, float]] | None = None
    """x, y of each named point, pixels of the crop."""
    square: Square | None = None
    """Rule of the square if there are no points."""


@cache
def load_template(name: str) -> Template:
    """Return the template called `name`, one of TEMPLATES.

    Raises:
        InputError: If there is none; the message offers the nearest name.
    """
    if name not in TEMPLATES:
        raise InputError(
            f"unknown template {name!r}; {did_you_mean(str(name), TEMPLATES)}"
        )
    path = files("lineament") / f"tables/templates/{name}.toml"
    text = path.read_text(encoding="utf-8")
    table = tomllib.loads(text)
    if "square" in table:
        return Template(table["size"], square=Square(**table["square"]))
    points = {point: (x, y) for point, (x, y) in table["points"].items()}
    return Template(table["size"], points=points)


def align(
    image: Image,
    face: Face,
    template: str | Template | Mapping[str, ArrayLike] = "arcface112",
    size: int | None = None,
) -> tuple[Image, Array]:
    """Return a crop of the face aligned to a template, and the transform from image to crop.

    Args:
        image: Image of the face, RGB uint8 (H, W, 3).
        face: The face.
        template: One of "arcface112", "ffhq256", "ffhq512", "ffhq1024", a Template, or
            at least two named points with x, y in pixels of a crop of `size`. Names are
            from the face's scheme or a scheme it converts to; ibug68 converts to the
            five points of ArcFace.
        size: Side of the crop, pixels; None: the template's.

    Returns:
        The crop (size, size, 3), black outside the image, and the image_to_crop affine
        matrix (2, 3).

    Raises:
        ImageError: If the image has another type or shape.
        InputError: If the template is unknown or the size is out of range.
        SchemeError: If the face lacks a point of the template.
        ShapeError: If the template has fewer than two points, or the points coincide.
    """
    check_rgb(image)
    chosen, size = _chosen(template, size)
    affine = _affine(face, chosen, size)
    return warp(image, affine, size), affine


def align_affine(
    face: Face,
    template: str | Template | Mapping[str, ArrayLike] = "arcface112",
    size: int | None = None,
) -> Array:
    """Return the affine matrix (2, 3) of `align`, with the same arguments and errors."""
    return _affine(face, *_chosen(template, size))


def _chosen(
    template: str | Template | Mapping[str, ArrayLike], size: int | None
) -> tuple[Template, int]:
    if isinstance(template, Mapping):
        if size is None:
            raise InputError(
                "a template of points needs the side of the crop, and size is None; "
                "give size in pixels"
            )
        template = Template(size, points=_as_named_points(template))
    elif not isinstance(template, Template):
        template = load_template(template)
    if not template.size >= 1:
        raise InputError(
            f"the template's size is {template.size}; expected the side of its crop, at "
            "least 1 pixel"
        )
    size = template.size if size is None else size
    is_integer = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if not is_integer or not 1 <= size <= MAX_SIZE:
        raise InputError(
            f"size is {size!r}; "
            f"expected the side of the crop, an integer from 1 to {MAX_SIZE}"
        )
    return template, int(size)


def _as_named_points(
    template: Mapping[str, ArrayLike],
) -> dict[str, tuple[float, float]]:
    named = {}
    for name, point in template.items():
        array = np.asarray(point, dtype=np.float64)
        if array.shape != (2,) or not np.isfinite(array).all():
            raise ShapeError(
                f"the template's point {name!r} is {point!r}; "
                "expected finite x, y in crop pixels"
            )
        named[name] = (float(array[0]), float(array[1]))
    if len(named) < 2:
        raise ShapeError(f"the template has {len(named)} points; expected at least 2")
    return named


def _affine(face: Face, template: Template, size: int) -> Array:
    if template.square is not None:
        return _square_affine(face, template.square, size)
    if template.points is None:
        raise InputError(
            "the template has neither points nor a square; give one of them"
        )
    source = np.array([named_point(face, name) for name in template.points])
    target = np.array(list(template.points.values()))
    scale = size / template.size
    return fit_similarity(source, apply_affine(resize_affine(scale, scale), target))


def named_point(face: Face, name: str) -> Array:
    """Return the landmark (2,) called `name` in a scheme that the face converts to.

    Raises:
        SchemeError: If there is none; the message offers the nearest names.
    """
    for other in (face.scheme, *NAMES):
        names = scheme(other).points
        if name in names:
            try:
                point = convert(face.landmarks, face.scheme, other).points[
                    names.index(name)
                ]
            except SchemeError:  # the face's scheme does not convert to `other`
                continue
            if np.isfinite(point).all():
                return np.asarray(point)
    remedy = did_you_mean(
        name, {*scheme(face.scheme).points, *scheme("five").points} - {name}
    )
    if face.scheme not in NAMES:
        remedy = (
            "give a template of its own points, or state in its file, in "
            "[from.ibug68], which of the 68 points it has"
        )
    raise SchemeError(
        f"unknown point {name!r} in {face.scheme} and the schemes it converts to; {remedy}"
    )


def _square_affine(face: Face, rule: Square, size: int) -> Array:
    """Return the affine of FFHQ's square, without its mirrored and blurred margin.

    Source: Karras et al. 2019, appendix A.
    """
    right_eye = named_point(face, "right_eye_center")
    left_eye = named_point(face, "left_eye_center")
    corners = named_point(face, "right_mouth_corner")
    corners = corners + named_point(face, "left_mouth_corner")
    eyes, mouth = (right_eye + left_eye) / 2, corners / 2
    across, down = left_eye - right_eye, mouth - eyes
    axis = across + np.array([down[1], -down[0]])  # down, turned by 90 degrees
    half = max(rule.eyes * np.hypot(*across), rule.mouth * np.hypot(*down))
    if half == 0 or not axis.any():
        raise ShapeError(
            "the eyes and the mouth coincide or are upside down; "
            "expected landmarks of a face"
        )
    middle = np.full(2, (size - 1) / 2)
    roll_deg = np.rad2deg(np.arctan2(axis[1], axis[0]))
    return similarity(size / (2 * half), -roll_deg, eyes + rule.drop * down, middle)
