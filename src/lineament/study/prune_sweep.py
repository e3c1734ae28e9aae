"""Prune a trained network by several amounts: checkpoints, ONNX files, a table and a plot."""

import copy
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import isnan
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..atomic import atomic_path
from ..errors import ExportError, RecipeError
from ..export.registry import export_trained
from ..inference.speed import time_file
from ..models.backbones.hr_supernet import (
    WIDTHS,
    FusionBlock,
    HRSuperNet,
    format_layout,
)
from ..models.landmark_net import LandmarkNet
from ..models.part_cascade import PartCascade
from ..models.profile import multiply_adds, parameters
from ..recipe import ModelSettings, Recipe, SlimSettings
from ..training.build import load_any
from ..training.checkpoint import load_checkpoint, save_checkpoint
from ..training.curves import new_figure, save_figure
from ..training.prune.channels import slimmed_channels
from ..training.prune.supernet import Layout, slimmed, surviving
from .sweep_amounts import write_amounts

NME = "validation_nme_onnx"


@dataclass(frozen=True)
class PrunedNetwork:
    """One pruned network, a row of pareto.csv."""

    amount: float
    """Threshold of importance factors, or fraction of channels removed; 0: the original network."""
    kept: str
    """Description of the remaining blocks and transforms, or of the channels removed."""
    parameters: int
    multiply_adds: int
    milliseconds: float
    """Minimum time for one crop on one thread; nan, like the NME, if the file fails the gate."""
    nme: float
    """Validation NME, a fraction, before fine-tuning."""
    milliseconds_int8: float
    nme_int8: float
    checkpoint: str


@dataclass(frozen=True)
class _Candidate:
    amount: float
    kept: str
    folder: str
    net: LandmarkNet | PartCascade
    model: ModelSettings
    layout: Layout | None = None


def sweep(
    checkpoint: Path,
    folder: Path,
    slim: SlimSettings,
    data_root: Path,
    cache: Path,
    note: Callable[[str], None] = lambda line: None,
) -> list[PrunedNetwork]:
    """Prune the network in `checkpoint` by each amount; the original comes first.

    Each result gets a folder below `folder` with checkpoint.pt, for lineament train and distill,
    ONNX files in fp32 and int8 (a cascade: fp32 only) with their cards, and, for a supernet,
    architecture.png. `folder` itself gets pareto.csv and pareto.png, and
    pareto.json with the amounts.

    Args:
        slim: Thresholds for a supernet, fractions of channels for any other network.
        note: Receives a line about each threshold that leaves no path, and each file that fails the
            gate.

    Raises:
        RecipeError: If the network cannot be pruned this way.
        ExtraError: If torch-pruning is needed and not installed.
    """
    net, recipe = load_any(checkpoint)
    supernet = getattr(net, "backbone", None)
    if isinstance(supernet, HRSuperNet):
        candidates = _supernets(net, recipe, slim, note)
    else:
        candidates = _channels(net, slim, recipe)
    pruned = []
    for candidate in candidates:
        place = folder / candidate.folder
        written = _write_checkpoint(checkpoint, candidate, recipe, place)
        if candidate.layout is not None and isinstance(supernet, HRSuperNet):
            draw_architecture(supernet, candidate.layout, place / "architecture.png")
        pruned.append(_measured(candidate, written, recipe, data_root, cache, note))
    _write_table(pruned, folder / "pareto.csv")
    curves: dict[str, Sequence[PrunedNetwork]] = {"fp32": pruned}
    quantized = [replace(row, nme=row.nme_int8) for row in pruned]
    if not all(isnan(row.nme) for row in quantized):
        curves["int8"] = quantized
    draw_pareto(curves, folder / "pareto.png")
    write_amounts(folder, slim)
    return pruned


def _measured(
    candidate: _Candidate,
    written: Path,
    recipe: Recipe,
    data_root: Path,
    cache: Path,
    note: Callable[[str], None],
) -> PrunedNetwork:
    """Export the checkpoint `written` in fp32 and int8; return its row of the table."""
    place, net = written.parent, candidate.net
    files = [(recipe.name, False)]
    if isinstance(net, LandmarkNet):
        files.append((f"{recipe.name}-int8", True))
    measured = []
    for name, int8 in files:
        try:
            card = export_trained(written, place, name, int8, data_root, cache)
            milliseconds = time_file(place / f"{name}.onnx").least_ms
            measured += [milliseconds, float(card["gate"][NME])]
        except (
            ExportError
        ) as error:  # a file that fails the gate does not end the sweep
            note(f"{candidate.folder}: no {name}.onnx: {error}")
            measured += [float("nan"), float("nan")]
    measured += [float("nan")] * (4 - len(measured))
    crop = torch.zeros(1, net.size, net.size, 3, dtype=torch.uint8)
    return PrunedNetwork(
        amount=candidate.amount,
        kept=candidate.kept,
        parameters=parameters(net),
        multiply_adds=multiply_adds(net, crop),
        milliseconds=measured[0],
        nme=measured[1],
        milliseconds_int8=measured[2],
        nme_int8=measured[3],
        checkpoint=str(written),
    )


