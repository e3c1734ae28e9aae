"""Scheme: the meaning of landmark indices, read from and written to TOML.

The files of the package and of users have the same format.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemeError, did_you_mean

SUFFIX = ".toml"
NAME = r"[A-Za-z0-9][\w.+-]*"
Array = NDArray[np.float64]
POINT_NORMS = ("interocular", "interpupil")
"""Norms that are distances between points, which a scheme defines."""
KEYS = (
    *("name", "title", "points", "mirror", "edges", "contours", "parts"),
    *("norm_points", "mean_shape", "smooth", "heads", "from"),
)


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
    contours: tuple[tuple[int, ...], ...]
    """Point indices along each contour, in order; a closed one ends with its first point."""
    parts: dict[str, tuple[int, ...]]
    """Point indices by part of the face."""
    norm_points: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Two groups of point indices per norm, which is the distance between their centers."""
    mean_shape: Array | None = None
    """(N, 2), relative to the center of the tight box of the face's 68 points, as
    fractions of its longer side; or None."""
    smooth: bool = False
    """True if the points are dense enough to draw contours as curves through them."""
    heads: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Point indices of each scheme that this one combines; empty if it combines none."""
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Rules that compute the points from those of other schemes, by name of the scheme."""

    def __len__(self) -> int:
        return len(self.points)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of neighboring point indices along the contours."""
        pairs: list[tuple[int, int]] = []
        for contour in self.contours:
            pairs += pairwise(contour)
        return tuple(pairs)

    def is_equivalent_to(self, other: "Scheme") -> bool:
        """Return whether both have the same points and the same mirror."""
        return self.points == other.points and np.array_equal(self.mirror, other.mirror)


def read_table(path: Path) -> dict[str, Any]:
    """Read the table of a scheme from a TOML file.

    Raises:
        SchemeError: If the file cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SchemeError(
            f"{path}: cannot be read as a scheme ({error}); expected a TOML file with "
            "points = [...]: lineament scheme writes one"
        ) from error


def scheme_from_table(table: Mapping[str, Any], name: str, location: str) -> Scheme:
    """Return the scheme that a table defines.

    Args:
        table: Values by KEYS; only `points` is required. Other keys refer to points by name or
            by number from 0. `mirror` lists pairs of points, or the partner of each.
        name: Name of the scheme if the table has none.
        location: Description of the table for messages.

    Raises:
        SchemeError: If a key is unknown or a value is invalid.
    """
    for key in table:
        if key not in KEYS:
            raise SchemeError(
                f"{location}: unknown key {key!r}; {did_you_mean(key, KEYS)}"
            )
    try:
        return _scheme_of(_Table(table, location), name)
    except SchemeError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise SchemeError(
            f"{location}: a key has a value of the wrong kind ({error}); correct it"
        ) from error


def _scheme_of(given: "_Table", name: str) -> Scheme:
    table, location = given.table, given.location
    name = str(table.get("name", name))
    if not re.fullmatch(NAME, name):
        raise SchemeError(
            f"{location}: the name is {name!r}; "
            "expected letters, digits, dots, + and -, such as my21: set name, or rename "
            "the file"
        )
    return Scheme(
        name=name,
        title=str(table.get("title", f"{len(given.points)} points")),
        points=given.points,
        mirror=_frozen(np.array(given.mirror(), dtype=np.intp)),
        contours=(*given.contours("contours"), *given.contours("edges")),
        parts=given.groups("parts"),
        norm_points=given.norm_points(),
        mean_shape=given.mean_shape(),
        smooth=bool(table.get("smooth", False)),
        heads=given.groups("heads"),
        rules=given.rules(),
    )


