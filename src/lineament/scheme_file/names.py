"""Infer mirror, parts and norm points from words in point names, such as left, eye, outer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import SchemeError

SIDES = (
    *(("left", "right"), ("l", "r"), ("lt", "rt")),
    *(("links", "rechts"), ("linke", "rechte"), ("linkes", "rechtes")),
    *(("gauche", "droite"), ("gauche", "droit")),
    *(("izquierdo", "derecho"), ("izquierda", "derecha")),
    *(("sinistro", "destro"), ("sinistra", "destra")),
    *(("esquerdo", "direito"), ("esquerda", "direita")),
)
"""Words of the two sides: English, German, French, Spanish, Italian, Portuguese."""
MIN_JOINED_LENGTH = 4
"""Shortest word of a side that may be joined to another word, as in lefteye."""
PART_WORDS: dict[str, tuple[str, ...]] = {
    "brow": ("brow", "braue", "sourcil", "ceja", "sopraccigli", "sobrancelha"),
    "nose": (
        *("nose", "nostril", "nasal", "wing", "alar"),
        *("nase", "nez", "nariz", "naso"),
    ),
    "mouth": (
        *("mouth", "lip", "mund", "bouche", "boca", "bocca"),
        *("levre", "lèvre", "labio", "labbr"),
    ),
    "jaw": (
        *("jaw", "chin", "cheek", "contour", "outline", "menton", "gonion"),
        *("kinn", "kiefer", "barbilla", "mento", "queixo"),
    ),
    "eye": (
        *("eye", "pupil", "iris", "lid", "canthus", "canthi"),
        *("auge", "oeil", "œil", "ojo", "occhi", "olho"),
    ),
}
"""Words in the names of a part's points; the first part that fits is taken."""
OUTER = (
    *("outer", "outside", "lateral", "exo", "aussen", "außen"),
    *("externe", "externo", "externa", "esterno", "esterna"),
)
CENTER = ("center", "centre", "middle", "pupil", "iris", "mitte", "centro")


def split_words(name: str) -> list[str]:
    """Return the words of a name, in lower case.

    >>> split_words("leftEye_outer-2")
    ['left', 'eye', 'outer', '2']
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+|\d+", spaced.lower())


def plain_name(name: str) -> str:
    """Return a name without case and separators, by which names are compared."""
    return "_".join(split_words(name))


def infer_mirror_from_names(points: Sequence[str]) -> list[int]:
    """Return the mirror map of points by the left and right in their names.

    Points without a side, or without a partner of the other side, are their own partners.

    >>> infer_mirror_from_names(["reye", "leye", "chin", "left_mouth", "right_mouth"])
    [1, 0, 2, 4, 3]
    """
    named = _words_without_numbers(points)
    indices = {tuple(words): i for i, words in enumerate(named)}
    mirror = list(range(len(points)))
    for index, words in enumerate(named):
        for _, other in _other_sides(words):
            if tuple(other) in indices:
                mirror[index] = indices[tuple(other)]
                break
    return mirror


def side_of(name: str, points: Sequence[str]) -> str:
    """Return the side in `name`, "left" or "right"; "" if its counterpart is not in `points`."""
    named = dict(zip(points, _words_without_numbers(points), strict=True))
    known = set(map(tuple, named.values()))
    for side, other in _other_sides(named.get(name, split_words(name))):
        if tuple(other) in known:
            return side
    return ""


def _words_without_numbers(points: Sequence[str]) -> list[list[str]]:
    """Return the words of each name, without the numbers of a list such as 01_nose, 02_chin."""
    named = [split_words(name) for name in points]
    shorter = [words[1:] for words in named]
    are_listed = all(len(words) > 1 and words[0].isdecimal() for words in named)
    if are_listed and len(set(map(tuple, shorter))) == len(points):
        return shorter
    return named


def unpaired(points: Sequence[str], mirror: Sequence[int]) -> list[str]:
    """Return the points with left or right, spelled out, in their names, but no partner."""
    alone = []
    for index, name in enumerate(points):
        if mirror[index] == index and {"left", "right"} & set(split_words(name)):
            alone.append(name)
    return alone


def _other_sides(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield (side, words of the other side), the most certain interpretation first."""
    for pair in SIDES:
        for side, (mine, other) in zip(
            ("left", "right"), (pair, pair[::-1]), strict=True
        ):
            if mine in words:
                yield side, [other if word == mine else word for word in words]
    yield from _other_joined_sides(words)
    for number, word in enumerate(words):
        for side, mine, other in (("left", "l", "r"), ("right", "r", "l")):
            # reye and leye; eyer would be taken for any word that ends in r
            if len(word) > 1 and word.startswith(mine):
                yield side, [*words[:number], other + word[1:], *words[number + 1 :]]


