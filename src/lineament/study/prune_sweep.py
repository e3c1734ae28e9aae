"""A trained network cut in several ways: a checkpoint and an ONNX file each, and a table and a plot of all.

Stands on slim.py, slim_channels.py and export.py.
"""

import copy
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from ..atomic import atomic_path
from ..errors import ExportError, RecipeError
from ..export.export import export_checkpoint
from ..inference.speed import time_file
from ..models.backbones.hr_supernet import WIDTHS, FusionBlock, HRSuperNet, format_layout
from ..models.landmark_net import LandmarkNet
from ..models.profile import multiply_adds, parameters
from ..recipe import ModelSettings, Recipe, SlimSettings
from ..training.build import load_trained
from ..training.checkpoint import load_checkpoint, save_checkpoint
from ..training.curves import new_figure, save_figure
from ..training.prune.channels import slimmed_channels
from ..training.prune.supernet import Layout, slimmed, surviving

NME = "validation_nme_onnx"


@dataclass(frozen=True)
class Cut:
    """One slimmed network."""

    amount: float
    """The threshold of importance factors, or the share of channels that went; 0: the whole network."""
    what: str
    """What stayed, in words."""
    parameters: int
    multiply_adds: int
    milliseconds: float
    """One crop on one thread, the least of many."""
    nme: float
    """On the validation faces, a fraction, before any further training."""
    milliseconds_int8: float
    nme_int8: float
    """The same of the int8 file; times and errors are nan of files whose gate was not passed."""
    checkpoint: str


@dataclass(frozen=True)
class _Small:
    """A network to be written and measured."""

    amount: float
    what: str
    folder: str
    net: LandmarkNet
    model: ModelSettings
    layout: Layout | None = None


def sweep(
    checkpoint: Path,
    folder: Path,
    slim: SlimSettings,
    data_root: Path,
    cache: Path,
    note: Callable[[str], None] = lambda line: None,
) -> list[Cut]:
    """Cuts the network in `checkpoint` at each threshold or, where it is no supernet, share of `slim`; the whole first.

    Below `folder` each gets a folder with checkpoint.pt, from which lineament train and distill go on, the
    ONNX files, fp32 and int8, with their cards and, of a supernet, architecture.png; beside them pareto.csv and
    pareto.png. A threshold that leaves no path through the network is noted and left out.
    Raises: RecipeError, ExtraError.
    """
    net, recipe = load_trained(checkpoint)
    cuts = []
    for small in (
        _supernets(net, recipe, slim, note)
        if isinstance(net.backbone, HRSuperNet)
        else _channels(net, slim, recipe)
    ):
        place = folder / small.folder
        written = _write_cut(checkpoint, small, recipe, place)
        if small.layout is not None:
            assert isinstance(net.backbone, HRSuperNet)
            draw_architecture(net.backbone, small.layout, place / "architecture.png")
        times, errors = [], []
        for name, quantize in ((recipe.name, False), (f"{recipe.name}-int8", True)):
            try:
                card = export_checkpoint(written, place, name, quantize, data_root, cache)
                times.append(time_file(place / f"{name}.onnx").least_ms)
                errors.append(float(card["gate"][NME]))
            except ExportError as error:  # one file that its gate refuses ends no sweep
                note(f"{small.folder}: no {name}.onnx: {error}")
                times.append(float("nan"))
                errors.append(float("nan"))
        crop = torch.zeros(1, net.size, net.size, 3, dtype=torch.uint8)
        size = parameters(small.net), multiply_adds(small.net, crop)
        cuts.append(
            Cut(
                small.amount,
                small.what,
                *size,
                times[0],
                errors[0],
                times[1],
                errors[1],
                str(written),
            )
        )
    _write_table(cuts, folder / "pareto.csv")
    quantized = [replace(cut, nme=cut.nme_int8) for cut in cuts]
    draw_pareto({"fp32": cuts, "int8": quantized}, folder / "pareto.png")
    return cuts


def _supernets(
    net: LandmarkNet, recipe: Recipe, slim: SlimSettings, note: Callable[[str], None]
) -> Iterator[_Small]:
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
        blocks, transforms = (
            sum(map(len, layout)),
            sum(len(s) for stage in layout for s in stage.values()),
        )
        model = recipe.model.model_copy(update={"architecture": format_layout(layout)})
        what = f"{blocks} blocks, {transforms} transforms"
        yield _Small(threshold, what, f"threshold-{threshold:g}", small, model, layout)


