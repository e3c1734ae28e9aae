"""Trains on one GPU, side by side, what the tables of findings need, and recipes/gpu, models of the papers' size.

Usage: python scripts/findings_gpu.py [--only START ...] [--runs DIR] [--kept DIR] [--minutes M] [--shrink S]
       [--loader N] [--data DIR] [--cache DIR]

Each run is the one that scripts/findings.py, findings_1d.py or `lineament train` and `distill` would make, in the same
folder below --runs; those scripts then print their tables from what is there. The supernet must be trained and cut
(`lineament slim recipes/cpu/hr-supernet.toml --out runs/hr-supernet`, on any machine).
--kept: a folder for what is worth keeping of each run, its averaged weights at half precision.
--minutes: what would not end by then gets fewer steps, as long as its learning rate has not fallen; the number told is
what the recipe should say then.    --shrink: divides all steps, to try it out.
"""

import argparse
import csv
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from findings import RECIPES, TABLES, before, ended
from findings_1d import TWO
from findings_cuts import LEARNING, read_cuts, run_of

from lineament.data.crop_cache import cached_size
from lineament.data.mixture import Mixture, read_mixture
from lineament.data.sample import cache_root, data_root
from lineament.recipe import Recipe, read_recipe
from lineament.training.checkpoint import save_checkpoint, student_weights
from lineament.training.registry import task_for
from lineament.training.scheduler import Run, train_together
from lineament.training.trainer import Progress, Trainer

SEEDS = (1, 2, 3)
LENGTHS = (0.25, 0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Row:
    """One run: what `lineament COMMAND RECIPE --out RUNS/FOLDER --set CHANGES` trains."""

    folder: str
    command: str
    recipe: str
    changes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    turns: int = 1
    until: float = 1.0
    """By what share of --minutes it is to end."""


def planned() -> list[Row]:
    """Everything, what others need first."""
    rows = [
        Row("teacher", "train", "cpu/teacher.toml", until=0.2),
        Row("gpu/teacher", "train", "gpu/teacher.toml", until=0.32),
        Row(
            "gpu/sd-hrnet",
            "distill",
            "gpu/sd-hrnet.toml",
            needs=("gpu/teacher",),
            turns=2,
            until=0.97,
        ),
        Row(
            "gpu/light-resnet50",
            "distill",
            "gpu/light-resnet50.toml",
            needs=("gpu/teacher",),
            until=0.97,
        ),
        Row("gpu/attentive1d", "train", "gpu/attentive1d.toml", needs=("gpu/teacher",), until=0.97),
        Row(
            "fast-taught",
            "distill",
            "fast-taught.toml",
            needs=("gpu/teacher",),
            turns=2,
            until=0.97,
        ),
        Row("s1-teacher", "train", "cpu/s1-teacher.toml", until=0.2),
    ]
    for table in ("s4", "s1"):
        recipe, lines = TABLES[table]
        teacher = before(RECIPES / "cpu" / recipe).teacher.parent.name
        for number, changes in enumerate(lines.values()):
            for seed in (
                SEEDS
            ):  # those without a teacher wait for it, too, so that all rows have the same steps
                seeded, name = (
                    (*changes, f"train.seed={seed}"),
                    f"findings/{table}-{number}-seed{seed}",
                )
                rows.append(Row(name, "distill", f"cpu/{recipe}", seeded, (teacher,), until=0.93))
    for amount, cut in read_cuts().items():
        if amount in LEARNING:
            changes, folder = run_of(cut, Path("findings"))
            rows.append(
                Row(
                    str(folder),
                    "distill",
                    f"cpu/{TABLES['s4'][0]}",
                    changes,
                    ("teacher",),
                    until=0.93,
                )
            )
    one = [(length, 0.3, 1) for length in LENGTHS]
    one += [
        (3.0, gamma, seed) for seed in SEEDS for gamma in (0.0, 0.3) if (gamma, seed) != (0.3, 1)
    ]
    for length, gamma, seed in one:
        changes = (f"model.length={length}", f"model.attention={gamma:g}", f"train.seed={seed}")
        name = f"findings-1d/one-{length:g}-{gamma:g}-seed{seed}"
        rows.append(Row(name, "train", "cpu/attentive1d.toml", changes))
    for length in (0.25, 0.5):
        changes = (*TWO, f"model.length={length}", "train.seed=1")
        rows.append(
            Row(f"findings-1d/two-{length:g}-seed1", "train", "cpu/attentive1d.toml", changes)
        )
    return rows


def below(path: str, runs: Path) -> str:
    """The path of what recipes name below runs/."""
    return str(runs / Path(path).relative_to("runs")) if path else ""


def recipe_of(row: Row, options: argparse.Namespace) -> Recipe:
    """The recipe of a run, its steps divided by --shrink; what it names below runs/ is below --runs."""
    recipe = read_recipe(RECIPES / row.recipe, row.changes)
    recipe = recipe.model_copy(update={"start": below(recipe.init_from, options.runs)})
    if recipe.distill is not None:
        teacher = below(recipe.distill.teacher, options.runs)
        recipe = recipe.model_copy(
            update={"distill": recipe.distill.model_copy(update={"teacher": teacher})}
        )
    steps = max(1, round(recipe.train.steps / options.shrink))
    train = {
        "steps": steps,
        "validate_every": steps,
        "checkpoint_minutes": 1e9,
        "threads": 0,
        "num_workers": options.loader,
    }
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=train)})


