"""Run a study: train missing runs, measure every row, print and write the table."""

import json
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..atomic import write_text
from ..data.mixture import Mixture
from ..errors import LineamentError
from ..training.log import Progress
from ..training.registry import make_trainer
from ..training.scheduler import AnyTrainer, Run, train_together
from .columns import column
from .finished_run import FinishedRun
from .plan import (
    MINUTES,
    Plan,
    PlannedRun,
    fit_budget,
    is_done,
    plan_runs,
    read_minutes,
)
from .prune_sweep import sweep
from .settings import Study

Note = Callable[[str], None]
Values = dict[str, dict[str, list[float]]]
"""Measured values by row and column, one per seed."""


@dataclass(frozen=True)
class StudyOptions:
    """Options of one call of `lineament study`."""

    data_root: Path
    cache: Path
    runs: Path = Path("runs")
    """Folder of all runs."""
    seeds: Sequence[int] = ()
    """Seeds of each row; empty: those of the study."""
    only: Sequence[str] = ()
    """Names of rows; empty: all rows."""
    budget_minutes: float | None = None
    """Time budget for all training runs; runs that do not fit are listed and skipped."""
    final: bool = False
    """True: also measure the columns on test data."""
    parallel: int = 1
    """Number of interleaved training runs, for a GPU."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Changes to every recipe."""


def run_study(
    study: Study,
    path: Path,
    options: StudyOptions,
    note: Note = lambda line: None,
    report: Callable[[str, Progress], None] = lambda name, progress: None,
) -> Values:
    """Train missing runs and measure every row; return the values of the table.

    Finished training runs are kept and killed ones are resumed, so the command can be repeated.

    Args:
        note: Receives lines of text: skipped and failed runs, measured values.
        report: Receives the name of a training run and its progress.

    Raises:
        RecipeError: If the study or a recipe is invalid.
        TrainError: If a folder contains a run by another recipe, or a budget is set and a duration
            is unknown.
    """
    columns = study.measured_columns(options.final)
    for name in columns:
        column(name)  # check names before training
    plan = plan_runs(
        study, path, options.runs, options.seeds, options.only, options.changes
    )
    waiting = [run for run in plan.runs if not is_done(run)]
    note(f"{len(plan.runs)} training runs, {len(plan.runs) - len(waiting)} done")
    if options.budget_minutes is not None:
        waiting, skipped = fit_budget(waiting, options.budget_minutes)
        for run in skipped:
            note(
                f"does not fit {options.budget_minutes:g} minutes: {run.name} ({run.minutes:g})"
            )
    train_all(waiting, plan, options, note, report)
    unfinished = {run.checkpoint for run in plan.runs if not is_done(run)}
    return measure(plan, columns, options, note, unfinished)


def train_all(
    waiting: Sequence[PlannedRun],
    plan: Plan,
    options: StudyOptions,
    note: Note,
    report: Callable[[str, Progress], None],
) -> None:
    """Train the `waiting` runs, needs first, `options.parallel` of them at a time."""
    remaining = list(waiting)
    absent: set[str] = set()  # failed and skipped runs

    def fail(name: str, error: Exception) -> None:
        if not isinstance(error, LineamentError):
            raise error
        note(f"failed: {name}: {error}")
        absent.add(name)

    while remaining:
        run = remaining[0]
        if absent & set(run.needs):
            note(f"skipped: {run.name}, which needs {', '.join(run.needs)}")
            absent.add(run.name)
            remaining = remaining[1:]
            continue
        missing = {run.name for run in remaining} | absent
        ready = [run for run in remaining if not missing & set(run.needs)]
        batch = ready[: options.parallel]
        remaining = [run for run in remaining if run not in batch]
        started = time.monotonic()
        done = train_together(
            [_as_run(run, options, note) for run in batch], report, fail
        )
        minutes = (time.monotonic() - started) / 60
        for run in batch:
            if run.name in done:
                arguments = run.checkpoint, options.data_root, options.cache
                logged = FinishedRun(run.name, *arguments).minutes
                # if a run was resumed, this call took less time than the entire training;
                # both times include the steps of the runs trained in parallel
                own = max(minutes, logged) / len(done)
                _save_minutes(plan.folder, run.row, own)


def _as_run(run: PlannedRun, options: StudyOptions, note: Note) -> Run:
    """Return a run for the scheduler; with [slim], the network is pruned at the end."""

    def make(read: Callable[..., Mixture]) -> AnyTrainer:
        note(f"training {run.name} in {run.folder}")
        resume = run.checkpoint.exists()
        arguments = run.folder, options.data_root, options.cache
        return make_trainer(run.recipe, *arguments, resume, note, read)

    def after(trainer: AnyTrainer) -> None:
        if run.recipe.slim is not None:
            slim = run.recipe.slim
            sweep(
                run.checkpoint, run.folder, slim, options.data_root, options.cache, note
            )

    return Run(run.name, make, (), after)


def _save_minutes(folder: Path, row: str, minutes: float) -> None:
    durations = read_minutes(folder) | {row: round(minutes, 2)}
    write_text(folder / MINUTES, json.dumps(durations, indent=1) + "\n")


def measure(
    plan: Plan,
    columns: Sequence[str],
    options: StudyOptions,
    note: Note,
    unfinished: Container[Path] = (),
) -> Values:
    """Measure every column of the rows whose checkpoints are not `unfinished`."""
    rows: list[str] = []
    finished: list[FinishedRun] = []
    for row, checkpoints in plan.rows.items():
        for seed, checkpoint in checkpoints.items():
            if checkpoint not in unfinished:
                name = f"{row}, seed {seed}"
                rows.append(row)
                arguments = checkpoint, options.data_root, options.cache
                finished.append(FinishedRun(name, *arguments, plan.needs[row]))
    values: dict[str, dict[str, list[float]]] = {row: {} for row in plan.rows}
    for name in columns:
        kind = column(name)
        measured = kind.measure(finished) if finished else []
        for row, run, value in zip(rows, finished, measured, strict=True):
            note(
                f"{run.name}: {kind.title} {kind.scale * value:.{kind.digits}f}{kind.unit}"
            )
            values[row].setdefault(name, []).append(value)
    return values
