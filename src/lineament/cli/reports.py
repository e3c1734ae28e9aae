"""Print and write evaluation reports; shared by evaluate, score and compare."""

from pathlib import Path
from typing import TYPE_CHECKING

from .app import note, require_package, show
from .options import Printed

if TYPE_CHECKING:
    from ..evaluation.report import Report


def require_matplotlib(plot: Path | None) -> None:
    """Raise ExtraError early if a plot is requested and matplotlib is not installed."""
    if plot is not None:
        require_package("matplotlib", "report")


def missing_list(folder: Path | None) -> Path | None:
    """Return the path of the list of missing faces, in the report folder."""
    return folder and folder / "missing.txt"


def show_report(report: "Report", format: Printed, folder: Path | None) -> None:
    """Print `report`, and write it with plots to `folder` unless it is None."""
    from ..evaluation.report import format_report, write_report

    if folder is not None:
        write_report(report, folder / "report.json")
        from ..evaluation.report_html import write_html, write_png

        write_html(report, folder / "report.html")
        write_png(report, folder / "report.png")
        note(f"report -> {folder}/report.json, .html, .png")
    if format is Printed.json:
        show(report.model_dump_json(indent=1, exclude={"worst"}))
    else:
        show(format_report(report).rstrip())
