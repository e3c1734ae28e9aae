"""label, train, distill, slim, export: pictures -> labels; recipe -> checkpoint -> ONNX file."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, progress_bar, show, show_table
from .faces import Flip, ModelName, list_failures

if TYPE_CHECKING:
    from ..recipe import Recipe
    from ..training.trainer import Progress

Data = Annotated[
    Path | None, typer.Option(help="The data sets' folder; $LINEAMENT_DATA, else data.")
]
Cache = Annotated[
    Path | None, typer.Option(help="A folder for prepared crops; the user's cache by default.")
]


@app.command()
def label(
    paths: Annotated[
        list[str], typer.Argument(help="Pictures, videos, or folders of them.", metavar="PATH")
    ],
    out: Annotated[Path, typer.Option(help="The folder for the crops and their .pts files.")],
    model: ModelName = "accurate",
    flip: Flip = False,
    every: Annotated[
        int, typer.Option(min=1, help="Of a video, take each frame whose number is a multiple.")
    ] = 10,
) -> None:
    """Label the faces of pictures and videos by a model, to train on.

    Each sure face becomes a crop and a .pts file, which a recipe reads with reader = "folder"; points the model is not
    sure of are nan and carry no weight. Check on validation faces whether training on them pays.
    """
    from ..errors import InputError
    from ..inference.predictor import Predictor
    from ..io.result_folder import Failure
    from ..labeling.pseudo_labels import LabelThresholds, find_media, write_labels

    files, predictor, limits = find_media(paths), Predictor(model, flip=flip), LabelThresholds()
    failures, count = [], 0
    with progress_bar("files", len(files)) as step:
        for path, place in files.items():
            try:
                count += write_labels(predictor, path, out / place, limits, every)
            except InputError as error:
                failures.append(Failure(str(path), str(error)))
            step()
    note(f"{count} faces of {len(files)} files -> {out}")
    list_failures(failures, len(files))


Set = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Change a key, as TOML; may be repeated: train.steps=100, data.0.repeat=2.",
    ),
]
RunFolder = Annotated[Path | None, typer.Option(help="The run's folder; runs/<name> by default.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoint in the run's folder.")
]


@app.command()
def train(
    recipe: Annotated[
        Path, typer.Argument(help="A TOML file; see recipes/.", metavar="RECIPE.toml")
    ],
    set: Set = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Train a landmark model, or a face detector, by a recipe.

    Checkpoints, the log and the curves go to the run's folder. A run that was killed goes on with --resume and gives
    what the unbroken run would have given.
    """
    checkpoint, settings = _train("train", recipe, set, out, resume, data, cache)
    _say_next(checkpoint, settings.name)


