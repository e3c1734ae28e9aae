"""Smallest face to detect, and the scales at which an image is searched for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError

MAX_PASS_SIDE, MAX_PASS_PX = 1280, 1280 * 960
"""Longer side and number of pixels of the largest image for one pass of a network."""
MIN_PASS_SIDE = 96
"""Longer side below which shrinking an image further saves no time."""
LEVEL_STEP = 4.0
"""Factor between tiled scales: the largest face of one has 40 px at the next."""
MIN_TILE_SCALE_RATIO = 1.25
"""Minimum ratio of the scale of tiles to that of the pass over the entire image."""


@dataclass(frozen=True)
class SearchPlan:
    """Scales of a search, in input pixels of the network per image pixel."""

    entire: float
    """Scale of the finest pass over the entire image."""
    tiled: tuple[float, ...] = ()
    """Finer scales, searched in tiles."""


def parse_min_face(min_face: Any) -> float:
    """Return the smallest face to detect as a number.

    Args:
        min_face: Side of the face: a number above 1 or a text like "40px" in pixels of
            the image, a number between 0 and 1 as a fraction of its longer side.

    Returns:
        Pixels if above 1, else a fraction.

    Raises:
        InputError: If `min_face` is not a size.
    """
    text = str(min_face).strip().lower()
    try:
        number = float(text.removesuffix("px"))
    except ValueError:
        number = np.nan
    is_pixels = number > 1
    is_fraction = 0 < number < 1 and not text.endswith("px")
    if isinstance(min_face, bool) or not np.isfinite(number):
        is_pixels = is_fraction = False
    if not (is_pixels or is_fraction):
        raise InputError(
            f"min_face is {min_face!r}; expected the side of the smallest face: more "
            "than 1 pixel, such as 40 or '40px', or a fraction of the image's longer "
            "side between 0 and 1, such as 0.05"
        )
    return number


def plan_search(
    shape: tuple[int, ...],
    min_face: float,
    min_face_px: float,
    side: int,
    enlarge: float,
) -> SearchPlan:
    """Plan the search for faces from `min_face` up to the entire image.

    Args:
        shape: Height and width of the image.
        min_face: As `parse_min_face` returns it.
        min_face_px: Side of the smallest face that the network finds, input pixels.
        side: Longer side of the pass over the entire image in addition to tiles, input pixels.
        enlarge: Largest factor by which images are enlarged.
    """
    longest = max(shape[:2])
    face = min_face if min_face > 1 else min_face * longest
    finest = min(max(min_face_px / face, MIN_PASS_SIDE / longest), enlarge)
    pixels = shape[0] * shape[1] * finest**2
    if longest * finest <= MAX_PASS_SIDE and pixels <= MAX_PASS_PX:
        return SearchPlan(finest)
    entire = side / longest
    tiled = []
    while finest > MIN_TILE_SCALE_RATIO * entire:
        tiled.append(finest)
        finest /= LEVEL_STEP
    return SearchPlan(entire, tuple(tiled))


def plan_default(
    shape: tuple[int, ...],
    fine_factor: float,
    side: int,
    largest_side: int,
    enlarge: float,
) -> SearchPlan:
    """Plan the search without `min_face`: the image at its own size, within limits.

    Args:
        shape: Height and width of the image.
        fine_factor: Larger images are also searched in tiles at this factor of `side`; tiles
            are not enlarged.
        side: Minimum longer side of the pass over the entire image, input pixels.
        largest_side: Maximum longer side of that pass, input pixels.
        enlarge: Largest factor by which images are enlarged.
    """
    longest = max(shape[:2])
    entire = min(max(side, min(longest, largest_side)) / longest, enlarge)
    fine = min(1.0, fine_factor * side / longest)
    return SearchPlan(entire, (fine,) if fine > MIN_TILE_SCALE_RATIO * entire else ())
