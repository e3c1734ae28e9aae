"""The curves of a training as a picture: loss and validation error by step, from its log.csv."""

import csv
from pathlib import Path
from typing import Any

from ..atomic import atomic_path
from ..errors import TrainError, missing_extra

NME_AXIS = "NME, % of the interocular distance"


def read_log(path: Path) -> tuple[list[tuple[int, float]], dict[str, list[tuple[int, float]]]]:
    """(step, total loss) of every row of a log.csv, and (step, NME) of every validation by data set.

    Raises: TrainError where there is no such log.
    """
    if not path.is_file():
        raise TrainError(f"no log at {path}; wanted the log.csv of a training")
    losses: list[tuple[int, float]] = []
    errors: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = int(row["step"])
            losses.append((step, float(row["loss_total"])))
            for entry in row["validation"].split():
                name, _, value = entry.rpartition("=")
                errors.setdefault(name.removeprefix("nme_"), []).append((step, float(value)))
    return losses, errors


def draw_curves(folder: Path, metric: str = "nme") -> Path:
    """The path of `folder`/curves.png, drawn from `folder`/log.csv.    metric: of the task.

    Raises: TrainError where there is no log, ExtraError where matplotlib is not installed.
    """
    losses, errors = read_log(folder / "log.csv")
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    left.plot([step for step, _ in losses], [loss for _, loss in losses], color="tab:gray")
    left.set(xlabel="step", ylabel="loss", title="training loss")
    scale, unit, axis = (100, " %", NME_AXIS) if metric == "nme" else (1, "", "result")
    for name, points in errors.items():
        steps = [step for step, _ in points]
        values = [scale * value for _, value in points]
        right.plot(steps, values, marker=".", label=f"{name} ({values[-1]:.2f}{unit})")
    right.set(xlabel="step", ylabel=axis, title="validation, averaged weights")
    if errors:
        right.legend()
    path = folder / "curves.png"
    save_figure(figure, path)
    return path


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches.    Raises: ExtraError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "train") from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Writes `figure` to `path` as PNG, whole or not at all."""
    with atomic_path(path) as beside:
        figure.savefig(beside, format="png", dpi=120)
