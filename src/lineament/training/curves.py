"""Plot loss and validation error of a training run by step, from its log.csv."""

import csv
from pathlib import Path
from typing import Any

from ..atomic import atomic_path
from ..errors import TrainError, missing_extra
from .log import RATES

Curve = list[tuple[int, float]]
"""Values by step."""
NME_AXIS = "NME, % of the interocular distance"


def read_log(path: Path) -> tuple[Curve, dict[str, Curve]]:
    """Return the total loss in every row of a log.csv, and the validation results by data set.

    Raises:
        TrainError: If there is no such log.
    """
    if not path.is_file():
        raise TrainError(f"no log at {path}; expected the log.csv of a training run")
    losses: Curve = []
    errors: dict[str, Curve] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = int(row["step"])
            losses.append((step, float(row["loss_total"])))
            for entry in row["validation"].split():
                name, _, value = entry.rpartition("=")
                errors.setdefault(name.removeprefix("nme_"), []).append(
                    (step, float(value))
                )
    return losses, errors


def draw_curves(folder: Path, metric: str = "nme") -> Path:
    """Draw `folder`/log.csv, with results of the task's `metric`, into `folder`/curves.png.

    Returns:
        Path of the image.

    Raises:
        TrainError: If there is no log.
        ExtraError: If matplotlib is not installed.
    """
    losses, errors = read_log(folder / "log.csv")
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*losses, strict=True), color="tab:gray")
    left.set(xlabel="step", ylabel="loss", title="training loss")
    scale, unit, axis = (100, " %", NME_AXIS) if metric == "nme" else (1, "", "result")
    for name, curve in errors.items():
        if name in RATES:
            continue
        steps, values = zip(*curve, strict=True)
        scaled = [scale * value for value in values]
        right.plot(steps, scaled, marker=".", label=f"{name} ({scaled[-1]:.2f}{unit})")
    right.set(xlabel="step", ylabel=axis, title="validation, averaged weights")
    if errors:
        right.legend()
    path = folder / "curves.png"
    save_figure(figure, path)
    return path


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure; sizes in inches.

    Raises:
        ExtraError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "train") from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write `figure` to `path` as PNG, atomically; create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
