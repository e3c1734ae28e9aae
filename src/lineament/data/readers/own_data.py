"""User-provided information about data in a general format, and what readers infer from it.

Schemes are inferred from point names; from the number of points only with a note to the user.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import DataError, did_you_mean
from ...io.media_files import by_numbers
from ...scheme_file.names import is_numbered, plain_name
from ...schemes import NAMES, scheme
from ..guess_scheme import SCHEME_BY_COUNT, guess_scheme

Note = Callable[[str], None]


class UnknownPointsError(DataError):
    """Raised if points match no known scheme; the user can define a scheme for them."""

    def __init__(
        self, message: str, points: Sequence[str], mirror: Sequence[int] = ()
    ) -> None:
        super().__init__(message)
        self.points = tuple(points)
        """Names of the points; empty strings if they have none."""
        self.mirror = tuple(mirror)
        """Index of each point in a flipped image; empty if the files do not state it."""


def ignore(line: str) -> None:
    """Ignore a note."""


def once(note: Note) -> Note:
    """Return a function that passes each line on to `note` only once."""
    passed: set[str] = set()

    def pass_on(line: str) -> None:
        if line not in passed:
            passed.add(line)
            note(line)

    return pass_on


@dataclass(frozen=True)
class OwnData:
    """User-provided information about the files of a data set."""

    scheme: str = ""
    """Scheme of the points; empty: as stated in the files."""
    wanted: str = ""
    """Scheme of the model to train, tried first for points without names."""
    category: str = ""
    """Category or label of the faces; empty: the one that matches."""
    pictures: Path | None = None
    """Folder of the images; None: as stated in the files, or nearby."""
    group: str = ""
    """Column, folder level or pattern by which faces of the same person are grouped."""
    first_pixel: float | None = None
    """Coordinate of the center of the first pixel in the files; None: as the format defines."""
    needs_images: bool = False
    """True if a missing image is an error."""
    note: Note = ignore
    """Called with each message for the user."""

    def group_of(self, name: str, columns: Mapping[str, object], default: str) -> str:
        """Return the group of a face.

        Args:
            name: Name of the face, a path relative to the data set's folder.
            columns: Further properties of the face or its image.
            default: The group if the user specified no grouping.

        Raises:
            DataError: If the column, folder level or pattern match is missing.
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
            try:
                match = re.search(self.group, name)
            except re.error as error:
                raise DataError(
                    f"group = {self.group!r} is not a pattern ({error}); correct it"
                ) from error
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


DEFAULT_OWN_DATA = OwnData()
"""Default: no information given."""


def is_unnamed(points: Sequence[str]) -> bool:
    """Return True if the point names say nothing about their meaning."""
    return not any(points) or is_numbered(points)


def choose_points(
    points: Sequence[str], own: OwnData, location: str
) -> tuple[str, list[int]]:
    """Return the scheme of points, and the index of each point in it.

    Args:
        points: Point names; empty strings if they have none.
        own: User-provided information about the data.
        location: Description of the points for messages: the file, and the category if any.

    Raises:
        DataError: If the names do not match the scheme, or no scheme fits.
    """
    if is_unnamed(points) and not _are_names_of_scheme(points, own):
        numbers = _numbers_in_scheme(points, own)
        if numbers:
            return own.scheme, numbers
        return _scheme_by_count(len(points), own, location), _ranks(points)
    candidates = [own.scheme] if own.scheme else [own.wanted, *NAMES]
    plain = [plain_name(point) for point in points]
    for name, count in Counter(plain).items():
        if count > 1:
            raise DataError(
                f"{location}: {count} points are called {name!r}; rename one"
            )
    for name in filter(None, candidates):
        rows = {plain_name(point): i for i, point in enumerate(scheme(name).points)}
        is_subset = set(plain) <= rows.keys()
        # unless the user specified the scheme, all of its points must be present
        if is_subset and (len(plain) == len(rows) or name in (own.scheme, own.wanted)):
            return name, [rows[point] for point in plain]
    some = ", ".join(points[:4])
    if own.scheme:
        foreign = [point for point in points if plain_name(point) not in rows]
        raise DataError(
            f"{location}: {own.scheme} has no points {', '.join(foreign[:4])}; give the "
            "scheme of these points, or write it with lineament scheme"
        )
    raise UnknownPointsError(
        f"{location}: the names of the {len(points)} points fit no known scheme ({some}, ...); "
        "write a scheme with `lineament scheme FILE --out my.toml` or by hand, and give it: "
        '--scheme my.toml, or in a recipe scheme = "my.toml"',
        points,
    )


