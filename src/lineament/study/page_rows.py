"""Rows of a study's page: how they were measured, and rows reused from earlier calls."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import LineamentError
from ..export.card import recipe_entry
from ..inference.device import read_processor
from ..inference.processors import usable_cores
from .plan import Plan

Rows = dict[str, dict[str, list[float]]]
"""Measured values by row and column, one per seed."""


@dataclass(frozen=True)
class RowOrigin:
    """Recipe hash and machine of a measured row."""

    recipe: str
    """Hash of the recipes of the row's training runs."""
    machine: str
    """Processor or GPU on which it was measured."""


@dataclass(frozen=True)
class PageRows:
    """Values and origins by row."""

    values: Rows
    origins: dict[str, RowOrigin]

    def machines(self) -> str:
        """Return a line about the page's machine, or one per machine with its rows."""
        rows: dict[str, list[str]] = {}
        for row, origin in self.origins.items():
            rows.setdefault(origin.machine, []).append(row)
        if len(rows) < 2:
            return "".join(f"{name}." for name in rows)
        # names of rows contain commas
        return "\n\n".join(f"{name}: {'; '.join(each)}." for name, each in rows.items())


def read_origins(plan: Plan) -> dict[str, RowOrigin]:
    """Return the origins of a plan's rows if they are measured on this machine."""
    recipes = {run.checkpoint: recipe_entry(run.recipe) for run in plan.runs}
    result = {}
    for row, checkpoints in plan.rows.items():
        chosen = [recipes[path] for path in (*checkpoints.values(), *plan.needs[row])]
        text = json.dumps(chosen, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        result[row] = RowOrigin(digest, machine())
    return result


def read_page_rows(
    page: Path, command: str, origins: Mapping[str, RowOrigin]
) -> PageRows:
    """Return the rows that an earlier call stored next to a page and whose recipes are unchanged.

    Args:
        page: A Markdown file of `write_page`; it may be missing.
        command: The command of the page, without the selection of rows.
        origins: Origins of all rows of the study.

    Raises:
        LineamentError: If the values next to the page cannot be read.
    """
    path = page.with_suffix(".json")
    if not path.is_file():
        return PageRows({}, {})
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stored_origins = {
            row: RowOrigin(**entries)
            for row, entries in stored.get("origins", {}).items()
        }
        rows = {row: _values(stored["rows"][row]) for row in stored_origins}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LineamentError(
            f"{path}: not the values of a page ({error}); remove it, or choose another --out"
        ) from error
    if stored.get("command") != command:
        return PageRows({}, {})
    same = [
        row
        for row in stored_origins
        if row in origins and stored_origins[row].recipe == origins[row].recipe
    ]
    return PageRows(
        {row: rows[row] for row in same}, {row: stored_origins[row] for row in same}
    )


def merge(stored: PageRows, new: PageRows, order: list[str]) -> PageRows:
    """Merge rows in this order; new ones replace stored ones."""
    measured = {row: each for row, each in new.values.items() if each}
    values = {**stored.values, **measured}
    origins = {**stored.origins, **{row: new.origins[row] for row in measured}}
    names = [row for row in order if row in values]
    return PageRows(
        {row: values[row] for row in names}, {row: origins[row] for row in names}
    )


def machine() -> str:
    """Return the name of the GPU or processor used here for training and measurement."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name, features = read_processor()
    amx = " with AMX" if "amx_tile" in features else ""
    return f"{name}{amx}, {usable_cores()} cores"


def _values(measured: Mapping[str, list[float | None]]) -> dict[str, list[float]]:
    return {
        column: [math.nan if value is None else float(value) for value in values]
        for column, values in measured.items()
    }
