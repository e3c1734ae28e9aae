"""Landmark schemes by name, packaged and user-defined, and conversions between them.

Read from tables/schemes/<name>.toml or a user's file. Left and right are the subject's own.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import SchemeError, ShapeError, did_you_mean
from .geometry import Array, as_points
from .plugins.entry_points import SCHEMES, plugin_file, plugin_names
from .scheme_file.names import complete_table
from .scheme_file.table import (
    SUFFIX,
    Scheme,
    read_table,
    scheme_from_table,
    scheme_to_table,
)

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
"""Intermediate schemes for pairs without a conversion rule of their own."""
OWN_SCHEME_KEY = "own_scheme"
"""Key for the table of a user-defined scheme in model files and face files."""
STATUSES = ("missing", "interpolated", "exact")
"""Statuses from worst to best: a chain of rules has the status of its worst link."""


@dataclass(frozen=True, eq=False)
class Conversion:
    """Landmarks converted from one scheme to another."""

    points: Array
    """Converted landmarks, (M, 2), in the frame of the source landmarks; nan if missing."""
    status: NDArray[np.str_]
    """Status of each point, (M,): "exact", the same point by definition; "interpolated", from
    neighbors; "missing"."""
    source: str
    """Scheme of the given landmarks."""
    target: str
    """Scheme of `points`."""
    weights: Array
    """Weight of each source point in each target point, (M, N), nonnegative."""

    def indices_with(self, status: str) -> NDArray[np.intp]:
        """Return the indices of the target points with this `status`."""
        return np.flatnonzero(self.status == status)

    def convert_values(self, values: ArrayLike, missing: float = np.nan) -> Array:
        """Convert one value per landmark, such as scores or sigma.

        An exact point keeps its value. An interpolated point gets the mean of its source
        points' values, with the same weights as its coordinates. For sigma this is an upper
        bound that does not include the error of the rule itself.

        Args:
            values: (N,), one value per source point.
            missing: Value of missing points.

        Returns:
            (M,), one value per target point.

        Raises:
            ShapeError: If there is not one value per source point.
        """
        array = np.asarray(values, dtype=np.float64)
        count = self.weights.shape[1]
        if array.shape != (count,):
            raise ShapeError(
                f"values have shape {array.shape}; "
                f"expected ({count},), one per {self.source} point"
            )
        unknown = np.isnan(array)
        # a nan must only affect points derived from it, but 0 * nan is nan
        result = self.weights @ np.where(unknown, 0.0, array)
        result[(self.weights != 0) @ unknown] = np.nan
        result[self.status == "missing"] = missing
        return np.asarray(result)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


class OwnName(str):
    """Name of a user-defined scheme; pickling it transfers the scheme to other processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return add_scheme_table, (scheme_to_table(scheme(self)),)


_own: dict[str, Scheme] = {}


def read_scheme(path: Path) -> Scheme:
    """Read a user-defined scheme from a TOML file; missing properties are inferred from names.

    Raises:
        SchemeError: If the file cannot be read, or a key is invalid.
    """
    table = complete_table(read_table(path), str(path))
    own = scheme_from_table(table, path.stem, str(path))
    for source, rule in own.rules.items():
        count = len(scheme(source))
        if max(rule["exact"]) >= count:
            raise SchemeError(
                f"{path}: from.{source} has {max(rule['exact'])}; expected indices "
                f"below {count}, or -1"
            )
    return own


def add_scheme(own: Scheme) -> str:
    """Register a user-defined scheme by name in this process, and return the name.

    Raises:
        SchemeError: If a different scheme has that name.
    """
    known = scheme(own.name) if own.name in NAMES else _own.get(own.name, own)
    if not known.is_equivalent_to(own):
        remedy = "rename one, or restart Python after changing its file"
        if own.name in NAMES:
            remedy = "one is a packaged scheme: set another name in the file of yours"
        raise SchemeError(
            f"two schemes are called {own.name!r} and differ in their points or mirror; "
            f"{remedy}"
        )
    if own.name in NAMES:
        return own.name
    _own[own.name] = own
    _rule.cache_clear()
    _path.cache_clear()
    return OwnName(own.name)


def add_scheme_table(table: Mapping[str, Any]) -> str:
    """Register the scheme in a table from a model or face file; return its name.

    Raises:
        SchemeError: If the table is invalid, or a different scheme has that name.
    """
    place = "the scheme in the file"
    if not isinstance(table, Mapping):
        raise SchemeError(
            f"{place} is of type {type(table).__name__}; expected a table with points"
        )
    return add_scheme(scheme_from_table(complete_table(table, place), "", place))


def load_stored_scheme(settings: Mapping[str, Any]) -> str:
    """Return the scheme named in a file, registering it first if the file contains its table.

    Raises:
        SchemeError: If it is unknown, or a different scheme has its name.
    """
    table = settings.get(OWN_SCHEME_KEY)
    return (
        check_scheme(settings["scheme"]) if table is None else add_scheme_table(table)
    )


def scheme_entries(name: str) -> dict[str, Any]:
    """Return the entries that store a scheme in a file: its name and, if user-defined, table."""
    table = embedded_table(name)
    entries: dict[str, Any] = {"scheme": str(name)}
    return entries if table is None else entries | {OWN_SCHEME_KEY: table}


