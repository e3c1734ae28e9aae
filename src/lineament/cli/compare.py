"""Command `compare`: show reports under one protocol side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, show
from .reports import require_matplotlib

if TYPE_CHECKING:
    from ..evaluation.report import Report


@app.command()
def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPORT",
            help=(
                "Two or more report.json files written by evaluate or score, or their "
                "folders."
            ),
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help=".png file for a chart of all cumulative error curves."),
    ] = None,
) -> None:
    """Compare reports of the same protocol side by side."""
    require_matplotlib(out)
    from ..evaluation.report import compare as compare_reports
    from ..evaluation.report import read_report

    found = [
        read_report(path / "report.json" if path.is_dir() else path) for path in reports
    ]
    comparison = compare_reports(found, _names(reports, found))
    show(comparison.table().rstrip())
    if out is not None:
        from ..evaluation.report_html import draw_comparison

        out.parent.mkdir(parents=True, exist_ok=True)
        draw_comparison(comparison.reports, comparison.names).savefig(out)
        note(f"error curves -> {out}")


def _names(paths: Sequence[Path], reports: "Sequence[Report]") -> list[str]:
    """Return the names of the models if they differ, otherwise the paths of the reports."""
    models = [report.model for report in reports]
    if all(models) and len(set(models)) == len(models):
        return models
    return [str(path) for path in paths]