class _Table:
    """A table whose points may be named or numbered."""

    def __init__(self, table: Mapping[str, Any], location: str) -> None:
        self.table, self.location = table, location
        points = table.get("points")
        named = isinstance(points, Sequence) and not isinstance(points, str)
        if not named or not all(isinstance(p, str) and p for p in points or ()):
            raise SchemeError(
                f"{location}: points is {str(points)[:60]}; expected a list of names"
            )
        self.points: tuple[str, ...] = tuple(points or ())
        if len(self.points) < 2:
            raise SchemeError(
                f"{location}: {len(self.points)} points; expected 2 or more"
            )
        for name in self.points:
            if self.points.count(name) > 1:
                raise SchemeError(
                    f"{location}: two points are called {name!r}; rename one"
                )

    def index(self, point: Any, key: str) -> int:
        """Return the index of a point that is named or numbered."""
        if isinstance(point, str):
            if point not in self.points:
                hint = did_you_mean(point, self.points)
                raise SchemeError(f"{self.location}: {key} names {point!r}; {hint}")
            return self.points.index(point)
        is_number = isinstance(point, int) and not isinstance(point, bool)
        if not is_number or not 0 <= point < len(self.points):
            raise SchemeError(
                f"{self.location}: {key} has {point!r}; "
                f"expected a name, or a number from 0 to {len(self.points) - 1}"
            )
        return int(point)

    def indices(self, points: Any, key: str) -> tuple[int, ...]:
        if not isinstance(points, list | tuple):
            raise SchemeError(
                f"{self.location}: {key} has {str(points)[:60]!r}; "
                "expected a list of points"
            )
        return tuple(self.index(point, key) for point in points)

    def mirror(self) -> list[int]:
        given = self.table.get("mirror", ())
        if not given or any(isinstance(each, list | tuple) for each in given):
            mirror = list(range(len(self.points)))
            for pair in given:
                a, b = self._pair(pair, "mirror")
                mirror[a], mirror[b] = b, a
        else:
            mirror = list(self.indices(given, "mirror"))
        is_map = len(mirror) == len(self.points) == len(set(mirror))
        if not is_map or any(mirror[mirror[i]] != i for i in range(len(mirror))):
            raise SchemeError(
                f"{self.location}: mirror does not swap points in pairs; "
                "expected pairs such as "
                '["left_eye", "right_eye"], or the partner of each point'
            )
        return mirror

    def _pair(self, points: Any, key: str) -> tuple[int, int]:
        indices = self.indices(points, key)
        if len(indices) != 2:
            raise SchemeError(
                f"{self.location}: {key} has {str(points)[:60]}; expected pairs of points"
            )
        return indices[0], indices[1]

    def contours(self, key: str) -> Iterable[tuple[int, ...]]:
        for contour in self.table.get(key, ()):
            yield (
                self._pair(contour, key)
                if key == "edges"
                else self.indices(contour, key)
            )

    def groups(self, key: str) -> dict[str, tuple[int, ...]]:
        given = self.subtable(key)
        return {name: self.indices(points, key) for name, points in given.items()}

    def subtable(self, key: str) -> Mapping[str, Any]:
        """Return the table below a key, empty if absent."""
        given = self.table.get(key, {})
        if not isinstance(given, Mapping):
            raise SchemeError(
                f"{self.location}: {key} is {str(given)[:60]}; expected a table [{key}]"
            )
        return given

    def norm_points(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        norms = {}
        for rule, groups in self.subtable("norm_points").items():
            if rule not in POINT_NORMS:
                hint = did_you_mean(rule, POINT_NORMS)
                raise SchemeError(f"{self.location}: unknown norm {rule!r}; {hint}")
            if len(groups) != 2:
                raise SchemeError(
                    f"{self.location}: norm_points.{rule} has {len(groups)} groups; "
                    "expected two"
                )
            first, second = (self.indices(group, "norm_points") for group in groups)
            norms[rule] = (first, second)
        return norms

    def rules(self) -> dict[str, Mapping[str, Any]]:
        rules = dict(self.subtable("from"))
        for source, rule in rules.items():
            exact = rule.get("exact", ()) if isinstance(rule, Mapping) else ()
            are_indices = all(type(index) is int for index in exact)
            if not are_indices or len(exact) != len(self.points):
                raise SchemeError(
                    f"{self.location}: from.{source} needs exact = [...], the index of each "
                    f"of the {len(self.points)} points in {source}, or -1"
                )
        return rules

    def mean_shape(self) -> Array | None:
        given = self.table.get("mean_shape")
        if given is None:
            return None
        mean = np.array(given, dtype=np.float64)
        if mean.shape != (len(self.points), 2):
            raise SchemeError(
                f"{self.location}: mean_shape is {mean.shape}; "
                f"expected x, y of each of the {len(self.points)} points"
            )
        return _frozen(mean)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def scheme_to_table(scheme: Scheme) -> dict[str, Any]:
    """Return a scheme as the table of plain lists that `scheme_from_table` takes."""
    table: dict[str, Any] = {
        "name": scheme.name,
        "title": scheme.title,
        "points": list(scheme.points),
        "mirror": scheme.mirror.tolist(),
        "contours": [list(contour) for contour in scheme.contours],
        "parts": {part: list(points) for part, points in scheme.parts.items()},
        "norm_points": {
            rule: [list(a), list(b)] for rule, (a, b) in scheme.norm_points.items()
        },
    }
    if scheme.mean_shape is not None:
        table["mean_shape"] = scheme.mean_shape.tolist()
    if scheme.smooth:
        table["smooth"] = True
    if scheme.heads:
        table["heads"] = {name: list(points) for name, points in scheme.heads.items()}
    if scheme.rules:
        table["from"] = {name: dict(rule) for name, rule in scheme.rules.items()}
    return table


def scheme_text(scheme: Scheme) -> str:
    """Return a scheme as the text of a TOML file, with points by their names."""
    pairs = []
    for index, partner in enumerate(scheme.mirror.tolist()):
        if index < partner:
            pairs.append([scheme.points[index], scheme.points[partner]])
    lines = [
        f"name = {_toml(scheme.name)}",
        f"title = {_toml(scheme.title)}",
        _listed("points", list(scheme.points)),
        _listed("mirror", pairs),
        _listed("contours", [_names(scheme, contour) for contour in scheme.contours]),
    ]
    if scheme.mean_shape is not None:
        lines.append(_listed("mean_shape", scheme.mean_shape.round(5).tolist()))
    if scheme.smooth:
        lines.append("smooth = true")
    lines += ["", "[parts]"]
    for part, points in scheme.parts.items():
        lines.append(f"{_toml(part)} = {_toml(_names(scheme, points))}")
    lines += ["", "[norm_points]"]
    for rule, (a, b) in scheme.norm_points.items():
        lines.append(f"{_toml(rule)} = {_toml([_names(scheme, a), _names(scheme, b)])}")
    for source, table in scheme.rules.items():
        lines += ["", f"[from.{_toml(source)}]", f"exact = {_toml(table['exact'])}"]
        if "mixed" in table:
            lines.append(f"mixed = [{', '.join(map(_mixed_text, table['mixed']))}]")
    return "\n".join(lines) + "\n"


def _names(scheme: Scheme, indices: Iterable[int]) -> list[str]:
    return [scheme.points[index] for index in indices]


def _mixed_text(mixed: Mapping[str, Any]) -> str:
    """Return a point that is a weighted mean of others as an inline table of TOML."""
    entries = [f"{key} = {_toml(value)}" for key, value in mixed.items()]
    return f"{{ {', '.join(entries)} }}"


def _listed(key: str, items: list[Any]) -> str:
    rows = "".join(f"    {_toml(item)},\n" for item in items)
    return f"{key} = [\n{rows}]"


def _toml(value: Any) -> str:
    """Return a text, number or list as TOML, in which these are written as in JSON."""
    return json.dumps(value, ensure_ascii=False)
