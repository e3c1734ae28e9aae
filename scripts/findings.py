"""Sees the findings of the distillation papers again: trains every row of a table with several seeds and prints it.

Usage: python scripts/findings.py s1|s4 [--scale cpu|paper] [--seeds 1 2 3] [--out DIR] [--final] [--data DIR]
       [--cache DIR]

What a table needs before, its teacher and the cut supernet, is trained first, below runs/. Runs that are done are kept
and a killed one goes on, so the command may be given again and again. The table's figures are of the averaged weights
on the validation faces, mean and median, as a face or two that are wholly missed move the mean by a tenth of itself,
and the mean of the same faces made harder: turned, blurred, half of them with something in front.
--final adds 300W common, and its protocol with half of each face hidden, of exported fp32 files.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, median, stdev
from typing import NamedTuple

import numpy as np
import torch

from lineament.data.crop_cache import plain_landmarks
from lineament.data.mixture import read_mixture
from lineament.data.readers.registry import read_data
from lineament.data.sample import cache_root, data_root
from lineament.data.training_crops import Source, TrainingCrops
from lineament.evaluation.evaluate import evaluate
from lineament.evaluation.protocols import protocol
from lineament.export.export import export_checkpoint
from lineament.inference.predictor import Predictor
from lineament.recipe import Augmentation, Recipe, read_recipe
from lineament.training.build import adopt_architecture, load_trained, read_trained
from lineament.training.curves import read_log
from lineament.training.resume import changed_keys
from lineament.training.validate import interocular_nmes, predict_plain

RECIPES = Path(__file__).parents[1] / "recipes"
FINAL = ("300w-common", "300w-common-masked")
HARDER = Augmentation(
    rotation_deg=13,
    wild_rotation=0.5,
    wild_rotation_deg=45,
    scale=0.08,
    shift=0.04,
    blur=0.1,
    jpeg=0.1,
    occlusion=0.5,
)
"""How validation faces are made harder."""
DRAWS = 3
"""So often each of them."""
# each row: its name, and what it changes in the recipe of the table
TABLES: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "s1": (
        "light-resnet50.toml",
        {
            "student alone": ("distill.teacher=", "distill.pixel_wise=0.0", "distill.pair_wise=0.0"),
            "+ pixel": ("distill.pair_wise=0.0",),
            "+ pair": ("distill.pixel_wise=0.0",),
            "+ both": (),
        },
    ),
    "s4": (
        "sd-hrnet.toml",
        {
            "no distillation": (
                "distill.teacher=", "distill.heatmap_kl=0.0", "distill.peer_kl=0.0", "distill.students=1",
                "distill.hidden=0.0",
            ),
            "+ teacher": ("distill.peer_kl=0.0", "distill.students=1", "distill.hidden=0.0"),
            "+ peers": ("distill.hidden=0.0",),
            "+ masked inputs": (),
        },
    ),
}  # fmt: skip


class Before(NamedTuple):
    """The checkpoints that a recipe names: each is of a run whose recipe is called as its folder."""

    teacher: Path
    start: Path | None
    """A cut of the supernet."""


def before(recipe: Path) -> Before:
    """What is to be trained before `recipe`."""
    told = read_recipe(recipe)
    assert told.distill is not None
    return Before(Path(told.distill.teacher), Path(told.start) if told.start else None)


CUT = before(RECIPES / "cpu" / TABLES["s4"][0]).start


def train(
    command: str, recipe: Path, changes: tuple[str, ...], folder: Path, options: argparse.Namespace
) -> Path:
    """The checkpoint of one run, trained to its end; what is done is not done again, and another recipe is refused."""
    checkpoint = folder / "checkpoint.pt"
    if command != "slim" and ended(checkpoint, read_recipe(recipe, changes)):
        return checkpoint
    words = [sys.executable, "-m", "lineament", command, str(recipe), "--out", str(folder)]
    for change in changes:
        words += ["--set", change]
    for name in ("data", "cache"):
        if getattr(options, name):
            words += [f"--{name}", getattr(options, name)]
    done = subprocess.run([*words, *(["--resume"] if checkpoint.exists() else [])], check=False)
    if done.returncode:
        sys.exit(f"findings: {' '.join(words[2:])} failed; its message stands above")
    return checkpoint


def ended(checkpoint: Path, recipe: Recipe) -> bool:
    """Whether all steps of `recipe` are done: such a checkpoint may hold no more than the weights."""
    if not checkpoint.exists():
        return False
    state = read_trained(checkpoint)[0]
    wanted = adopt_architecture(recipe, checkpoint)
    if state["step"] < wanted.train.steps:
        return False
    changed = changed_keys(json.loads(state["recipe"]), wanted)
    if changed:
        sys.exit(
            f"findings: {checkpoint} was trained by another recipe ({', '.join(changed)} differ); move it away"
        )
    return True


@torch.no_grad()
def validation(checkpoint: Path, options: argparse.Namespace) -> list[float]:
    """NME of the run's averaged weights on the 300W faces held back: mean, median, and mean of them made harder."""
    model, recipe = load_trained(checkpoint)
    places, crop = (
        (data_root(options.data), cache_root(options.cache)),
        (recipe.model.size, recipe.model.padding),
    )
    validation_faces = read_mixture(recipe.data, recipe.scheme, *places, crop=crop)[1]["300w"]
    found, _ = predict_plain(model, validation_faces, recipe.model.padding)
    nmes = interocular_nmes(
        found, plain_landmarks(validation_faces, model.size, recipe.model.padding), recipe.scheme
    )
    hard = TrainingCrops(
        [Source(validation_faces)], recipe.scheme, model.size, recipe.model.padding, HARDER, 0
    )
    made = [
        hard.make(0, draw, 0, face)
        for draw, face in enumerate(list(range(len(validation_faces))) * DRAWS)
    ]
    hard_found = [
        model(torch.from_numpy(each["crops"][None])).landmarks[0].numpy() for each in made
    ]
    harder = interocular_nmes(
        np.stack(hard_found), np.stack([each["landmarks"] for each in made]), recipe.scheme
    )
    return [float(nmes.mean()), float(median(nmes.tolist())), float(harder.mean())]


