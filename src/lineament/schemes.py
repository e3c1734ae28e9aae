"""What landmark i is: names, mirror maps, edges, parts, normalizer points of every point set, and how to convert them.

All of it is read from tables/schemes/<name>.toml. Left and right are the subject's own.
"""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import SchemeError, did_you_mean
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
)
HUBS = ("ibug68", "wflw98")  # a pair without a rule of its own goes by way of one of these
STATUSES = (
    "missing",
    "interpolated",
    "exact",
)  # in rising order: a chain of rules is as good as its worst link


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
    heads: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By name, the schemes joined in this one and the indices of their points here; empty for one that joins none."""

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, eq=False)
class Conversion:
    """Points of one scheme, made from another's."""

    points: Array
    """(M, 2), the frame of the source; nan where missing."""
    status: NDArray[np.str_]
    """(M,): "exact", the same point by definition; "interpolated", of neighbors or the nearest point; or "missing"."""
    source: str
    """The scheme of the points that were given."""
    target: str
    """The scheme of `points`."""

    def having(self, status: str) -> NDArray[np.intp]:
        """The indices of the target points of that `status`."""
        return np.flatnonzero(self.status == status)


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(
        files(__package__).joinpath(f"tables/schemes/{name}.toml").read_text(encoding="utf-8")
    )


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def check_scheme(name: str) -> str:
    """`name`, where a scheme is called so.    Raises: SchemeError, with the nearest name."""
    if name not in NAMES:
        raise SchemeError(f"no scheme is called {name!r}; {did_you_mean(str(name), NAMES)}")
    return name


@cache
def _load(name: str) -> Scheme:
    table = _table(name)
    edges = [pair for chain in table["chains"] for pair in pairwise(chain)]
    mean = table.get("mean_shape")
    return Scheme(
        name=name,
        title=table["title"],
        points=tuple(table["points"]),
        mirror=_frozen(np.array(table["mirror"], dtype=np.intp)),
        edges=tuple(edges),
        parts={part: tuple(points) for part, points in table["parts"].items()},
        norm_points={rule: (tuple(a), tuple(b)) for rule, (a, b) in table["norm_points"].items()},
        mean_shape=None if mean is None else _frozen(np.array(mean, dtype=np.float64)),
        heads={head: tuple(points) for head, points in table.get("heads", {}).items()},
    )


def scheme(name: str) -> Scheme:
    """The scheme called `name`.    Raises: SchemeError for an unknown name."""
    return _load(check_scheme(name))


@cache
def _rule(source: str, target: str) -> tuple[Array, NDArray[np.intp]] | None:
    """The weights (M, N) that make target points of source points, and the rank (M,) of each in STATUSES."""
    count = len(scheme(target))
    if source == target:
        return np.eye(count), np.full(count, 2)
    table = _table(target).get("from", {}).get(source)
    if table is None:
        return None
    weights, rank = np.zeros((count, len(scheme(source)))), np.zeros(count, dtype=np.intp)
    for point, index in enumerate(table["exact"]):
        if index >= 0:
            weights[point, index], rank[point] = 1.0, 2
    for mixed in table.get("mixed", ()):
        weights[mixed["point"], mixed["sources"]] = mixed["weights"]
        rank[mixed["point"]] = 1
    return weights, rank


@cache
def _path(source: str, target: str) -> tuple[Array, NDArray[np.intp]] | None:
    """The rule of the pair, else the best one by way of a hub, else None."""
    direct = _rule(source, target)
    if direct is not None:
        return direct
    chained = []
    for hub in HUBS:
        first, second = _rule(source, hub), _rule(hub, target)
        if first is not None and second is not None:
            worst = np.where(second[0] != 0, first[1], len(STATUSES)).min(1)
            rank = np.minimum(second[1], worst)
            chained.append(((second[0] @ first[0]) * (rank > 0)[:, None], rank))
    return max(chained, key=lambda rule: int(rule[1].sum()), default=None)


def convert(points: ArrayLike, source: str, target: str) -> Conversion:
    """The `points` (N, 2) of scheme `source` as points of scheme `target`, in the same frame.

    A target point whose source points are not all finite is missing.
    Raises: SchemeError for an unknown scheme or a pair without a rule; SchemeError for another number of points;
    ShapeError where they are not (N, 2).
    """
    given = scheme(source)
    check_scheme(target)
    array = as_points(points)
    if len(array) != len(given):
        raise SchemeError(
            f"{len(array)} points were given as {source}, which has {len(given)}; name the scheme they are of"
        )
    path = _path(source, target)
    if path is None:
        known = sorted(name for name in NAMES if _path(source, name) is not None)
        raise SchemeError(
            f"no rule makes {target} of {source}; {source} can become {', '.join(known)}"
        )
    weights, rank = path
    finite = np.isfinite(array[:, 0]) & np.isfinite(array[:, 1])
    rank = np.where((weights != 0) @ ~finite, 0, rank)
    result = weights @ np.where(finite[:, None], array, 0.0)
    result[rank == 0] = np.nan
    return Conversion(_frozen(result), _frozen(np.array(STATUSES)[rank]), source, target)
