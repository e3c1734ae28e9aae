"""Commands `train`, `distill`, `slim` and `refine`: train a model from a recipe."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, require_torch, show, show_table
from .options import (
    Cache,
    Category,
    Data,
    Group,
    Pictures,
    PointScheme,
    folder_path,
    own_data,
)
from .train_own import export_own, is_recipe, run_name, write_recipe

if TYPE_CHECKING:
    from ..recipe import Recipe
    from ..study.prune_sweep import PrunedNetwork
    from ..training.log import Progress
    from ..training.trainer import Trainer

RecipePath = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE.toml",
        help="A recipe; for distill, slim and refine, it needs a table of that name.",
    ),
]
RecipeOrFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE.toml|FOLDER",
        help="A recipe; or a folder of annotated images or an annotation file, for "
        "which a recipe is generated.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a recipe key, e.g. train.steps=100; repeatable.",
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the run; default: runs/<name of the recipe>.",
        callback=folder_path,
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted run in its folder.")
]
REPORT_EVERY_S = 60.0
BEFORE = "before.json"
"""File in a run folder with the errors on validation faces for the initial weights."""
PRUNED_HEAD = (
    "amount",
    "kept",
    "M parameters",
    "M multiply-adds",
    "ms",
    "validation NME %",
    "ms int8",
    "NME % int8",
)


@app.command()
def train(
    recipe: RecipeOrFolder,
    changes: Changes = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
    scheme: PointScheme = "",
    category: Category = "",
    pictures: Pictures = None,
    group: Group = "",
) -> None:
    """Train a landmark model or a face detector from a recipe.

    With init_from, training starts from a checkpoint, or from weights in teachers/ by name,
    e.g. --set init_from=fast. Checkpoints, log and curves are written to the run's folder.
    --resume continues an interrupted run, with the result of an uninterrupted one.

    Given annotated images instead of a recipe, the command first writes a recipe.toml
    with their format and points to the run's folder. The number of steps depends on the
    number of faces; with fewer than 2,000 faces, training starts from the weights of
    `fast`. The command then prints the recipe, trains, and exports the model as ONNX.
    """
    states = scheme or category or pictures or group
    if is_recipe(recipe):
        if states:
            raise typer.BadParameter(
                "--scheme, --category, --pictures and --group describe a FOLDER; in a "
                "recipe, set these keys of [[data]]"
            )
        checkpoint, settings = _train(
            "train", recipe, changes, out, resume, data, cache
        )
        _show_next(checkpoint, settings.name)
        return
    require_torch()
    folder = out or Path("runs") / run_name(recipe)
    own = own_data(scheme, category, pictures, group)
    written = write_recipe(recipe, folder, resume, own)
    # paths in the recipe are absolute, so any existing folder can be the data root
    root = data or folder
    checkpoint, _ = _train("train", written, changes, folder, resume, root, cache)
    export_own(checkpoint, root, cache)


@app.command()
def distill(
    recipe: RecipePath,
    changes: Changes = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Distill a small model from a teacher or from peers.

    The teacher is a checkpoint, the name of weights in teachers/ or, if only its landmarks
    are needed, an .onnx file. A teacher whose outputs cannot be compared with the student's
    is rejected before training starts. Checkpoints, log and --resume work as in train.
    """
    checkpoint, settings = _train("distill", recipe, changes, out, resume, data, cache)
    _show_next(checkpoint, settings.name)


