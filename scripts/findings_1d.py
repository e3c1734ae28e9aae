"""Sees the findings of the attentive 1D heatmaps again: error and memory by length, attention, decoders.

Usage: python scripts/findings_1d.py [--seeds 1 2 3] [--lengths 0.25 0.5 1 2 3] [--weights 0 0.3] [--out DIR]
       [--data DIR] [--cache DIR]

Every row is a run of recipes/cpu/attentive1d.toml with other settings, kept below --out and gone on with after a stop.
Printed: the validation NME of 1D heads of each length and of 2D heads of the lengths of --two by every decoder (seed
1), what an image's output and the training of its head hold, measured and in closed form, and the rows of the attention
for all seeds. Two pictures are drawn beside.
"""

import argparse
from pathlib import Path
from statistics import mean

import torch
from findings import last_validation, spread, train

from lineament.data.mixture import read_mixture
from lineament.data.sample import cache_root, data_root
from lineament.models.heads.output import STRIDE, HeadSettings
from lineament.models.heads.registry import make_head
from lineament.training.build import load_trained
from lineament.training.curves import new_figure, save_figure
from lineament.training.losses import total_loss
from lineament.training.validate import validate

RECIPE = Path(__file__).parents[1] / "recipes" / "cpu" / "attentive1d.toml"
TWO = ("model.head=gaussian2d", "model.decoder=expectation", "losses={mse = 1.0}")
DECODERS = ("expectation", "argmax", "dark")
POINTS, CHANNELS = 68, 96


def run(name: str, changes: tuple[str, ...], options: argparse.Namespace) -> Path:
    """The checkpoint of a row."""
    return train("train", RECIPE, changes, options.out / name, options)


def by_decoder(checkpoint: Path, options: argparse.Namespace) -> tuple[dict[str, float], int]:
    """The validation NME of a run by each decoder, and the parameters of its head."""
    model, recipe = load_trained(checkpoint)
    crop, cache = (recipe.model.size, recipe.model.padding), cache_root(options.cache)
    _, validation_faces = read_mixture(
        recipe.data, recipe.scheme, data_root(options.data), cache, crop=crop
    )
    found = {}
    for decoder in DECODERS:
        model.head.decoder = decoder
        found[decoder] = validate(model, validation_faces, recipe.scheme, recipe.model.padding)[
            "300w"
        ]
    return found, sum(parameter.numel() for parameter in model.head.parameters())


