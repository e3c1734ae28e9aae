"""What landmark i is: names, mirror maps, edges, parts and normalizer points of every point set, read from tables/schemes.

Left and right are the subject's own. A scheme is looked up with `scheme(name)`.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from .errors import SchemeError, nearest
from .geometry import Array

NAMES = ("ibug68",)


@dataclass(frozen=True, eq=False)
class Scheme:
    """A point set. Frozen; arrays are read-only."""

    name: str
    """How recipes, faces and files call it, e.g. "ibug68"."""
    title: str
    """One sentence: which points, by whom."""
    points: tuple[str, ...]
    """The name of each point, unique, with subject-left and -right spelled out."""
    mirror: NDArray[np.intp]
    """(N,): point i of a flipped image is point mirror[i] of the original."""
    edges: tuple[tuple[int, int], ...]
    """The pairs of points that a drawing joins."""
    parts: dict[str, tuple[int, ...]]
    """Point indices by part of the face."""
    norm_points: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """By normalizer rule: two groups of points, the distance of whose centres is the norm."""
    mean_shape: Array | None = None
    """(N, 2) in units of the tight box's longer side around its centre, or None where it was not learnt."""

    def __len__(self) -> int:
        return len(self.points)