def _channels(net: LandmarkNet, slim: SlimSettings, recipe: Recipe) -> Iterator[_Small]:
    for share in sorted({0.0, *slim.shares}):
        what = f"{100 * share:g} % of the channels went"
        yield _Small(share, what, f"share-{share:g}", slimmed_channels(net, share), recipe.model)


def _write_cut(checkpoint: Path, small: _Small, recipe: Recipe, place: Path) -> Path:
    """The path of a checkpoint of the slimmed network alone."""
    path = place / "checkpoint.pt"
    # a network whose channels were slimmed is told by the checkpoint it starts from
    model = (
        small.model
        if small.layout is not None
        else small.model.model_copy(update={"pruned_from": str(path)})
    )
    weights = small.net.state_dict()
    state: dict[str, Any] = {
        "model": weights,
        "average": weights,
        "step": load_checkpoint(checkpoint)["step"],
        "scheme": recipe.scheme,
        "recipe": recipe.model_copy(update={"model": model}).model_dump_json(),
    }
    save_checkpoint(path, state)
    return path


def _write_table(cuts: Sequence[Cut], path: Path) -> None:
    with atomic_path(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Cut)])
        writer.writeheader()
        writer.writerows(asdict(cut) for cut in cuts)


def draw_pareto(curves: Mapping[str, Sequence[Cut]], path: Path) -> None:
    """The error of each cut against its parameters and its multiply-adds, a line a name, written to `path`.

    The first line's cuts are labelled by their amounts.
    """
    figure = new_figure(9, 4)
    axes = figure.subplots(1, 2, sharey=True)
    for panel, name, label in zip(
        axes, ("parameters", "multiply_adds"), ("parameters", "multiply-adds"), strict=True
    ):
        for number, (curve, cuts) in enumerate(curves.items()):
            points = [(getattr(cut, name) / 1e6, 100 * cut.nme) for cut in cuts]
            panel.plot(
                *zip(*points, strict=True),
                marker="o" if number else ".",
                markerfacecolor="none",
                label=curve,
            )
            for place, (cut, point) in enumerate(
                zip(cuts, points, strict=True) if number == 0 else ()
            ):
                above = (4, -12 if place % 2 else 5)  # neighbours may lie close together
                panel.annotate(
                    f"{cut.amount:g}", point, xytext=above, textcoords="offset points", fontsize=8
                )
        panel.set(xlabel=f"{label}, millions", yscale="log")
        panel.margins(0.1)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter("{x:g}")
    axes[0].set(ylabel="validation NME, %")
    axes[1].legend()
    save_figure(figure, path)


def draw_architecture(net: HRSuperNet, layout: Layout, path: Path) -> None:
    """The blocks that stay, stages from left to right and resolutions from top to bottom, written to `path`.

    Arrows are the transforms, as dark as their importance factor is large; blocks that went are empty circles.
    """
    figure = new_figure(9, 3.6)
    axes = figure.subplots()
    factors = [
        abs(f)
        for m in net.modules()
        if isinstance(m, FusionBlock)
        for f in m.factors.detach().tolist()
    ]
    largest = max(factors)
    axes.scatter([1], [0], s=160, color="tab:blue", zorder=3)
    for number, (stage, complete) in enumerate(zip(layout, net.stages, strict=True), 2):
        for target in range(len(WIDTHS)):
            stays = target in stage
            color = (
                {"color": "tab:blue"}
                if stays
                else {"facecolors": "white", "edgecolors": "lightgray"}
            )
            axes.scatter([number], [target], s=160, zorder=3, **color)
        for target, sources in stage.items():
            block = complete[str(target)]  # type: ignore[index]
            for source in sources:
                size = abs(block.factors.tolist()[block.sources.index(source)]) / largest
                arrow = {
                    "arrowstyle": "->",
                    "color": str(0.85 * (1 - size)),
                    "shrinkA": 7,
                    "shrinkB": 7,
                }
                axes.annotate("", (number, target), (number - 1, source), arrowprops=arrow)
    axes.set(xlabel="stage", xticks=range(1, len(layout) + 2), yticks=range(len(WIDTHS)))
    axes.set_yticklabels([f"1/{4 * 2**k}" for k in range(len(WIDTHS))])
    axes.invert_yaxis()
    save_figure(figure, path)
