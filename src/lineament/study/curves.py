"""Curves of a study: loss and results by step, one line per row over all its seeds."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..errors import RecipeError, did_you_mean
from ..geometry import Array
from ..training.curves import new_figure, read_log, save_figure
from .settings import Study

LOSS = "loss"
"""Name of the training loss; other curves are results in the log."""
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")
Checkpoints = Mapping[str, Mapping[int, Path]]
"""Checkpoints by row and seed."""


def draw_study_curves(study: Study, rows: Checkpoints, page: Path) -> list[str]:
    """Draw each of the study's curves next to `page`; return Markdown for the images.

    Raises:
        RecipeError: If a log has no such result.
        TrainError: If a run has no log.
        ExtraError: If matplotlib is not installed.
    """
    images = []
    for name in study.curves:
        path = page.with_name(f"{page.stem}-{name}.png")
        _draw(name, rows, path)
        images.append(f"![{curve_title(name)} by step]({path.name})")
    return images


def _draw(name: str, rows: Checkpoints, path: Path) -> None:
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for color, row in zip(_colors(), rows, strict=False):
        curves = []
        for checkpoint in rows[row].values():
            if checkpoint.exists():
                curves.append(run_curve(checkpoint.with_name("log.csv"), name))
        for curve in curves:
            axes.plot(*curve, color=color, alpha=0.25, linewidth=0.8)
        if curves:
            axes.plot(*mean_curve(curves), color=color, label=row)
    axes.set(xlabel="step", ylabel=curve_title(name))
    if axes.lines:
        axes.legend()
    save_figure(figure, path)


def _colors() -> Iterator[str]:
    while True:
        yield from COLORS


def curve_title(name: str) -> str:
    """Return the title of a curve."""
    return "training loss" if name == LOSS else name.replace("_", " ")


def run_curve(log: Path, name: str) -> Array:
    """Return steps and values (2, K) of the curve called `name` in a log.csv.

    Raises:
        RecipeError: If the log has no such result.
    """
    losses, results = read_log(log)
    if name == LOSS:
        return np.array(losses, np.float64).T
    if name not in results:
        raise RecipeError(
            f"{log} has no {name!r}; {did_you_mean(name, [LOSS, *results])}"
        )
    return np.array(results[name], np.float64).T


def mean_curve(curves: list[Array]) -> Array:
    """Return steps and mean values (2, K) of curves, truncated to the shortest."""
    length = min(curve.shape[1] for curve in curves)
    values = np.stack([curve[1, :length] for curve in curves])
    return np.stack([curves[0][0, :length], values.mean(0)])
