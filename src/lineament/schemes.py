"""Landmark schemes: names, mirror maps, edges, norms, and conversions between them.

Read from tables/schemes/<name>.toml. Left and right are the subject's own.
"""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import SchemeError, ShapeError, did_you_mean
from .geometry import Array, as_points

NAMES = (
    "five",
    "aflw19",
    "aflw21",
    "cofw29",
    "ibug49",
    "ibug51",
    "ibug68",
    "fgnet68",
    "wflw98",
    "lapa106",
    "helen194",
    "ibug68_helen194",
    "mediapipe478",
    "afw6",
    "fgnet20",
    "fgnet22",
    "lfpw35",
    "imm58",
    "multipie65",
    "muct76",
)
HUBS = ("ibug68", "wflw98")
"""Schemes to convert through when a pair has no rule of its own."""
STATUSES = ("missing", "interpolated", "exact")
"""Worst first: a chain of rules is as good as its worst link."""


@dataclass(frozen=True, eq=False)
class Scheme:
    """A landmark scheme: the meaning of each landmark index. Arrays are read-only."""

    name: str
    """Name in recipes, faces and files, e.g. "ibug68"."""
    title: str
    """One sentence: the points and their source."""
    points: tuple[str, ...]
    """Unique name of each point, with the subject's left and right spelled out."""
    mirror: NDArray[np.intp]
    """(N,): point i of a flipped image is point mirror[i] of the original."""
    chains: tuple[tuple[int, ...], ...]
    """Points along each contour, in order; a closed one ends with its first point."""
    parts: dict[str, tuple[int, ...]]
    """Point indices by part of the face."""
    norm_points: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Two groups of points per normalizer, whose centers span the norm."""
    mean_shape: Array | None = None
    """(N, 2) about the center of its tight box, in longer sides of it, or None."""
    smooth: bool = False
    """True if the points lie so densely that curves through them draw the contours."""
    heads: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Point indices of each scheme joined in this one; mostly empty."""

    def __len__(self) -> int:
        return len(self.points)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of neighbors along the chains."""
        pairs: list[tuple[int, int]] = []
        for chain in self.chains:
            pairs += pairwise(chain)
        return tuple(pairs)


@dataclass(frozen=True, eq=False)
class Conversion:
    """Landmarks converted from one scheme to another."""

    points: Array
    """(M, 2), in the frame of the source landmarks; nan if missing."""
    status: NDArray[np.str_]
    """(M,): "exact", the same point by definition; "interpolated", from neighbors;
    "missing"."""
    source: str
    """Scheme of the given landmarks."""
    target: str
    """Scheme of `points`."""
    weights: Array
    """(M, N): weight of each source point in each target point, at least 0."""

    def having(self, status: str) -> NDArray[np.intp]:
        """Return the indices of the target points with this `status`."""
        return np.flatnonzero(self.status == status)

    def convert_values(self, values: ArrayLike, missing: float = np.nan) -> Array:
        """Convert one number per landmark, such as scores or sigma.

        An exact point keeps its number. An interpolated point takes the mean of its
        source points' numbers, with the weights of their coordinates. For sigma that is
        an upper bound, without the error of the rule itself.

        Args:
            values: (N,), one number per source point.
            missing: Value of missing points.

        Returns:
            (M,), one number per target point.

        Raises:
            ShapeError: If there is not one number per source point.
        """
        array = np.asarray(values, dtype=np.float64)
        count = self.weights.shape[1]
        if array.shape != (count,):
            raise ShapeError(
                f"values have shape {array.shape}; wanted ({count},), one per {self.source} point"
            )
        unknown = np.isnan(array)
        # a nan must reach only the points it is a source of, and 0 * nan is nan
        result = self.weights @ np.where(unknown, 0.0, array)
        result[(self.weights != 0) @ unknown] = np.nan
        result[self.status == "missing"] = missing
        return np.asarray(result)


def _table(name: str) -> dict[str, Any]:
    path = files(__package__).joinpath(f"tables/schemes/{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def check_scheme(name: str) -> str:
    """Return `name` if it is the name of a scheme.

    Raises:
        SchemeError: If no scheme has this name; the message offers the nearest one.
    """
    if name not in NAMES:
        raise SchemeError(
            f"no scheme is called {name!r}; {did_you_mean(str(name), NAMES)}"
        )
    return name


@cache
def _load(name: str) -> Scheme:
    table = _table(name)
    mean = table.get("mean_shape")
    return Scheme(
        name=name,
        title=table["title"],
        points=tuple(table["points"]),
        mirror=_frozen(np.array(table["mirror"], dtype=np.intp)),
        chains=tuple(tuple(chain) for chain in table["chains"]),
        parts={part: tuple(points) for part, points in table["parts"].items()},
        norm_points={
            norm: (tuple(a), tuple(b)) for norm, (a, b) in table["norm_points"].items()
        },
        mean_shape=None if mean is None else _frozen(np.array(mean, dtype=np.float64)),
        smooth=table.get("smooth", False),
        heads={head: tuple(points) for head, points in table.get("heads", {}).items()},
    )


def scheme(name: str) -> Scheme:
    """Return the scheme called `name`.

    Raises:
        SchemeError: If no scheme has this name.
    """
    return _load(check_scheme(name))


@cache
def _rule(source: str, target: str) -> tuple[Array, NDArray[np.intp]] | None:
    """Return weights (M, N) of source in target points, and ranks (M,) in STATUSES."""
    count = len(scheme(target))
    if source == target:
        return _frozen(np.eye(count)), np.full(count, 2)
    table = _table(target).get("from", {}).get(source)
    if table is None:
        return None
    weights = np.zeros((count, len(scheme(source))))
    rank = np.zeros(count, dtype=np.intp)
    for point, index in enumerate(table["exact"]):
        if index >= 0:
            weights[point, index], rank[point] = 1.0, 2
    for mixed in table.get("mixed", ()):
        weights[mixed["point"], mixed["sources"]] = mixed["weights"]
        rank[mixed["point"]] = 1
    return _frozen(weights), rank


@cache
def _path(source: str, target: str) -> tuple[Array, NDArray[np.intp]] | None:
    """Return the rule of the pair, else the best one through a hub, else None."""
    direct = _rule(source, target)
    if direct is not None:
        return direct
    chained = []
    for hub in HUBS:
        first, second = _rule(source, hub), _rule(hub, target)
        if first is not None and second is not None:
            worst = np.where(second[0] != 0, first[1], len(STATUSES)).min(1)
            rank = np.minimum(second[1], worst)
            chained.append(
                (_frozen((second[0] @ first[0]) * (rank > 0)[:, None]), rank)
            )
    return max(chained, key=lambda rule: int(rule[1].sum()), default=None)


def convert(points: ArrayLike, source: str, target: str) -> Conversion:
    """Convert landmarks from one scheme to another.

    Args:
        points: Landmarks in `source`, (N, 2), in any frame. Rows may be nan.
        source: Scheme of `points`.
        target: Scheme wanted.

    Returns:
        The landmarks in `target`, in the same frame. A point is missing if one of its
        source points is not finite.

    Raises:
        SchemeError: If a scheme is unknown, the number of points is not that of
            `source`, or no rule converts the pair.
        ShapeError: If `points` are not (N, 2).
    """
    given = scheme(source)
    check_scheme(target)
    array = as_points(points)
    if len(array) != len(given):
        raise SchemeError(
            f"{len(array)} points were given as {source}, which has {len(given)}; "
            "name the scheme they are of"
        )
    path = _path(source, target)
    if path is None:
        known = sorted(name for name in NAMES if _path(source, name) is not None)
        raise SchemeError(
            f"cannot convert {source} to {target}; {source} converts to {', '.join(known)}"
        )
    weights, rank = path
    finite = np.isfinite(array[:, 0]) & np.isfinite(array[:, 1])
    rank = np.where((weights != 0) @ ~finite, 0, rank)
    result = weights @ np.where(finite[:, None], array, 0.0)
    result[rank == 0] = np.nan
    return Conversion(
        _frozen(result), _frozen(np.array(STATUSES)[rank]), source, target, weights
    )