@app.command()
def distill(
    recipe: Annotated[
        Path, typer.Argument(help="A TOML file with a [distill] part.", metavar="RECIPE.toml")
    ],
    set: Set = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Train a small landmark model by a recipe, from the truth and from what a teacher or its peers say.

    The teacher is a checkpoint or, for its landmarks alone, an .onnx file. What teacher and student cannot be compared
    by is refused before training starts. Otherwise as train.
    """
    checkpoint, settings = _train("distill", recipe, set, out, resume, data, cache)
    _say_next(checkpoint, settings.name)


@app.command()
def slim(
    recipe: Annotated[
        Path, typer.Argument(help="A TOML file with a [slim] part.", metavar="RECIPE.toml")
    ],
    set: Set = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Train a network, then cut it: a supernet at thresholds of its factors, any other by shares of its channels.

    Each cut is a smaller network with its checkpoint and its ONNX file; the table of size, time and error is printed
    and lies in the run's folder with a plot. Cut networks go on learning with train or distill.
    """
    _need_torch()
    from ..data.sample import cache_root, data_root
    from ..study.prune_sweep import sweep

    checkpoint, settings = _train("slim", recipe, set, out, resume, data, cache)
    if not _speaks():
        return
    assert settings.slim is not None  # or its task had refused it
    cuts = sweep(
        checkpoint, checkpoint.parent, settings.slim, data_root(data), cache_root(cache), note
    )
    rows = [
        [
            f"{cut.amount:g}",
            cut.what,
            f"{cut.parameters / 1e6:.3f}",
            f"{cut.multiply_adds / 1e6:.0f}",
            f"{cut.milliseconds:.2f}",
            f"{100 * cut.nme:.3f}",
            f"{cut.milliseconds_int8:.2f}",
            f"{100 * cut.nme_int8:.3f}",
        ]
        for cut in cuts
    ]
    show_table(
        [
            "cut",
            "what stayed",
            "M parameters",
            "M multiply-adds",
            "ms",
            "validation NME %",
            "ms int8",
            "NME % int8",
        ],
        rows,
    )
    note(
        f"next: lineament distill or train a recipe with --set init_from={cuts[min(1, len(cuts) - 1)].checkpoint}"
    )


@app.command()
def refine(
    recipe: Annotated[
        Path, typer.Argument(help="A TOML file with a [refine] part.", metavar="RECIPE.toml")
    ],
    set: Set = None,
    out: RunFolder = None,
    resume: Resume = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Train a tracker on clips: a detector's heatmaps, refined by those of the frames before.

    The recipe's start is a trained detector with heatmaps along axes; it learns no more. Clips are made of the
    recipe's faces and taken from unlabelled videos. The exported model remembers from frame to frame in lineament
    track. Otherwise as train.
    """
    checkpoint, settings = _train("refine", recipe, set, out, resume, data, cache)
    _say_next(checkpoint, settings.name)


def _train(
    kind: str,
    recipe: Path,
    changes: list[str] | None,
    out: Path | None,
    resume: bool,
    data: Path | None,
    cache: Path | None,
) -> "tuple[Path, Recipe]":
    """Train by `recipe` the task called `kind`; return the run's checkpoint and the recipe."""
    _need_torch()
    from ..data.sample import cache_root, data_root
    from ..recipe import read_recipe
    from ..training.registry import task_for
    from ..training.trainer import Trainer

    settings = read_recipe(recipe, changes or ())
    folder = out or Path("runs") / settings.name
    task = task_for(settings, kind)
    trainer = Trainer(task, folder, data_root(data), cache_root(cache), resume, note)
    with _training_report(settings.train.steps) as report:
        return trainer.run(report), settings


def _speaks() -> bool:
    """Whether this is the one, of several processes that torch's launcher started, that prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def _say_next(checkpoint: Path, name: str) -> None:
    if _speaks():
        show(f"{checkpoint}")
        note(f"next: lineament export {checkpoint} --name {name}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint.pt of a run.")],
    out: Annotated[Path, typer.Option(help="The folder for the .onnx file and its card.")] = Path(),
    name: Annotated[
        str | None, typer.Option(help="What the model is called; the recipe's name by default.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8 bits, calibrated on training faces.")
    ] = False,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Write a trained model as ONNX, with its card beside it.

    Nothing is written where the file's landmarks move more than a stated bound from the trained model's.
    """
    _need_torch()
    from ..data.sample import cache_root, data_root
    from ..export.registry import export_trained
    from ..training.build import read_trained

    called = name or read_trained(checkpoint)[1].name
    card = export_trained(checkpoint, out, called, int8, data_root(data), cache_root(cache))
    gate = "  ".join(f"{key} {value}" for key, value in card["gate"].items())
    show(f"{out / called}.onnx  {card['bytes'] / 1e6:.1f} MB  {card['precision']}  {gate}")


def _need_torch() -> None:
    from ..errors import missing_extra

    if find_spec("torch") is None:
        raise missing_extra("torch", "train")


@contextmanager
def _training_report(steps: int) -> "Iterator[Callable[[Progress], None]]":
    """Gives the callback that shows a training: a live bar on a terminal, else a line a minute, on standard error."""
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
    told = 0.0
    with Bar(
        *columns, console=console, redirect_stdout=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("training", total=steps, state="starting")

        def report(progress: "Progress") -> None:
            nonlocal told
            bar.update(task, completed=progress.step, state=_state(progress))
            line = f"step {progress.step}/{progress.steps}  {_state(progress)}"
            if progress.validation:
                line = f"{line}  {progress.results()}"
                bar.console.print(line, highlight=False, soft_wrap=True)
            elif not console.is_terminal and time.monotonic() - told > 60:
                note(line)
                told = time.monotonic()

        yield report


def _state(progress: "Progress") -> str:
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02} left"
    return f"loss {progress.loss:.4f}  {progress.faces_per_second:.0f} faces/s  {left}"
