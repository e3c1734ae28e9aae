"""Table of a study as Markdown, with mean and standard deviation over seeds, and its plot."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev

from ..atomic import write_text
from ..errors import RecipeError
from ..training.curves import new_figure, save_figure
from .columns import column
from .page_rows import RowOrigin
from .settings import Study

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""Measured values by row and column, one per seed."""


@dataclass(frozen=True)
class Table:
    """The measured values of a study."""

    study: Study
    columns: tuple[str, ...]
    values: Values
    origins: Mapping[str, RowOrigin] = field(default_factory=dict)
    """Recipe hash and machine by row."""

    def markdown(self) -> str:
        """Return the table as Markdown; rows without values are omitted."""
        facts: dict[str, dict[str, str]] = {}
        for row_settings in self.study.rows:
            facts[row_settings.name] = row_settings.facts
        fact_titles = list(
            dict.fromkeys(key for each in facts.values() for key in each)
        )
        titles = fact_titles + [column(name).title for name in self.columns]
        lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
        for row, measured in self.values.items():
            if measured:
                cells = [facts[row].get(title, "") for title in fact_titles]
                cells += [shown(name, measured[name]) for name in self.columns]
                lines.append(f"| {row} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def json(self, command: str) -> str:
        """Return command, values and origins as JSON: a list per row and column, null for nan."""
        rows: dict[str, dict[str, list[float | None]]] = {}
        for row, measured in self.values.items():
            rows[row] = {}
            for name, values in measured.items():
                finite = [None if math.isnan(value) else value for value in values]
                rows[row][name] = finite
        origins = {row: asdict(origin) for row, origin in self.origins.items()}
        content = {"command": command, "rows": rows, "origins": origins}
        return json.dumps(content, indent=1) + "\n"


def shown(name: str, values: Sequence[float]) -> str:
    """Format mean and standard deviation of the `values` of a column."""
    kind = column(name)
    if not values or any(math.isnan(value) for value in values):
        return "-"
    scaled = [kind.scale * value for value in values]
    spread = f" ± {stdev(scaled):.{kind.digits}f}" if len(scaled) > 1 else ""
    return f"{mean(scaled):.{kind.digits}f}{spread}{kind.unit}"


def write_page(
    table: Table,
    path: Path,
    command: str,
    facts: Sequence[str],
    images: Sequence[str] = (),
) -> None:
    """Write the result page of a study, atomically, and its values as JSON next to it.

    Args:
        path: A Markdown file; the plot, if there is one, is also written next to it.
        command: The command that made the page.
        facts: Lines about the run, such as seeds and hardware.
        images: Markdown of additional plots.
    """
    study = table.study
    parts = [f"# {study.title}", f"`{command}`", *facts, table.markdown()]
    if study.plot is not None:
        plot = path.with_suffix(".png")
        draw(table, plot)
        parts.append(
            f"![{column(study.plot.column).title} by {study.plot.x_label}]({plot.name})"
        )
    parts += images
    if study.notes:
        parts.append(study.notes.strip())
    write_text(path, "\n\n".join(parts) + "\n")
    write_text(path.with_suffix(".json"), table.json(command))


def draw(table: Table, path: Path) -> None:
    """Plot one column against the rows' `x`: a line per series, a point per seed.

    Raises:
        RecipeError: If the study has no plot, or its column was not measured.
        ExtraError: If matplotlib is not installed.
    """
    plot = table.study.plot
    if plot is None or plot.column not in table.columns:
        raise RecipeError(
            f"study {table.study.name!r}: the column of its plot was not measured"
        )
    lines: dict[str, list[tuple[float, Sequence[float]]]] = {}
    for row in table.study.rows:
        measured = table.values.get(row.name)
        if measured and row.x is not None:
            lines.setdefault(row.series, []).append((row.x, measured[plot.column]))
    kind = column(plot.column)
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for series, points in lines.items():
        means = [kind.scale * mean(values) for _, values in points]
        axes.plot([x for x, _ in points], means, marker=".", label=series)
        for x, values in points:
            axes.plot(
                [x] * len(values),
                [kind.scale * value for value in values],
                "k.",
                alpha=0.3,
            )
    axes.set(
        xlabel=plot.x_label, ylabel=kind.title, xscale="log" if plot.log_x else "linear"
    )
    if any(lines):
        axes.legend()
    save_figure(figure, path)
