"""Measure faces per second of the loader and of training: python -m bench.loader RECIPE.toml"""

import argparse
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lineament.data.sample import cache_root, data_root
from lineament.recipe.file import read_recipe
from lineament.training.loader import make_loader
from lineament.training.parallel import ProcessGroup
from lineament.training.registry import task_for
from lineament.training.task import Samples
from lineament.training.trainer import Progress, Trainer


class Enough(Exception):
    """Raised when the time is up."""


def loader_speed(trainer: Trainer, seconds: float) -> float:
    """Return faces per second of the loader of `trainer`'s recipe on an idle machine."""
    train = trainer.recipe.train
    batches: Iterator[Any] = iter(
        make_loader(trainer.samples, train, 0, ProcessGroup())
    )
    # first consume more batches than the loader prefetches, which would distort the speed
    for _ in range(1 + 8 * max(train.num_workers, 1)):
        next(batches)
    faces, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        faces += len(next(batches))
    return faces / (time.perf_counter() - start)


def one_core_speed(samples: Samples, seconds: float) -> float:
    """Return the faces per second that one process augments."""
    order = samples.order(0, 0.0)
    faces, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        source, face = order[faces % len(order)]
        samples.make(0, faces, int(source), int(face))
        faces += 1
    return faces / (time.perf_counter() - start)


def training_speed(trainer: Trainer, seconds: float) -> float:
    """Return the faces per second of training, excluding the first steps."""
    marks: list[tuple[float, int]] = []
    average = trainer.average.update

    def update(step: int) -> None:
        average(step)
        marks.append((time.perf_counter(), step))
        if len(marks) > 5 and marks[-1][0] - marks[4][0] > seconds:
            raise Enough

    trainer.average.update = update  # type: ignore[method-assign]
    with contextlib.suppress(Enough):
        trainer.run(_silent)
    (start, first), (end, last) = marks[4], marks[-1]
    return trainer.recipe.train.batch * (last - first) / (end - start)


def _silent(progress: Progress) -> None:
    """Ignore the progress of training."""


def main() -> None:
    """Parse the options, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="duration of each measurement"
    )
    parser.add_argument(
        "--data", help="folder of the data sets; default: LINEAMENT_DATA, else data"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder of cached crops; default: the user's cache folder",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting, repeatable",
    )
    options = parser.parse_args()
    # intervals so long that no validation or checkpoint interrupts
    rest = [
        "train.validate_every=1000000",
        "train.checkpoint_minutes=1000",
        "train.steps=1000000",
    ]
    recipe = read_recipe(options.recipe, [*options.set, *rest])
    folder = Path(tempfile.mkdtemp(prefix="lineament-loader-"))
    try:
        trainer = Trainer(
            task_for(recipe),
            folder,
            data_root(options.data),
            cache_root(options.cache),
            note=print,
        )
        train = recipe.train
        print(f"{recipe.name}: {recipe.model.size} px crops, batch {train.batch}")
        speed = one_core_speed(trainer.samples, options.seconds)
        print(f"augmentation, one process     {speed:8.1f} faces/s")
        speed = loader_speed(trainer, options.seconds)
        print(f"loader, {train.num_workers} process(es)        {speed:8.1f} faces/s")
        speed = training_speed(trainer, options.seconds)
        print(f"training                      {speed:8.1f} faces/s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