@app.command()
def slim(
    recipe: RecipePath,
    changes: Changes = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Train a network, then prune it to several sizes.

    A supernet is pruned by thresholds on its importance factors, any other network by
    fractions of its channels. Each pruned network has a checkpoint and ONNX files, fp32
    and int8; the table of sizes, times and errors is printed and written to the run's
    folder with a plot. Fine-tune pruned networks with train or distill.
    """
    require_torch()
    from ..data.sample import cache_root, data_root
    from ..study.prune_sweep import sweep

    checkpoint, settings = _train("slim", recipe, changes, out, resume, data, cache)
    if not _is_main_process():
        return
    assert settings.slim is not None  # checked by its task
    pruned = sweep(
        checkpoint,
        checkpoint.parent,
        settings.slim,
        data_root(data),
        cache_root(cache),
        note,
    )
    _show_pruned(pruned)


def _show_pruned(pruned: "Sequence[PrunedNetwork]") -> None:
    """Print the pruned networks, and how to fine-tune the first one."""
    rows = []
    for network in pruned:
        rows.append(
            [
                f"{network.amount:g}",
                network.kept,
                f"{network.parameters / 1e6:.3f}",
                f"{network.multiply_adds / 1e6:.0f}",
                _number(network.milliseconds, 2),
                _number(100 * network.nme, 3),
                _number(network.milliseconds_int8, 2),
                _number(100 * network.nme_int8, 3),
            ]
        )
    show_table(PRUNED_HEAD, rows)
    first = pruned[min(1, len(pruned) - 1)].checkpoint
    note(f"next: lineament distill or train a recipe with --set init_from={first}")


def _number(value: float, digits: int) -> str:
    """Return a number as text, "-" for nan."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


@app.command()
def refine(
    recipe: RecipePath,
    changes: Changes = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Train a model that refines landmarks over video frames.

    It refines each frame's heatmaps with those of previous frames. The recipe starts
    from a trained model with 1D heatmaps, which is frozen. Clips are synthesized from
    the recipe's faces and taken from unlabeled videos. In `lineament track`, the
    exported model keeps a recurrent state per face. Checkpoints, log and --resume work
    as in train.
    """
    checkpoint, settings = _train("refine", recipe, changes, out, resume, data, cache)
    _show_next(checkpoint, settings.name)


def _train(
    kind: str,
    recipe: Path,
    changes: list[str] | None,
    out: Path | None,
    resume: bool,
    data: Path | None,
    cache: Path | None,
) -> "tuple[Path, Recipe]":
    """Run the task called `kind`; return the final checkpoint and the recipe."""
    require_torch()
    from ..data.sample import cache_root, data_root
    from ..models.registry import KINDS
    from ..recipe.file import read_recipe
    from ..training.registry import make_trainer
    from ..training.trainer import Trainer

    settings = read_recipe(recipe, changes or ())
    folder = out or Path("runs") / settings.name
    arguments = folder, data_root(data), cache_root(cache)
    trainer = make_trainer(settings, *arguments, resume, note, kind=kind)
    before = {}
    known = KINDS.get(settings.kind)
    is_plain = kind == "train" and known is not None and known.task == "landmarks"
    if is_plain and isinstance(trainer, Trainer):
        before = _errors_before(trainer, folder, resume)
    with training_report(settings.train.steps) as report:
        checkpoint = trainer.run(report)
    if before and isinstance(trainer, Trainer):
        _show_changes(before, trainer.face_errors())
    return checkpoint, settings


def _errors_before(
    trainer: "Trainer", folder: Path, resume: bool
) -> dict[str, list[float]]:
    """Return the errors on validation faces with the initial weights, if they are pretrained.

    They are stored in the run folder, for resumed runs.
    """
    from ..atomic import write_text

    path = folder / BEFORE
    errors: dict[str, list[float]] = {}
    if not _is_main_process():
        return errors
    if resume and path.is_file():
        errors = json.loads(path.read_text(encoding="utf-8"))
    elif not resume and trainer.task.starts_trained():
        errors = trainer.face_errors()
        write_text(path, json.dumps(errors))
    return errors


def _show_changes(
    before: dict[str, list[float]], after: dict[str, list[float]]
) -> None:
    """Print the errors on validation faces before and after, and whether they differ."""
    from ..training.before_after import WORSE, changes

    found = changes(before, after)
    rows = []
    for each in found:
        errors = [f"{100 * each.before:.3f}", f"{100 * each.after:.3f}"]
        rows.append([each.name, str(each.faces), *errors, each.verdict])
    show_table(("validation", "faces", "before %", "after %", ""), rows)
    worse = [each.name for each in found if each.verdict == WORSE]
    if worse:
        note(
            f"worse on {', '.join(worse)}: keep the initial weights, lower train.lr, "
            "or raise repeat for that data"
        )


def _is_main_process() -> bool:
    """Return True for the process of a torch launch that prints and writes files."""
    return os.environ.get("RANK", "0") == "0"


def _show_next(checkpoint: Path, name: str) -> None:
    if _is_main_process():
        show(f"{checkpoint}")
        note(f"next: lineament export {checkpoint} --name {name}")


@contextmanager
def training_report(steps: int) -> "Iterator[Callable[[Progress], None]]":
    """Yield a progress callback: a live bar on a terminal, otherwise one line per minute."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
    )
    last_report_s = 0.0
    with Bar(
        *columns,
        console=console,
        redirect_stdout=False,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("training", total=steps, state="starting")

        def report(progress: "Progress") -> None:
            nonlocal last_report_s
            bar.update(task, completed=progress.step, state=_state(progress))
            line = f"step {progress.step}/{progress.steps}  {_state(progress)}"
            if progress.validation:
                line += f"  {progress.results()}"
                bar.console.print(line, highlight=False, soft_wrap=True)
            elif (
                not console.is_terminal
                and time.monotonic() - last_report_s > REPORT_EVERY_S
            ):
                note(line)
                last_report_s = time.monotonic()

        yield report


def _state(progress: "Progress") -> str:
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02} left"
    return f"loss {progress.loss:.4f}  {progress.faces_per_second:.0f} faces/s  {left}"