def embedded_table(name: str) -> dict[str, Any] | None:
    """Return the table to store for the scheme `name`; None for a packaged scheme."""
    return None if name in NAMES else scheme_to_table(scheme(name))


def scheme_names() -> tuple[str, ...]:
    """Return the names of all schemes registered in this process."""
    return (*NAMES, *_own)


def check_scheme(name: str) -> str:
    """Return the name of a scheme, given its name or the path of a .toml file.

    Raises:
        SchemeError: If there is no such scheme; the message suggests the nearest name.
        ExtraError: If the plug-in that provides the scheme cannot be used.
    """
    if not isinstance(name, str | Path):
        raise SchemeError(f"the scheme is {name!r}; expected its name")
    if str(name).endswith(SUFFIX):
        return add_scheme(read_scheme(Path(name)))
    if name in NAMES:
        return name
    if name in _own:
        return OwnName(name)
    path = plugin_file(SCHEMES, str(name))
    if path is not None:
        return add_scheme(read_scheme(path))
    known = [*scheme_names(), *plugin_names(SCHEMES)]
    raise SchemeError(
        f"unknown scheme {name!r}; give the path of a .toml file, or a name: "
        f"{did_you_mean(str(name), known)}"
    )


@cache
def _load(name: str) -> Scheme:
    path = files(__package__).joinpath(f"tables/schemes/{name}.toml")
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return scheme_from_table(table, name, name)


def scheme(name: str) -> Scheme:
    """Return the scheme with this name, or the scheme in the .toml file at this path.

    Raises:
        SchemeError: If there is no such scheme, or the file is invalid.
        ExtraError: If the plug-in that provides the scheme cannot be used.
    """
    known = check_scheme(name)
    return _load(known) if known in NAMES else _own[known]


@cache
def _rule(source: str, target: str) -> tuple[Array, NDArray[np.intp]] | None:
    """Return weights (M, N) of source points per target point, and ranks (M,) in STATUSES."""
    count = len(scheme(target))
    if source == target:
        return _frozen(np.eye(count)), np.full(count, 2)
    table = scheme(target).rules.get(source)
    if table is None:
        return _inverse_rule(source, target)
    weights = np.zeros((count, len(scheme(source))))
    rank = np.zeros(count, dtype=np.intp)
    for point, index in enumerate(table["exact"]):
        if index >= 0:
            weights[point, index], rank[point] = 1.0, 2
    for mixed in table.get("mixed", ()):
        weights[mixed["point"], mixed["sources"]] = mixed["weights"]
        rank[mixed["point"]] = 1
    return _frozen(weights), rank


def _inverse_rule(source: str, target: str) -> tuple[Array, NDArray[np.intp]] | None:
    """Return the exact points of a user-defined scheme as points of `target`; None if no rule."""
    table = _own[source].rules.get(target) if source in _own else None
    if table is None:
        return None
    weights = np.zeros((len(scheme(target)), len(scheme(source))))
    for point, index in enumerate(table["exact"]):
        if index >= 0:
            weights[index, point] = 1.0
    return _frozen(weights), np.where(weights.any(1), 2, 0)


@cache
def _path(source: str, target: str) -> tuple[Array, NDArray[np.intp]] | None:
    """Return the rule for the pair, the best rule through a hub, or None."""
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
        target: Target scheme.

    Returns:
        The landmarks in `target`, in the same frame. A point is missing if one of its
        source points is not finite.

    Raises:
        SchemeError: If a scheme is unknown, `points` has another number of rows than
            `source` has points, or no rule converts the pair.
        ShapeError: If `points` is not (N, 2).
    """
    given, target = scheme(source), check_scheme(target)
    source = given.name
    array = as_points(points)
    if len(array) != len(given):
        raise SchemeError(
            f"{len(array)} points were given as {source}, which has {len(given)}; give "
            "their scheme"
        )
    path = _path(source, target)
    if path is None:
        own = next((name for name in (target, source) if name not in NAMES), None)
        if own is not None:
            raise SchemeError(
                f"cannot convert {source} to {target}; add to the file of {own} the "
                "table [from.ibug68] with exact = [...]: the index of each point among "
                "the 68, or -1"
            )
        targets = sorted(n for n in scheme_names() if _path(source, n) is not None)
        raise SchemeError(
            f"cannot convert {source} to {target}; {source} converts to {', '.join(targets)}"
        )
    weights, rank = path
    finite = np.isfinite(array[:, 0]) & np.isfinite(array[:, 1])
    rank = np.where((weights != 0) @ ~finite, 0, rank)
    result = weights @ np.where(finite[:, None], array, 0.0)
    result[rank == 0] = np.nan
    return Conversion(
        _frozen(result), _frozen(np.array(STATUSES)[rank]), source, target, weights
    )


def upright_mean(name: str) -> Array:
    """Return the upright mean shape (N, 2) of a scheme, nan for points not in it.

    If the scheme states none, it is made from that of the 68 points.

    Raises:
        SchemeError: If the scheme is unknown, or the 68 points cannot be converted to it.
    """
    stated = scheme(name).mean_shape
    if stated is not None:
        return stated
    full = np.asarray(scheme("ibug68").mean_shape)
    return convert(full, "ibug68", name).points