def _other_joined_sides(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield (side, words of the other side) for a side that is joined to a word, as in lefteye."""
    for number, word in enumerate(words):
        for pair in SIDES:
            for side, mine, other in (("left", *pair), ("right", *pair[::-1])):
                if len(mine) < MIN_JOINED_LENGTH or word == mine:
                    continue
                before, after = words[:number], words[number + 1 :]
                if word.startswith(mine):
                    yield side, [*before, other + word.removeprefix(mine), *after]
                if word.endswith(mine):
                    yield side, [*before, word.removesuffix(mine) + other, *after]


def complete_table(table: Mapping[str, Any], location: str) -> dict[str, Any]:
    """Return the table of a scheme, completed by what its point names imply.

    Args:
        table: Keys of a scheme; existing keys are kept.
        location: Description of the table for messages.

    Raises:
        SchemeError: If no mirror can be inferred from the names.
    """
    completed, points = dict(table), table.get("points")
    if not isinstance(points, list) or not all(isinstance(p, str) for p in points):
        # which the table's reader rejects
        return completed
    if "mirror" not in table:
        completed["mirror"] = _checked_mirror(points, location)
    parts = infer_parts(points)
    if "parts" not in table:
        completed["parts"] = parts
    if "norm_points" not in table:
        completed["norm_points"] = infer_norm_points(points, parts)
    return completed


def _checked_mirror(points: list[str], location: str) -> list[int]:
    mirror = infer_mirror_from_names(points)
    alone = unpaired(points, mirror)
    if alone:
        raise SchemeError(
            f"{location}: {alone[0]!r} has no partner on the other side; correct the "
            "name, or list the pairs: mirror = [[...], ...]"
        )
    if len(points) > 1 and mirror == list(range(len(mirror))):
        raise SchemeError(
            f"{location}: no point's name tells left from right, and mirrored images would swap "
            'the points; list the pairs: mirror = [["a", "b"], ...], or mirror = [] if every point '
            "lies in the middle"
        )
    return mirror


def infer_parts(points: Sequence[str]) -> dict[str, list[int]]:
    """Return point indices by part of the face; eyes and brows by side."""
    parts: dict[str, list[int]] = {}
    for index, name in enumerate(points):
        part = _part_of(name)
        if part in ("eye", "brow"):
            side = side_of(name, points)
            part = f"{side}_{part}" if side else ""
        if part:
            parts.setdefault(part, []).append(index)
    return parts


def _part_of(name: str) -> str:
    text = plain_name(name)
    for part, words in PART_WORDS.items():
        if any(word in text for word in words):
            return part
    return ""


def infer_norm_points(
    points: Sequence[str], parts: Mapping[str, Sequence[int]]
) -> dict[str, list[list[int]]]:
    """Return the points of the norms: the outer corners of the eyes, and their centers."""
    norms = {}
    eyes = [parts.get("right_eye", []), parts.get("left_eye", [])]
    outer = [_named(points, eye, OUTER) for eye in eyes]
    if all(outer):
        norms["interocular"] = outer
    center = [_named(points, eye, CENTER) or list(eye) for eye in eyes]
    if all(center):
        norms["interpupil"] = center
    return norms


def _named(
    points: Sequence[str], indices: Sequence[int], words: Sequence[str]
) -> list[int]:
    found = []
    for index in indices:
        if set(words) & set(split_words(points[index])):
            found.append(index)
    return found


def is_numbered(points: Sequence[str]) -> bool:
    """Return whether names are only numbers, or one word with numbers, and so have no meaning."""
    patterns = {re.sub(r"\d+", "", plain_name(name)).strip("_") for name in points}
    return len(patterns) <= 1 and all(re.search(r"\d", name) for name in points)
