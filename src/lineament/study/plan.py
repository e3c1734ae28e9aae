"""Plan the training runs of a study: list them, find the finished ones, apply a time budget."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError, TrainError, did_you_mean
from ..recipe import Recipe
from ..recipe.file import read_recipe
from ..training.build import adopt_architecture
from ..training.resume import changed_keys
from ..training.run_files import checkpoint_path, read_progress
from .settings import Need, Row, Study
from .sweep_amounts import is_swept

MINUTES = "minutes.json"
"""File in a study's folder with the minutes per run, by need or row, for budgets."""


@dataclass(frozen=True)
class PlannedRun:
    """One training run of a study."""

    name: str
    """Unique name: the name of a need, or "row, seed N"."""
    row: str
    """Name of the row or need; runs of one row have the same duration."""
    recipe: Recipe
    folder: Path
    needs: tuple[str, ...]
    minutes: float | None
    """Measured or configured duration; None: unknown."""

    @property
    def checkpoint(self) -> Path:
        """Path of the run's checkpoint."""
        return checkpoint_path(self.recipe, self.folder)


@dataclass(frozen=True)
class Plan:
    """Training runs of a study, needs first."""

    runs: tuple[PlannedRun, ...]
    rows: Mapping[str, Mapping[int, Path]]
    """Checkpoints by row and seed."""
    folder: Path
    """Folder of the study's own runs."""
    needs: Mapping[str, tuple[Path, ...]]
    """Checkpoints of the training runs that each row depends on."""


def plan_runs(
    study: Study,
    path: Path,
    runs: Path,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Plan:
    """List the training runs of a study.

    Args:
        study: The study read from `path`.
        path: File of the study; its recipes are relative to it.
        runs: Folder of all runs, which replaces "runs/" in paths of recipes.
        seeds: Seeds of each row; empty: those of the study.
        only: Names of rows; empty: all rows.
        changes: Changes to every recipe, such as {"train.threads": 1}.

    Raises:
        RecipeError: If a row in `only` does not exist, or a recipe is invalid.
    """
    names = [row.name for row in study.rows]
    for name in only:
        if name not in names:
            raise RecipeError(
                f"the study has no row {name!r}; {did_you_mean(name, names)}"
            )
    rows = [row for row in study.rows if not only or row.name in only]
    folder = runs / study.name
    minutes = read_minutes(folder)
    planned: list[PlannedRun] = []
    checkpoints: dict[str, dict[int, Path]] = {}
    for need in _needed(study, rows):
        planned.append(_need_run(need, path, runs, minutes, changes or {}))
    homes = {run.name: run.checkpoint for run in planned}
    for row in rows:
        checkpoints[row.name] = {}
    # all rows of one seed first, so that a table of one seed is complete early
    for seed in seeds or study.seeds:
        for row in rows:
            if row.run:
                checkpoints[row.name][0] = homes[row.run]
                continue
            run = _row_run(study, row, path, folder, seed, minutes, changes or {}, runs)
            planned.append(run)
            checkpoints[row.name][seed] = run.checkpoint
    needs: dict[str, tuple[Path, ...]] = {}
    for row in rows:
        names = [need.name for need in _needed(study, [row])]
        # a row that measures a need does not depend on itself
        needs[row.name] = tuple(homes[name] for name in names if name != row.run)
    return Plan(tuple(planned), checkpoints, folder, needs)


def _needed(study: Study, rows: Sequence[Row]) -> list[Need]:
    """Return the direct and indirect needs of `rows`, in the order of the study."""
    needed: set[str] = set()
    for row in rows:
        needed.update(row.needs)
        if row.run:
            needed.add(row.run)
    for need in reversed(study.needs):  # a need comes after its own needs
        if need.name in needed:
            needed.update(need.needs)
    return [need for need in study.needs if need.name in needed]


def _need_run(
    need: Need,
    path: Path,
    runs: Path,
    minutes: Mapping[str, float],
    changes: Mapping[str, Any],
) -> PlannedRun:
    recipe = below(
        read_recipe(path.parent / need.recipe, changes={**need.set, **changes}), runs
    )
    duration = minutes.get(need.name, need.minutes)
    return PlannedRun(
        need.name, need.name, recipe, runs / need.out, need.needs, duration
    )


def _row_run(
    study: Study,
    row: Row,
    path: Path,
    folder: Path,
    seed: int,
    minutes: Mapping[str, float],
    changes: Mapping[str, Any],
    runs: Path,
) -> PlannedRun:
    settings = {**row.set, **changes, "train.seed": seed}
    recipe = below(
        read_recipe(path.parent / (row.recipe or study.recipe), changes=settings), runs
    )
    number = [other.name for other in study.rows].index(row.name)
    run_folder = folder / f"row{number}-seed{seed}"
    duration = minutes.get(row.name, row.minutes)
    return PlannedRun(
        f"{row.name}, seed {seed}", row.name, recipe, run_folder, row.needs, duration
    )


def below(recipe: Recipe, runs: Path) -> Recipe:
    """Return `recipe` with the checkpoints that it names below "runs/" moved to `runs`."""

    def moved(name: str) -> str:
        path = Path(name)
        return (
            str(runs / path.relative_to("runs"))
            if path.parts[:1] == ("runs",)
            else name
        )

    update: dict[str, Any] = {"init_from": moved(recipe.init_from)}
    update["init_parts"] = {
        part: moved(file) for part, file in recipe.init_parts.items()
    }
    if recipe.distill is not None:
        teacher = {"teacher": moved(recipe.distill.teacher)}
        update["distill"] = recipe.distill.model_copy(update=teacher)
    if recipe.detector is not None:
        mine_from = {"mine_from": moved(recipe.detector.mine_from)}
        update["detector"] = recipe.detector.model_copy(update=mine_from)
    placed = recipe.model_copy(update=update)
    return placed.with_model(pruned_from=moved(recipe.model.pruned_from))


def is_done(run: PlannedRun) -> bool:
    """Return whether a run is complete, including the pruning that its recipe may ask for.

    If only the amounts to prune have changed, the network is pruned again, but not trained again.

    Raises:
        TrainError: If its folder contains a training run by another recipe.
    """
    if not run.checkpoint.exists():
        return False
    step, stored = read_progress(run.checkpoint)
    recipe = adopt_architecture(run.recipe, run.checkpoint)
    changed = changed_keys(stored, recipe)
    if changed:
        raise TrainError(
            f"{run.checkpoint} was trained with another recipe ({', '.join(changed)} "
            "differ); move it away, or give another --runs"
        )
    pruned = recipe.slim is None or is_swept(run.folder, recipe.slim)
    return step >= recipe.train.steps and pruned


def fit_budget(
    runs: Sequence[PlannedRun], minutes: float
) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """Split runs into those that fit a budget, in order, and skipped ones.

    A run that needs a skipped one is skipped, too.

    Args:
        runs: Runs that are not done, needs first.

    Raises:
        TrainError: If the duration of a run is unknown.
    """
    fitting: list[PlannedRun] = []
    skipped: list[PlannedRun] = []
    spent = 0.0
    for run in runs:
        if run.minutes is None:
            raise TrainError(
                f"{run.name}: its duration is unknown, so no budget can be applied; train it once "
                "without --budget-minutes, or state `minutes` in the study"
            )
        blocked = any(other.name in run.needs for other in skipped)
        if blocked or spent + run.minutes > minutes:
            skipped.append(run)
        else:
            fitting.append(run)
            spent += run.minutes
    return fitting, skipped


def read_minutes(folder: Path) -> dict[str, float]:
    """Return the measured minutes of a study's rows and needs."""
    path = folder / MINUTES
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
