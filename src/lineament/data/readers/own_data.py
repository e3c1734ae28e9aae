"""Statements of a user about data in a general format, and what readers conclude from them.

A scheme is taken from names of points; from their number alone only with a note.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import DataError, did_you_mean
from ...scheme_file.names import is_numbered, plain_name
from ...schemes import NAMES, scheme
from ..scheme_of_count import SCHEME_OF_COUNT, scheme_of_count

Note = Callable[[str], None]


class UnknownPointsError(DataError):
    """Raised for points of no known scheme, which a scheme of one's own may describe."""

    def __init__(self, message: str, points: Sequence[str]) -> None:
        super().__init__(message)
        self.points = tuple(points)
        """Their names; empty texts if they have none."""


def ignore(line: str) -> None:
    """Take a note without showing it."""


@dataclass(frozen=True)
class OwnData:
    """Statements about the files of a data set."""

    scheme: str = ""
    """Scheme of the points; empty: as the files state it."""
    wanted: str = ""
    """Scheme of the model that is trained, tried for points without names."""
    category: str = ""
    """Category or label of the faces; empty: the one that fits."""
    pictures: Path | None = None
    """Folder of the images; None: where the files say, or near them."""
    group: str = ""
    """Column, number of a folder level, or pattern that keeps persons together."""
    first_pixel: float | None = None
    """Coordinate of the center of the first pixel in the files; None: that of the format."""
    needs_images: bool = False
    """True if an absent image is an error."""
    note: Note = ignore
    """Takes lines that a user should read."""

    def group_of(self, name: str, columns: Mapping[str, object], default: str) -> str:
        """Return the group of a face.

        Args:
            name: Name of the face, a path below the set's folder.
            columns: Further entries of the face or its image.
            default: The group if the user states none.

        Raises:
            DataError: If the column, folder or match is absent.
        """
        if not self.group:
            return default
        if self.group.isdigit():
            folders = PurePosixPath(name).parts[:-1]
            level = int(self.group)
            if not 1 <= level <= len(folders):
                raise DataError(
                    f"{name}: in {len(folders)} folders, but group is folder {level}; "
                    "give the number of a folder that every image has, 1 for the "
                    "first"
                )
            return "/".join(folders[:level])
        if "(" in self.group:
            match = re.search(self.group, name)
            if match is None or not match.groups():
                raise DataError(
                    f"{name}: the group pattern {self.group!r} does not match; correct "
                    "it"
                )
            return str(match[1])
        if self.group not in columns:
            hint = did_you_mean(self.group, map(str, columns)) if columns else ""
            raise DataError(
                f"{name}: no column {self.group!r} to group by; {hint or 'give a pattern'}"
            )
        return str(columns[self.group])


UNSTATED = OwnData()
"""Nothing is stated."""


def is_unnamed(points: Sequence[str]) -> bool:
    """Return whether the names of points state nothing about their meaning."""
    return not any(points) or is_numbered(points)


def choose_points(
    points: Sequence[str], own: OwnData, place: str
) -> tuple[str, list[int]]:
    """Return the scheme of points, and the index in it of each of them.

    Args:
        points: Their names; empty texts if they have none.
        own: Statements of the user.
        place: The points in messages: the file, and its category if any.

    Raises:
        DataError: If the names are not those of the scheme, or no scheme fits.
    """
    if is_unnamed(points):
        return _scheme_by_count(len(points), own, place), list(range(len(points)))
    candidates = [own.scheme] if own.scheme else [own.wanted, *NAMES]
    plain = [plain_name(point) for point in points]
    for name in filter(None, candidates):
        rows = {plain_name(point): i for i, point in enumerate(scheme(name).points)}
        is_subset = set(plain) <= rows.keys()
        # of a scheme that nobody stated, all points must be there
        if is_subset and (len(plain) == len(rows) or name in (own.scheme, own.wanted)):
            return name, [rows[point] for point in plain]
    some = ", ".join(points[:4])
    if own.scheme:
        foreign = [point for point in points if plain_name(point) not in rows]
        raise DataError(
            f"{place}: {own.scheme} has no points {', '.join(foreign[:4])}; give the "
            "scheme of these points, or write it with lineament scheme"
        )
    raise UnknownPointsError(
        f"{place}: the names of the {len(points)} points fit no known scheme ({some}, ...); write "
        "a scheme with `lineament scheme FILE.json --out my.toml` or by hand, and set "
        'scheme = "my.toml"',
        points,
    )


def _scheme_by_count(count: int, own: OwnData, place: str) -> str:
    if own.scheme:
        wanted = len(scheme(own.scheme))
        if wanted != count:
            raise DataError(
                f"{place}: {count} points, but {own.scheme} has {wanted}; give their "
                "scheme"
            )
        return own.scheme
    fits = own.wanted and len(scheme(own.wanted)) == count
    try:
        name = own.wanted if fits else scheme_of_count(count, place)
    except DataError as error:
        raise UnknownPointsError(str(error), [""] * count) from error
    own.note(by_count_note(place, count, name))
    return name


def by_count_note(place: str, count: int, name: str) -> str:
    """Return the line on a scheme that is guessed from a number of points alone."""
    return (
        f"{place}: {count} points without names, read as {name} because of their number; if "
        'they are others, set their scheme: scheme = "my.toml"'
    )


def choose_category(
    found: Mapping[str, Sequence[str]], own: OwnData, place: str
) -> str:
    """Return the category of the faces.

    Args:
        found: Names of the points of each category, empty texts if they have none.
        own: Statements of the user.
        place: The file.

    Raises:
        DataError: If the category is absent, or several or none fit.
    """
    if own.category:
        for name in found:
            if name.lower() == own.category.lower():
                return name
        raise DataError(
            f"{place}: no category {own.category!r} with points; "
            f"{did_you_mean(own.category, found)}"
        )
    if len(found) == 1:
        return next(iter(found))
    fitting = [name for name, points in found.items() if _fits(points, own)]
    if len(fitting) > 1:
        fitting = [name for name in fitting if "face" in name.lower()]
    listed = ", ".join(
        f"{name} ({len(points)} points)" for name, points in found.items()
    )
    if len(fitting) != 1:
        raise DataError(
            f"{place}: categories {listed}; choose the one for faces: category = "
            f'"{next(iter(found))}"'
        )
    own.note(f"{place}: categories {listed}; reading {fitting[0]!r}")
    return fitting[0]


def _fits(points: Sequence[str], own: OwnData) -> bool:
    """Return whether points may be those of the scheme that is stated, wanted or known."""
    name = own.scheme or own.wanted
    if name and len(scheme(name)) != len(points):
        return False
    if not is_unnamed(points):
        given = {plain_name(point) for point in points}
        known = [name] if name else NAMES
        return any(given == set(map(plain_name, scheme(n).points)) for n in known)
    return bool(name) or len(points) in SCHEME_OF_COUNT
