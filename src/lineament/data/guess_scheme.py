"""Guess of the landmark scheme from the number of points, for files that do not state it."""

from ..errors import DataError

SCHEME_BY_COUNT = {
    5: "five",
    19: "aflw19",
    21: "aflw21",
    29: "cofw29",
    49: "ibug49",
    51: "ibug51",
    68: "ibug68",
    98: "wflw98",
    106: "lapa106",
    194: "helen194",
    262: "ibug68_helen194",
    478: "mediapipe478",
}
"""Scheme by number of landmarks."""


def guess_scheme(count: int, source: object) -> str:
    """Return the scheme of `count` landmarks of unknown scheme.

    Raises:
        DataError: If no scheme has this number of points; the message mentions `source`.
    """
    if count not in SCHEME_BY_COUNT:
        known = ", ".join(f"{n} ({name})" for n, name in SCHEME_BY_COUNT.items())
        found = f"{source}: {count} points fit no known scheme"
        raise DataError(
            f"{found}; expected {known}: give the scheme, a name or a .toml file, which "
            "`lineament scheme FILE --out my.toml` writes"
        )
    return SCHEME_BY_COUNT[count]