def keep(trainer: Trainer, path: Path) -> None:
    """Writes the averaged weights of a run, tables of numbers at half precision, with its recipe: a checkpoint that
    other runs start from and that exports, but not one to go on with."""
    average = student_weights(trainer.average.state)
    with trainer.place.here():
        state = {
            key: value.cpu().half() if value.ndim > 1 else value.cpu()
            for key, value in average.items()
        }
    kept: dict[str, Any] = {"average": state, "step": trainer.step, "scheme": trainer.recipe.scheme}
    save_checkpoint(path, kept | {"recipe": trainer.recipe.model_dump_json()})


class Fit:
    """Takes steps from trainings that would not end in time, asked after each round of all.

    deadlines: of each run, on the monotonic clock, and its steps a round.
    """

    def __init__(self, deadlines: dict[str, tuple[float, int]], say: Callable[[str], None]) -> None:
        self.deadlines, self.say = deadlines, say
        self.going: dict[str, Trainer] = {}
        self.marks: list[float] = []

    def __call__(self, going: Mapping[str, Trainer]) -> bool:
        """Whether there is time to go on."""
        now = time.monotonic()
        if going.keys() != self.going.keys():
            self.going, self.marks = dict(going), []
        self.marks.append(now)
        if len(self.marks) % 100 == 0:  # the first of them choose kernels
            each = (now - self.marks[-50]) / 49
            for name, trainer in going.items():
                self._fit(name, trainer, each, now)
        return now < max(deadline for deadline, _ in self.deadlines.values()) + 10

    def _fit(self, name: str, trainer: Trainer, each: float, now: float) -> None:
        deadline, turns = self.deadlines[name]
        train = trainer.recipe.train
        rounds = int((deadline - now) / each)
        steps = trainer.step + max(rounds, 1) * turns
        # a shorter training is the same until its rate first falls; but data with an `until` stay as long as planned
        falls = train.milestones[0] if train.schedule == "steps" else 0.0
        if steps < train.steps and trainer.step <= falls * steps:
            self.say(f"{name}: {steps} steps, not {train.steps}; a round takes {1e3 * each:.0f} ms")
            update = {"train": train.model_copy(update={"steps": steps})}
            trainer.recipe = trainer.recipe.model_copy(update=update)


def warm(job: tuple[Any, str, Path, Path, tuple[int, float]]) -> None:
    """Cuts the crops of one data set."""
    part, scheme, root, cache, crop = job
    read_mixture([part], scheme, root, cache, crop=crop)


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="runs whose folders begin so")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--shrink", type=float, default=1.0)
    parser.add_argument(
        "--loader", type=int, default=2, help="processes that make crops, for each set of them"
    )
    parser.add_argument("--data")
    parser.add_argument("--cache")
    options = parser.parse_args()
    rows = [row for row in planned() if row.folder.startswith(tuple(options.only))]
    recipes = {row.folder: recipe_of(row, options) for row in rows}
    rows = [
        row
        for row in rows
        if not ended(options.runs / row.folder / "checkpoint.pt", recipes[row.folder])
    ]
    recipes = {row.folder: recipes[row.folder] for row in rows}
    root, cache = data_root(options.data), cache_root(options.cache)

    def say(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)

    say(
        f"{len(rows)} runs, {torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'}"
    )
    jobs = {}
    for recipe in recipes.values():
        crop = recipe.model.size, recipe.model.padding
        whole = [part.model_copy(update={"until": 1.0}) for part in recipe.data]
        jobs |= {
            (p.reader, p.folder, cached_size(*crop)): (p, recipe.scheme, root, cache, crop)
            for p in whole
        }
    with ProcessPoolExecutor() as pool:
        list(pool.map(warm, jobs.values()))
    say("crops are cut")

    def as_run(row: Row) -> Run:
        folder = options.runs / row.folder

        def make(read: Callable[..., Mixture]) -> Trainer:
            return Trainer(
                task_for(recipes[row.folder], row.command), folder, root, cache, read=read
            )

        def after(trainer: Trainer) -> None:
            validation = read_last(folder)
            say(f"{row.folder}: {trainer.step} steps, validation {validation}")
            if options.kept:
                keep(trainer, options.kept / row.folder / "checkpoint.pt")

        return Run(
            row.folder, make, tuple(need for need in row.needs if need in recipes), after, row.turns
        )

    told = time.monotonic()
    steps: dict[str, Progress] = {}

    def report(name: str, progress: Progress) -> None:
        nonlocal told
        steps[name] = progress
        if time.monotonic() - told > 15:
            told = time.monotonic()
            say(
                "  ".join(
                    f"{name} {p.step}/{p.steps} {p.loss:.3f}"
                    for name, p in steps.items()
                    if p.step < p.steps
                )
            )

    fit = Fit(
        {row.folder: (started + 60 * options.minutes * row.use_until, row.turns) for row in rows},
        say,
    )
    done = train_together(
        [as_run(row) for row in rows],
        report,
        lambda name, error: say(f"{name} FAILED: {type(error).__name__}: {error}"),
        fit,
    )
    for name, trainer in fit.going.items():
        say(f"{name}: not ended, {trainer.step} of {trainer.recipe.train.steps} steps")
        if options.kept:
            keep(trainer, options.kept / "unfinished" / name / "checkpoint.pt")
    say(f"{len(done)} of {len(rows)} runs ended")


def read_last(folder: Path) -> str:
    """What the log of a run says of its validation, last."""
    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[-1]["validation"]


if __name__ == "__main__":
    main()
