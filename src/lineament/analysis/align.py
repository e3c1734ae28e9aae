"""Image and face -> canonical crop: one similarity transform, fitted from the landmarks to a template.

Templates are read from tables/templates/<name>.toml or given as names -> points.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..crop import warp
from ..errors import ImageError, InputError, SchemeError, ShapeError, did_you_mean
from ..face import Face
from ..geometry import Array, apply_affine, fit_similarity, resize_affine, similarity
from ..schemes import NAMES, convert, scheme

TEMPLATES = ("arcface112", "ffhq256", "ffhq512", "ffhq1024")
MAX_SIZE = 8192


@dataclass(frozen=True)
class Square:
    """The rule of FFHQ: a square around the eyes and the mouth, upright with them."""

    eyes: float
    """Half the side is at least so many distances between the eyes."""
    mouth: float
    """And at least so many distances from the eyes to the mouth."""
    drop: float
    """The centre lies so far from the eyes towards the mouth."""


@dataclass(frozen=True)
class Template:
    """Where a crop shows the face: either named points, or a square built on them."""

    size: int
    """Side of the crop in pixels."""
    points: Mapping[str, tuple[float, float]] | None = None
    """Point name -> x, y in pixels of the crop, centre of its first pixel (0, 0)."""
    square: Square | None = None
    """The rule to build the square by, where there are no points."""


@cache
def load_template(name: str) -> Template:
    """The template called `name`, one of TEMPLATES.    Raises: InputError, with the nearest name."""
    if name not in TEMPLATES:
        raise InputError(f"no template is called {name!r}; {did_you_mean(str(name), TEMPLATES)}")
    text = files("lineament").joinpath(f"tables/templates/{name}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    if "square" in table:
        return Template(table["size"], square=Square(**table["square"]))
    return Template(
        table["size"], points={point: (x, y) for point, (x, y) in table["points"].items()}
    )


def align(
    image: NDArray[np.uint8],
    face: Face,
    template: str | Template | Mapping[str, ArrayLike] = "arcface112",
    size: int | None = None,
) -> tuple[NDArray[np.uint8], Array]:
    """The canonical crop (size, size, 3) of `face`, and the image_to_crop affine (2, 3); black beyond the image.

    image: RGB uint8 (H, W, 3), the one `face` is of.    template, size: as in `align_affine`.
    Raises: ImageError where the image is of another type or shape; else as `align_affine`.
    """
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
    chosen, size = _chosen(template, size)
    affine = _affine(face, chosen, size)
    return warp(image, affine, size), affine


def align_affine(
    face: Face,
    template: str | Template | Mapping[str, ArrayLike] = "arcface112",
    size: int | None = None,
) -> Array:
    """The image_to_crop affine (2, 3) that brings `face` to `template` in least squares, without mirroring.

    template: one of TEMPLATES, a Template, or at least two point names -> x, y in pixels of a crop of `size`. A name is
    one of the face's scheme, or of a scheme it converts to, so ibug68 reaches the five points of ArcFace.
    size: side of the crop in pixels; another size than the template's resizes it by pixel areas.
    Raises: InputError for an unknown template or a size out of range; SchemeError for a point that the face does not
    have; ShapeError where the points are all one.
    """
    return _affine(face, *_chosen(template, size))


def _chosen(
    template: str | Template | Mapping[str, ArrayLike], size: int | None
) -> tuple[Template, int]:
    if isinstance(template, Mapping):
        if size is None:
            raise InputError(
                "the template is a mapping of points and size is None; give the side of its crop"
            )
        template = Template(size, points=_as_named_points(template))
    elif not isinstance(template, Template):
        template = load_template(template)
    size = template.size if size is None else size
    if (
        isinstance(size, bool)
        or not isinstance(size, int | np.integer)
        or not 1 <= size <= MAX_SIZE
    ):
        raise InputError(
            f"size is {size!r}; wanted the side of the crop, a whole number from 1 to {MAX_SIZE}"
        )
    return template, int(size)


def _as_named_points(template: Mapping[str, ArrayLike]) -> dict[str, tuple[float, float]]:
    named = {}
    for name, point in template.items():
        array = np.asarray(point, dtype=np.float64)
        if array.shape != (2,) or not np.isfinite(array).all():
            raise ShapeError(
                f"the template's point {name!r} is {point!r}; wanted finite x, y in pixels of the crop"
            )
        named[name] = (float(array[0]), float(array[1]))
    if len(named) < 2:
        raise ShapeError(f"the template has {len(named)} points; wanted at least 2")
    return named


def _affine(face: Face, template: Template, size: int) -> Array:
    if template.square is not None:
        return _square_affine(face, template.square, size)
    if template.points is None:
        raise InputError("the template has neither points nor a square; give it one of them")
    given = np.array([named_point(face, name) for name in template.points])
    wanted = np.array(list(template.points.values()))
    scale = size / template.size
    return fit_similarity(given, apply_affine(resize_affine(scale, scale), wanted))


def named_point(face: Face, name: str) -> Array:
    """The landmark (2,) of `face` called `name` in its scheme, or in the first scheme it converts to that has it.

    Raises: SchemeError where there is none, with the nearest names of its own scheme.
    """
    for other in (face.scheme, *NAMES):
        names = scheme(other).points
        if name in names:
            try:
                point = convert(face.landmarks, face.scheme, other).points[names.index(name)]
            except SchemeError:  # no rule makes `other` of the face's scheme
                continue
            if np.isfinite(point).all():
                return np.asarray(point)
    raise SchemeError(
        f"no point of {face.scheme} or of what it converts to is called {name!r}; "
        f"{did_you_mean(name, {*scheme(face.scheme).points, *scheme('five').points})}"
    )


def _square_affine(face: Face, rule: Square, size: int) -> Array:
    """Source: Karras et al. 2019, appendix A; without its mirrored and blurred margin."""
    right_eye, left_eye, right_corner, left_corner = (
        named_point(face, name)
        for name in (
            "right_eye_center",
            "left_eye_center",
            "right_mouth_corner",
            "left_mouth_corner",
        )
    )
    eyes, mouth = (right_eye + left_eye) / 2, (right_corner + left_corner) / 2
    across, down = left_eye - right_eye, mouth - eyes
    axis = across + np.array([down[1], -down[0]])  # what is down, turned to run across
    half = max(rule.eyes * np.hypot(*across), rule.mouth * np.hypot(*down))
    if half == 0 or not axis.any():
        raise ShapeError(
            "eyes and mouth are one point, or upside down to each other; wanted a face"
        )
    middle = np.full(2, (size - 1) / 2)
    return similarity(
        size / (2 * half),
        -np.rad2deg(np.arctan2(axis[1], axis[0])),
        eyes + rule.drop * down,
        middle,
    )