def last_validation(folder: Path) -> float:
    """The NME on the 300W faces held back, at the end of the run."""
    return read_log(folder / "log.csv")[1]["300w"][-1][1]


def exported(checkpoint: Path, options: argparse.Namespace, name: str = "final") -> Path:
    """The ONNX file `name` of a checkpoint, with its card beside it; made anew where the checkpoint is newer.

    name: int8 is quantized.    Raises: ExportError where the export gate refuses it.
    """
    path = checkpoint.with_name(f"{name}.onnx")
    if not path.exists() or path.stat().st_mtime < checkpoint.stat().st_mtime:
        places = data_root(options.data), cache_root(options.cache)
        export_checkpoint(checkpoint, checkpoint.parent, name, name == "int8", *places)
    return path


def final_figures(checkpoint: Path, options: argparse.Namespace) -> list[float]:
    """The NME of the run under the protocols of FINAL."""
    predictor = Predictor(exported(checkpoint, options), threads=1)
    figures = []
    for which in FINAL:
        fixed = protocol(which)
        figures.append(
            evaluate(
                predictor, which, read_data(fixed.data, data_root(options.data), fixed.part)
            ).nme
        )
    return figures


def spread(values: list[float]) -> str:
    """Mean and standard deviation in percent."""
    deviation = f" ± {100 * stdev(values):.3f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.3f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--scale", choices=("cpu", "paper"), default="cpu")
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for the rows; findings, beside what they need, by default",
    )
    parser.add_argument("--final", action="store_true")
    parser.add_argument("--data")
    parser.add_argument("--cache")
    options = parser.parse_args()
    recipe, rows = TABLES[options.table]
    recipes, runs = (
        RECIPES / options.scale,
        Path("runs") if options.scale == "cpu" else Path("runs") / options.scale,
    )
    teacher, start = before(recipes / recipe)
    train("train", recipes / f"{teacher.parent.name}.toml", (), teacher.parent, options)
    if start is not None:
        slimmed = start.parents[1]
        if not (slimmed / "pareto.csv").exists():
            train("slim", recipes / f"{slimmed.name}.toml", (), slimmed, options)
    found: dict[str, list[list[float]]] = {row: [] for row in rows}
    for seed in options.seeds:  # a whole table of one seed is worth more than one row of all seeds
        for number, (row, changes) in enumerate(rows.items()):
            folder = (options.out or runs / "findings") / f"{options.table}-{number}-seed{seed}"
            checkpoint = train(
                "distill", recipes / recipe, (*changes, f"train.seed={seed}"), folder, options
            )
            figures = validation(checkpoint, options) + (
                final_figures(checkpoint, options) if options.final else []
            )
            found[row].append(figures)
            print(
                f"{row}, seed {seed}: " + "  ".join(f"{100 * figure:.3f} %" for figure in figures),
                flush=True,
            )
    head = [
        "row",
        "validation NME %",
        "its median",
        "made harder",
        *(FINAL if options.final else ()),
    ]
    print("\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row, runs in found.items():
        print(
            f"| {row} | "
            + " | ".join(spread(list(column)) for column in zip(*runs, strict=True))
            + " |"
        )


if __name__ == "__main__":
    main()
