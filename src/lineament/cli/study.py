"""Command `study`: train the rows of a study and print them as a table."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, require_torch, show
from .options import Cache, Data
from .train import Changes, training_report

if TYPE_CHECKING:
    from ..study.run import StudyOptions
    from ..study.settings import Study


StudyFile = Annotated[
    Path, typer.Argument(help="A TOML file; see studies/.", metavar="STUDY.toml")
]
Seeds = Annotated[
    str, typer.Option(help="Seeds of each row, such as 1,2,3; default: the study's.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROW",
        help=(
            "Train only the row with this name; repeatable. The page keeps its other "
            "rows."
        ),
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Skip training runs that do not fit into this many minutes, and list "
        "them.",
    ),
]
Final = Annotated[
    bool, typer.Option("--final", help="Also measure the columns that use test data.")
]
Parallel = Annotated[
    int,
    typer.Option(
        min=1,
        help="Number of training runs to execute in parallel; more than 1 is faster "
        "on a GPU.",
    ),
]
Runs = Annotated[Path, typer.Option(help="Folder of all runs.")]
Page = Annotated[
    Path | None,
    typer.Option(metavar="PAGE.md", help="Page to write, with the table and plots."),
]


@app.command()
def study(
    file: StudyFile,
    seeds: Seeds = "",
    only: Only = None,
    budget_minutes: Budget = None,
    final: Final = False,
    parallel: Parallel = 1,
    runs: Runs = Path("runs"),
    out: Page = None,
    changes: Changes = None,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Train the rows of a study and print them as a table.

    A study file names a recipe, rows with changes to it, seeds, and the columns to
    measure. Finished training runs are kept and interrupted ones resumed, so the
    command can be rerun. The table is Markdown, with the mean and standard deviation
    over the seeds.
    """
    require_torch()
    from ..data.sample import cache_root, data_root
    from ..recipe.file import parse_override
    from ..study.run import StudyOptions
    from ..study.settings import read_study

    settings = read_study(file)
    options = StudyOptions(
        data_root(data),
        cache_root(cache),
        runs,
        _numbers(seeds),
        only or (),
        budget_minutes,
        final,
        parallel,
        dict(parse_override(text) for text in changes or ()),
    )
    _run(settings, file, options, out)


def _run(study: "Study", file: Path, options: "StudyOptions", out: Path | None) -> None:
    """Run the study in `file`, print its table, and write its results page to `out`."""
    from ..study.curves import draw_study_curves
    from ..study.page_rows import PageRows, merge, read_origins, read_page_rows
    from ..study.plan import plan_runs
    from ..study.run import run_study
    from ..study.table import Table, write_page

    command = _command(file, options)
    if out is not None:
        plan = plan_runs(study, file, options.runs, options.seeds, (), options.changes)
        origins = read_origins(plan)
        read_page_rows(out, command, origins)  # fail early if the page is broken
    with training_report(0) as report:
        values = run_study(
            study, file, options, note, lambda name, progress: report(progress)
        )
    columns = study.measured_columns(options.final)
    show(Table(study, columns, values).markdown())
    if out is not None:
        # keep rows written by other runs in the meantime
        saved_rows = read_page_rows(out, command, origins)
        names = [row.name for row in study.rows]
        rows = merge(saved_rows, PageRows(values, origins), names)
        seeds = ", ".join(str(seed) for seed in options.seeds or study.seeds)
        facts = [f"Seeds {seeds}.", rows.machines()]
        missing = [name for name in names if name not in rows.values]
        if missing:
            facts.append(f"Not measured yet: {'; '.join(missing)}.")
        shown = {row: plan.rows[row] for row in rows.values}
        images = draw_study_curves(study, shown, out)
        table = Table(study, columns, rows.values, rows.origins)
        write_page(table, out, command, facts, images)
        note(f"page -> {out}")


def _command(file: Path, options: "StudyOptions") -> str:
    """Return the command with the options that affect its results, without the choice of rows."""
    words = ["lineament", "study", str(file)]
    if options.seeds:
        words += ["--seeds", ",".join(map(str, options.seeds))]
    for key, value in options.changes.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    if options.final:
        words.append("--final")
    return shlex.join(words)


def _numbers(text: str) -> list[int]:
    """Parse seeds from text such as "1,2,3"."""
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise typer.BadParameter(
            f"--seeds {text!r}; expected whole numbers such as 1,2,3"
        ) from error
