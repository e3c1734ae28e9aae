"""Infer a user's scheme from a COCO category: names, skeleton, mirror map."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, did_you_mean
from ...geometry import Array
from ...scheme_file.names import complete_table, infer_mirror_from_names
from ...scheme_file.table import Scheme, scheme_from_table
from ..mirror import better_mirror, describe_better, infer_mirror_from_shapes
from .coco import flat_keypoints, id_text
from .label_text import read_label_text
from .own_data import Note, ignore, is_unnamed


def scheme_from_coco(
    path: Path, name: str, category: str = "", note: Note = ignore
) -> Scheme:
    """Return the scheme defined by a COCO category with keypoints.

    Args:
        path: The file.
        name: Name of the scheme.
        category: Name of the category; empty: the only one with keypoints.
        note: Called with one line per inferred property.

    Raises:
        DataError: If the file has no such category, or no mirror map can be inferred.
        SchemeError: If point names are invalid.
    """
    table = _read(path)
    chosen = _category(table, path, category)
    points = [str(point) for point in chosen["keypoints"]]
    try:
        edges = [[int(a), int(b)] for a, b in chosen.get("skeleton") or ()]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: the skeleton of {chosen['name']!r} is not a list of pairs of point "
            "numbers; correct or remove it"
        ) from error
    if edges and min(map(min, edges)) == 0:
        note(
            f"{path}: the skeleton counts points from 0, although COCO counts from 1; "
            "reading it as 0-based"
        )
    else:
        edges = [[a - 1, b - 1] for a, b in edges]
    stated: dict[str, Any] = {
        "points": points,
        "edges": edges,
        "title": f"The {len(points)} points of {chosen['name']!r} in {path.name}",
    }
    location = f"{path}: category {chosen['name']!r}"
    shapes = _shapes(table, chosen)
    named = infer_mirror_from_names(points)
    if is_unnamed(points) or named == list(range(len(points))):
        stated["mirror"] = infer_mirror_from_shapes(shapes, str(path))
        note(
            f"{path}: the names do not tell left from right, so the mirror is inferred "
            "from the mean of the annotated faces: check it"
        )
        return scheme_from_table(complete_table(stated, location), name, location)
    stated = complete_table(stated, location)
    made = scheme_from_table(stated, name, location)
    better = better_mirror(shapes, named)
    if better is None:
        return made
    note(
        f"{path}: {describe_better(points, named, better)}; using the latter pairs: "
        "check them"
    )
    return scheme_from_table(stated | {"mirror": better}, name, location)


def lists_keypoints(path: Path) -> bool:
    """Return True for a JSON file with a COCO category that lists its keypoints."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        return bool(_read(path)["categories"])
    except DataError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(read_label_text(path, "JSON"))
        known = [c for c in table["categories"] if c.get("keypoints")]
        return {**table, "categories": known}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not COCO keypoints ({type(error).__name__}: {error}); expected a "
            "JSON file with categories that list their keypoints"
        ) from error


def _category(table: Mapping[str, Any], path: Path, name: str) -> dict[str, Any]:
    known = {str(category.get("name")): category for category in table["categories"]}
    if name:
        for each in known:
            if each.lower() == name.lower():
                return {"name": "", **known[each]}
        raise DataError(f"{path}: no category {name!r}; {did_you_mean(name, known)}")
    if len(known) != 1:
        raise DataError(
            f"{path}: {len(known)} categories list keypoints ({', '.join(known)}); "
            "choose one with --category"
        )
    return {"name": "", **next(iter(known.values()))}


def _shapes(table: Mapping[str, Any], category: Mapping[str, Any]) -> list[Array]:
    """Return the annotated points (N, 2) of the category's faces; nan where not annotated."""
    shapes = []
    for annotation in table.get("annotations", ()):
        keypoints = flat_keypoints(annotation.get("keypoints") or ())
        category_id = annotation.get("category_id", category.get("id"))
        if id_text(category_id) != id_text(category.get("id")):
            continue
        if len(keypoints) != 3 * len(category["keypoints"]):
            continue
        points = np.array(keypoints, dtype=np.float64).reshape(-1, 3)
        shapes.append(np.where(points[:, 2:] > 0, points[:, :2], np.nan))
    return shapes
