"""A trained supernet cut at several thresholds: a checkpoint, an ONNX file and a picture each, and a table of all.

Stands on slim.py and export.py.
"""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import RecipeError, missing_extra
from ..models.hr_supernet import WIDTHS, FusionBlock, HRSuperNet, format_layout
from ..models.landmark_net import LandmarkNet
from ..speed import time_file
from .build import load_trained
from .checkpoint import load_checkpoint, save_checkpoint
from .export import export_checkpoint
from .recipe import Recipe
from .slim import Layout, slimmed, surviving

BACKBONE = "backbone."


@dataclass(frozen=True)
class Cut:
    """One slimmed network."""

    threshold: float
    blocks: int
    transforms: int
    parameters: int
    multiply_adds: int
    milliseconds: float
    """One crop on one thread, the least of many."""
    nme: float
    """On the validation faces, a fraction, before any further training."""
    checkpoint: str


def sweep(
    checkpoint: Path,
    folder: Path,
    thresholds: Sequence[float],
    data_root: Path,
    cache: Path,
    note: Callable[[str], None] = lambda line: None,
) -> list[Cut]:
    """Cuts the supernet in `checkpoint` at each of `thresholds`, the whole one (0) first.

    Below `folder` each gets a folder with checkpoint.pt, from which lineament train and distill go on, the ONNX file
    with its card, and architecture.png; beside them pareto.csv and pareto.png. A threshold that leaves no path through
    the network is noted and left out.    Raises: RecipeError where the checkpoint is of no supernet.
    """
    net, recipe = load_trained(checkpoint)
    supernet = net.backbone
    if not isinstance(supernet, HRSuperNet):
        raise RecipeError(
            f"{checkpoint}: a {recipe.model.backbone}, which has no importance factors; wanted a supernet"
        )
    cuts = []
    for threshold in sorted({0.0, *thresholds}):
        try:
            layout = surviving(supernet, threshold)
        except RecipeError as error:
            note(str(error))
            continue
        place = folder / f"threshold-{threshold:g}"
        written = _write_cut(checkpoint, net, recipe, layout, place)
        card = export_checkpoint(written, place, recipe.name, False, data_root, cache)
        draw_architecture(supernet, layout, place / "architecture.png")
        cuts.append(
            Cut(
                threshold,
                sum(len(stage) for stage in layout),
                sum(len(sources) for stage in layout for sources in stage.values()),
                card["parameters"],
                card["multiply_adds"],
                time_file(place / f"{recipe.name}.onnx").least_ms,
                card["gate"]["validation_nme_onnx"],
                str(written),
            )
        )
    _write_table(cuts, folder / "pareto.csv")
    draw_pareto(cuts, folder / "pareto.png")
    return cuts


def _write_cut(checkpoint: Path, net: LandmarkNet, recipe: Recipe, layout: Layout, place: Path) -> Path:
    """The path of a checkpoint of the slimmed network alone."""
    assert isinstance(net.backbone, HRSuperNet)
    small = slimmed(net.backbone, layout)
    weights = {key: value for key, value in net.state_dict().items() if not key.startswith(BACKBONE)}
    weights |= {BACKBONE + key: value for key, value in small.state_dict().items()}
    model = recipe.model.model_copy(update={"layout": format_layout(layout)})
    state: dict[str, Any] = {
        "model": weights,
        "average": weights,
        "step": load_checkpoint(checkpoint)["step"],
        "scheme": recipe.scheme,
        "recipe": recipe.model_copy(update={"model": model}).model_dump_json(),
    }
    path = place / "checkpoint.pt"
    save_checkpoint(path, state)
    return path


def _write_table(cuts: Sequence[Cut], path: Path) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Cut)])
        writer.writeheader()
        writer.writerows(asdict(cut) for cut in cuts)
    beside.replace(path)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "train") from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    figure.savefig(beside, format="png", dpi=120)
    beside.replace(path)


def draw_pareto(cuts: Sequence[Cut], path: Path) -> None:
    """The error of each of `cuts` against its parameters and its multiply-adds, written to `path`."""
    figure = _figure(9, 4)
    for axes, name, unit, by in zip(
        figure.subplots(1, 2, sharey=True),
        ("parameters", "multiply_adds"),
        ("parameters, millions", "multiply-adds, millions"),
        (1e6, 1e6),
        strict=True,
    ):
        axes.plot([getattr(cut, name) / by for cut in cuts], [100 * cut.nme for cut in cuts], marker=".")
        for cut in cuts:
            axes.annotate(f"{cut.threshold:g}", (getattr(cut, name) / by, 100 * cut.nme))
        axes.set(xlabel=unit)
    figure.axes[0].set(ylabel="validation NME, %")
    _save(figure, path)


def draw_architecture(net: HRSuperNet, layout: Layout, path: Path) -> None:
    """The blocks that stay, stages from left to right and resolutions from top to bottom, written to `path`.

    Arrows are the transforms, as dark as their importance factor is large; blocks that went are empty circles.
    """
    figure = _figure(9, 3.6)
    axes = figure.subplots()
    factors = [abs(f) for m in net.modules() if isinstance(m, FusionBlock) for f in m.factors.detach().tolist()]
    largest = max(factors)
    axes.scatter([1], [0], s=160, color="tab:blue", zorder=3)
    for number, (stage, whole) in enumerate(zip(layout, net.stages, strict=True), 2):
        for target in range(len(WIDTHS)):
            stays = target in stage
            color = {"color": "tab:blue"} if stays else {"facecolors": "white", "edgecolors": "lightgray"}
            axes.scatter([number], [target], s=160, zorder=3, **color)
        for target, sources in stage.items():
            block = whole[str(target)]  # type: ignore[index]
            for source in sources:
                size = abs(block.factors.tolist()[block.sources.index(source)]) / largest
                arrow = {"arrowstyle": "->", "color": str(0.85 * (1 - size)), "shrinkA": 7, "shrinkB": 7}
                axes.annotate("", (number, target), (number - 1, source), arrowprops=arrow)
    axes.set(xlabel="stage", xticks=range(1, len(layout) + 2), yticks=range(len(WIDTHS)))
    axes.set_yticklabels([f"1/{4 * 2**k}" for k in range(len(WIDTHS))])
    axes.invert_yaxis()
    _save(figure, path)