def _ranks(points: Sequence[str]) -> list[int]:
    """Return the place of each point by the number in its name, or as listed if names repeat.

    A tool may list p10 before p2.
    """
    order = sorted(range(len(points)), key=lambda i: by_numbers(plain_name(points[i])))
    if len(set(points)) < len(points):
        return list(range(len(points)))
    ranks = [0] * len(points)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def _are_names_of_scheme(points: Sequence[str], own: OwnData) -> bool:
    """Return True for names such as p0, p1 that the specified or requested scheme has itself.

    Points may be absent, but not the first one: otherwise the names may count from another number.
    """
    plain = {plain_name(point) for point in points}
    name = own.scheme or own.wanted
    if own.scheme and plain == set(map(plain_name, scheme(own.scheme).points)):
        return True
    if not name or any(each.isdecimal() or not each for each in plain):
        return False
    known = [plain_name(point) for point in scheme(name).points]
    return known[0] in plain and plain <= set(known)


def _numbers_in_scheme(points: Sequence[str], own: OwnData) -> list[int]:
    """Return the numbers by which points are named, if some of the scheme's are absent.

    They count from 0 if 0 is among them, from 1 if the last number is that of the last point.
    Empty if all points are present, or the first number is unknown.
    """
    if not own.scheme or not all(point.isdecimal() for point in points):
        return []
    numbers, count = [int(point) for point in points], len(scheme(own.scheme))
    if len(set(numbers)) < len(numbers) or len(numbers) >= count:
        return []
    if min(numbers) == 0 and max(numbers) < count:
        return numbers
    return [number - 1 for number in numbers] if max(numbers) == count else []


def _scheme_by_count(count: int, own: OwnData, location: str) -> str:
    if own.scheme:
        expected = len(scheme(own.scheme))
        if expected != count:
            raise DataError(
                f"{location}: {count} points, but {own.scheme} has {expected}; give their "
                "scheme"
            )
        return own.scheme
    fits = own.wanted and len(scheme(own.wanted)) == count
    try:
        name = own.wanted if fits else guess_scheme(count, location)
    except DataError as error:
        raise UnknownPointsError(str(error), [""] * count) from error
    own.note(guessed_scheme_note(location, count, name))
    return name


def guessed_scheme_note(location: str, count: int, name: str) -> str:
    """Return the message about a scheme guessed only from the number of points."""
    return (
        f"{location}: {count} points without names, assumed to be {name} because of their "
        "number; if that is wrong, give their scheme: --scheme my.toml, or in a recipe "
        'scheme = "my.toml"'
    )


def choose_category(
    found: Mapping[str, Sequence[str]], own: OwnData, location: str
) -> str:
    """Return the category of the faces.

    Args:
        found: Point names by category; empty strings if they have none.
        own: User-provided information about the data.
        location: The file.

    Raises:
        DataError: If the category is missing, or none or several match.
    """
    if own.category:
        for name in found:
            if name.lower() == own.category.lower():
                return name
        raise DataError(
            f"{location}: no category {own.category!r} with points; "
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
            f"{location}: categories {listed}; choose the one for faces: category = "
            f'"{next(iter(found))}"'
        )
    own.note(f"{location}: categories {listed}; reading {fitting[0]!r}")
    return fitting[0]


def _fits(points: Sequence[str], own: OwnData) -> bool:
    """Return True if points may belong to the specified, requested or any known scheme."""
    name = own.scheme or own.wanted
    if name and len(scheme(name)) != len(points):
        return False
    if not is_unnamed(points):
        given = {plain_name(point) for point in points}
        known = [name] if name else NAMES
        return any(given == set(map(plain_name, scheme(n).points)) for n in known)
    return bool(name) or len(points) in SCHEME_BY_COUNT