def _supernets(
    net: LandmarkNet, recipe: Recipe, slim: SlimSettings, note: Callable[[str], None]
) -> Iterator[_Candidate]:
    supernet = net.backbone
    assert isinstance(supernet, HRSuperNet)
    for threshold in sorted({0.0, *slim.thresholds}):
        try:
            layout = surviving(supernet, threshold, slim.relative)
        except RecipeError as error:
            note(str(error))
            continue
        small = copy.deepcopy(net)
        small.backbone = slimmed(supernet, layout)
        blocks = sum(len(stage) for stage in layout)
        transforms = 0
        for stage in layout:
            transforms += sum(len(sources) for sources in stage.values())
        model = recipe.model.model_copy(update={"architecture": format_layout(layout)})
        kept = f"{blocks} blocks, {transforms} transforms"
        yield _Candidate(
            threshold, kept, f"threshold-{threshold:g}", small, model, layout
        )


def _channels(
    net: LandmarkNet | PartCascade, slim: SlimSettings, recipe: Recipe
) -> Iterator[_Candidate]:
    for ratio in sorted({0.0, *slim.pruning_ratios}):
        kept = f"{100 * (1 - ratio):g} % of the channels"
        small = slimmed_channels(net, ratio)
        yield _Candidate(ratio, kept, f"ratio-{ratio:g}", small, recipe.model)


def _write_checkpoint(
    checkpoint: Path, candidate: _Candidate, recipe: Recipe, place: Path
) -> Path:
    """Write the weights and recipe of a pruned network; return the path."""
    path = place / "checkpoint.pt"
    model = candidate.model
    # channel counts are inferred from the checkpoint itself
    if candidate.layout is None:
        model = model.model_copy(update={"pruned_from": str(path)})
    weights = candidate.net.state_dict()
    state: dict[str, Any] = {
        "model": weights,
        "average": weights,
        "step": load_checkpoint(checkpoint)["step"],
        "scheme": str(recipe.scheme),
        "recipe": recipe.model_copy(update={"model": model}).model_dump_json(),
    }
    save_checkpoint(path, state)
    return path


def _write_table(rows: Sequence[PrunedNetwork], path: Path) -> None:
    with (
        atomic_path(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, [field.name for field in fields(PrunedNetwork)])
        writer.writeheader()
        for row in rows:
            writer.writerow(asdict(row))


def draw_pareto(curves: Mapping[str, Sequence[PrunedNetwork]], path: Path) -> None:
    """Plot error against parameters and against multiply-adds to `path`, a line per name.

    Points of the first line are labeled with their amounts.
    """
    figure = new_figure(9, 4)
    axes = figure.subplots(1, 2, sharey=True)
    for panel, name, label in zip(
        axes,
        ("parameters", "multiply_adds"),
        ("parameters", "multiply-adds"),
        strict=True,
    ):
        for number, (curve, rows) in enumerate(curves.items()):
            x = [getattr(row, name) / 1e6 for row in rows]
            y = [100 * row.nme for row in rows]
            marker = "o" if number else "."
            panel.plot(x, y, marker=marker, markerfacecolor="none", label=curve)
            if number == 0:
                _label_points(panel, x, y, [row.amount for row in rows])
        panel.set(xlabel=f"{label}, millions", yscale="log")
        panel.margins(0.1)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter("{x:g}")
    axes[0].set(ylabel="validation NME, %")
    axes[1].legend()
    save_figure(figure, path)


def _label_points(
    panel: Any, x: Sequence[float], y: Sequence[float], amounts: Sequence[float]
) -> None:
    for place, amount in enumerate(amounts):
        below = (
            -12 if place % 2 else 5
        )  # alternate, since neighbors may be close together
        panel.annotate(
            f"{amount:g}",
            (x[place], y[place]),
            xytext=(4, below),
            textcoords="offset points",
            fontsize=8,
        )


def draw_architecture(net: nn.Module, layout: Layout, path: Path) -> None:
    """Draw the remaining blocks: stages from left to right, resolutions from top to bottom.

    Arrows are transforms; darker ones have larger importance factors. Removed blocks are empty
    circles.
    """
    assert isinstance(net, HRSuperNet)
    figure = new_figure(9, 3.6)
    axes = figure.subplots()
    blocks = [module for module in net.modules() if isinstance(module, FusionBlock)]
    largest = max(float(block.factors.detach().abs().max()) for block in blocks)
    axes.scatter([1], [0], s=160, color="tab:blue", zorder=3)
    for number, (stage, complete) in enumerate(zip(layout, net.stages, strict=True), 2):
        for target in range(len(WIDTHS)):
            color = {"facecolors": "white", "edgecolors": "lightgray"}
            if target in stage:
                color = {"color": "tab:blue"}
            axes.scatter([number], [target], s=160, zorder=3, **color)
        for target, sources in stage.items():
            block = complete[str(target)]  # type: ignore[index]
            for source in sources:
                factor = abs(block.factors.tolist()[block.sources.index(source)])
                gray = str(0.85 * (1 - factor / largest))
                arrow = {"arrowstyle": "->", "color": gray, "shrinkA": 7, "shrinkB": 7}
                axes.annotate(
                    "", (number, target), (number - 1, source), arrowprops=arrow
                )
    axes.set(
        xlabel="stage", xticks=range(1, len(layout) + 2), yticks=range(len(WIDTHS))
    )
    axes.set_yticklabels([f"1/{4 * 2**k}" for k in range(len(WIDTHS))])
    axes.invert_yaxis()
    save_figure(figure, path)