def held(kind: str, size: int, length: float) -> tuple[int, int]:
    """Bytes of the output of one image, and of all that the head keeps of it for the backward pass, loss included."""
    torch.manual_seed(0)
    head = make_head(kind, CHANNELS, POINTS, size, HeadSettings(length)).train()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = sum(p.numel() * p.element_size() for p in head.parameters())
    features = torch.randn(2, CHANNELS, size // STRIDE, size // STRIDE, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        raw = head(features)
        loss = {"mse": 1.0} if raw.heatmaps is not None else {"mse_1d": 1.0}
        total_loss(raw, torch.rand(2, POINTS, 2) * size, loss, STRIDE, 1.2)
    maps = (raw.heatmaps,) if raw.heatmaps is not None else (raw.heatmaps_x, raw.heatmaps_y)
    return sum(m[0].numel() * m.element_size() for m in maps), (sum(kept.values()) - weights) // 2


def memory_table(size: int, lengths: list[float]) -> list[str]:
    """What both heads hold at each length."""
    lines = [
        f"\n| L / F at {size} px | 1D output, 2NL floats | 2D output, NL^2 floats | 1D training | 2D training |",
        "|---|---|---|---|---|",
    ]
    for length in lengths:
        cells = round(size * length)
        own, own_kept = held("attentive1d-gaussian", size, length)
        assert own == 2 * POINTS * cells * 4
        closed = POINTS * cells**2 * 4
        kept = "-"
        if length <= 2:
            other, other_kept = held("gaussian2d", size, length)
            assert other == closed
            kept = f"{other_kept / 1e6:.1f} MB"
        lines.append(
            f"| {length:g} | {own / 1e6:.3f} MB | {closed / 1e6:.2f} MB | {own_kept / 1e6:.1f} MB | {kept} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--lengths", nargs="*", type=float, default=[0.25, 0.5, 1.0, 2.0, 3.0])
    parser.add_argument(
        "--two",
        nargs="*",
        type=float,
        default=[0.25, 0.5],
        help="lengths of heads in two dimensions",
    )
    parser.add_argument("--weights", nargs="*", type=float, default=[0.0, 0.3])
    parser.add_argument(
        "--best", type=float, default=1.0, help="the length at which the attention is compared"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/findings-1d"))
    parser.add_argument("--data")
    parser.add_argument("--cache")
    options = parser.parse_args()
    print(
        "\n".join(memory_table(128, options.lengths) + memory_table(256, options.lengths)),
        flush=True,
    )
    lines = [
        "\n| head, L / F | its parameters | " + " | ".join(DECODERS) + " |",
        "|---|---|---|---|---|",
    ]
    one: dict[float, dict[str, float]] = {}
    two: dict[float, dict[str, float]] = {}
    for length in options.two:
        checkpoint = run(
            f"two-{length:g}-seed1", (*TWO, f"model.length={length}", "train.seed=1"), options
        )
        two[length] = add_row(lines, f"2D, {length:g}", *by_decoder(checkpoint, options))
    for length in options.lengths:
        changes = (f"model.length={length}", "model.attention=0.3", "train.seed=1")
        checkpoint = run(f"one-{length:g}-0.3-seed1", changes, options)
        one[length] = add_row(lines, f"1D, {length:g}", *by_decoder(checkpoint, options))
    attention: dict[float, list[float]] = {weight: [] for weight in options.weights}
    for seed in options.seeds:
        for weight in options.weights:
            changes = (
                f"model.length={options.best}",
                f"model.attention={weight}",
                f"train.seed={seed}",
            )
            name = f"one-{options.best:g}-{weight:g}-seed{seed}"
            attention[weight].append(last_validation(run(name, changes, options).parent))
            print(f"gamma {weight:g}, seed {seed}: {100 * attention[weight][-1]:.3f} %", flush=True)
    print("\n".join(lines))
    print(f"\n| gamma at L / F {options.best:g} | validation NME % |\n|---|---|")
    for weight, values in attention.items():
        print(f"| {weight:g} | {spread(values)} |")
    if len(options.weights) > 1 and len(options.seeds) > 1:  # of one seed both start and go alike
        pairs = zip(attention[options.weights[0]], attention[options.weights[-1]], strict=True)
        print(
            f"| what it takes away, seed by seed | {spread([without - with_it for without, with_it in pairs])} |"
        )
    draw(one, two, attention, options.out)


def add_row(
    lines: list[str], name: str, found: dict[str, float], parameters: int
) -> dict[str, float]:
    """Puts what was `found` by each decoder into the table, and prints it."""
    cells = [
        name,
        f"{parameters / 1e6:.3f} M",
        *(f"{100 * found[decoder]:.3f} %" for decoder in DECODERS),
    ]
    lines.append("| " + " | ".join(cells) + " |")
    print(lines[-1], flush=True)
    return found


def draw(
    one: dict[float, dict[str, float]],
    two: dict[float, dict[str, float]],
    attention: dict[float, list[float]],
    folder: Path,
) -> None:
    """The error by length and decoder, and by the weight of the attention."""
    figure = new_figure(9, 4)
    axes, beside = figure.subplots(1, 2)
    for decoder in DECODERS:
        axes.plot(
            list(one),
            [100 * row[decoder] for row in one.values()],
            marker=".",
            label=f"1D, {decoder}",
        )
    for decoder in DECODERS:
        axes.plot(
            list(two), [100 * row[decoder] for row in two.values()], "s--", label=f"2D, {decoder}"
        )
    axes.set(xlabel="L / F", ylabel="validation NME, %")
    axes.legend()
    for weight, values in attention.items():
        beside.plot(
            [weight] * len(values), [100 * value for value in values], "o", color="tab:blue"
        )
    beside.plot(list(attention), [100 * mean(values) for values in attention.values() if values])
    beside.set(xlabel="gamma")
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(figure, folder / "lengths.png")


if __name__ == "__main__":
    main()
