"""Data set description of YOLO pose: the entries of a .yaml file that describe the points.

Only the YAML of these entries is parsed: lists and mappings in flow or block style.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from .label_text import read_label_text

TOKEN = re.compile(
    r"""(?:^|(?<=\s))\#[^\n]*            # a comment
    | (?P<double>"(?:[^"\\]|\\.)*") | '(?P<single>(?:[^']|'')*)'
    | [\[\]{},] | (?P<colon>:(?=[\s\[{]|$)) | -(?=\s)
    | (?P<plain>[^\s\[\]{},"'](?:(?!\s\#|:[\s\[{]|:$)[^\[\]{},\n])*)""",
    re.VERBOSE | re.MULTILINE,
)
NULLS = ("null", "~")
Lists = dict[str, list[str]]


@dataclass(frozen=True)
class PointDescription:
    """Points of a YOLO pose data set, as its .yaml file describes them."""

    path: Path
    shape: tuple[int, int]
    """Number of points, and of values per point."""
    names: dict[str, list[str]]
    """Point names by class; empty if not stated. A single list has the class ""."""
    mirror: list[int]
    """Index of each point in a flipped image; empty if not stated."""

    def names_of(self, classes: Sequence[int]) -> list[str]:
        """Return the names of the points of faces of these classes; empty strings if unknown.

        Raises:
            DataError: If the classes have different names.
        """
        if "" in self.names:
            return self.names[""]
        named = [number for number in classes if str(number) in self.names]
        for number in named[1:]:
            if self.names[str(number)] != self.names[str(named[0])]:
                raise DataError(
                    f"{self.path}: kpt_names of classes {named[0]} and {number} differ; keep "
                    "the labels of one class"
                )
        return self.names[str(named[0])] if named else [""] * self.shape[0]


def describe_points(root: Path) -> PointDescription | None:
    """Return the description in the nearest .yaml file that states kpt_shape, or None.

    Args:
        root: Folder of the labels; the file is in it, or up to two folders above. Or the file.

    Raises:
        DataError: If the entries of the file do not match each other.
    """
    homes = (root, *root.parents[:2])
    found = [path for home in homes for path in sorted(home.glob("*.y*ml"))]
    for path in [root] if root.is_file() else found:
        text = read_label_text(path, "the description of a YOLO data set")
        shape = _numbers(
            path, "kpt_shape", parse_yaml_lists(text, "kpt_shape").get("", [])
        )
        if len(shape) != 2:
            continue
        count, per_point = shape
        mirror = _numbers(
            path, "flip_idx", parse_yaml_lists(text, "flip_idx").get("", [])
        )
        if mirror and not _is_pairing(mirror, count):
            raise DataError(
                f"{path}: flip_idx does not swap the {count} points of kpt_shape in pairs; "
                "correct or remove it"
            )
        names = _by_class(parse_yaml_lists(text, "kpt_names"), count)
        for listed in names.values():
            if len(listed) != count:
                raise DataError(
                    f"{path}: kpt_names lists {len(listed)} points, but kpt_shape has "
                    f"{count}; correct or remove it"
                )
        return PointDescription(path, (count, per_point), names, mirror)
    return None


def _is_pairing(mirror: Sequence[int], count: int) -> bool:
    is_map = sorted(mirror) == list(range(count))
    return is_map and all(mirror[mirror[i]] == i for i in range(count))


def _by_class(lists: Lists, count: int) -> Lists:
    """Return names by class; a mapping of point numbers to names becomes one list."""
    numbers = [str(number) for number in range(count)]
    if sorted(lists) != sorted(numbers) or any(len(x) > 1 for x in lists.values()):
        return lists
    return {"": [lists[number][0] for number in numbers]}


def _numbers(path: Path, key: str, words: Sequence[str]) -> list[int]:
    try:
        return [int(word) for word in words]
    except ValueError as error:
        raise DataError(
            f"{path}: {key} contains {', '.join(words)[:60]!r}; expected a list of integers"
        ) from error


def parse_yaml_lists(text: str, key: str) -> Lists:
    """Return the lists of a top-level entry by key, "" for one without keys; empty if absent."""
    entry = re.search(
        rf"^{key}[ \t]*:(?=\s)(.*(?:\n(?:[ \t\-\]}}#].*)?)*)", text, re.MULTILINE
    )
    lists: Lists = {}
    current, last = "", ""
    if entry is None:
        return lists
    for match in TOKEN.finditer(entry[1]):
        if match["colon"] and current in lists:
            # the last word was not an item but a key
            lists[current].pop()
            if not lists[current]:
                del lists[current]
            current = last
            continue
        word = _word(match)
        if word is not None:
            lists.setdefault(current, []).append(word)
            last = word
    return lists


def _word(match: re.Match[str]) -> str | None:
    """Return the text of a scalar; None for another token and for null."""
    if match["double"] is not None:
        try:
            return str(json.loads(match["double"]))
        except ValueError:
            return match["double"][1:-1]
    if match["single"] is not None:
        return match["single"].replace("''", "'")
    word = (match["plain"] or "").strip()
    return None if not word or word.lower() in NULLS else word
