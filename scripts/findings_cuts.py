"""What each cut of the supernet is worth once it has learnt again: size, time and error, fp32 and int8, and a plot.

Usage: python scripts/findings_cuts.py [--thresholds 0.001 0.005 ...] [--out DIR] [--data DIR] [--cache DIR]

Each of --thresholds, a cut of `lineament slim recipes/cpu/hr-supernet.toml --out runs/hr-supernet`, goes on for the
steps of recipes/cpu/sd-hrnet.toml without a teacher, augmented as the supernet was. Errors are of the exported files on
the validation faces.
"""

import argparse
import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

from findings import CUT, RECIPES, TABLES, exported, train

from lineament.errors import ExportError
from lineament.inference.speed import time_file
from lineament.recipe_file import read_recipe
from lineament.study.prune_sweep import NME, Cut, draw_pareto

SLIMMED = CUT.parents[1]
SUPERNET = RECIPES / "cpu" / f"{SLIMMED.name}.toml"
LEARNT_AGAIN = (
    *TABLES["s4"][1]["no distillation"],
    *(f"augment.{name}={value}" for name, value in read_recipe(SUPERNET).augment),
    "train.seed=1",
)
LEARNING = (0.005, 0.011, 0.012, 0.013)
"""Thresholds of the cuts that go on."""
SLIM = f"lineament slim recipes/cpu/{SUPERNET.name} --out {SLIMMED}"


def read_cuts() -> dict[float, Cut]:
    """The cuts as `lineament slim` measured them, by threshold."""
    if not (SLIMMED / "pareto.csv").exists():
        sys.exit(f"findings: no {SLIMMED}/pareto.csv; type: {SLIM}")
    with (SLIMMED / "pareto.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        float(row["amount"]): Cut(
            float(row["amount"]), row["what"], int(row["parameters"]), int(row["multiply_adds"]),
            float(row["milliseconds"]), float(row["nme"]), float(row["milliseconds_int8"]), float(row["nme_int8"]),
            row["checkpoint"],
        )
        for row in rows
    }  # fmt: skip


def run_of(cut: Cut, out: Path) -> tuple[tuple[str, ...], Path]:
    """What the training of a cut changes in the recipe, and its folder."""
    return (f"start={cut.checkpoint}", *LEARNT_AGAIN), out / f"cut-{cut.amount:g}"


def learnt_again(cut: Cut, options: argparse.Namespace) -> Cut:
    """`cut` after its training, times and errors measured anew."""
    checkpoint = train(
        "distill", RECIPES / "cpu" / TABLES["s4"][0], *run_of(cut, options.out), options
    )
    folder = checkpoint.parent
    ms, nme = [], []
    for name in ("fp32", "int8"):
        try:
            path = exported(checkpoint, options, name)
            nme.append(
                json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["gate"][NME]
            )
            ms.append(time_file(path).least_ms)
        except ExportError as error:
            print(f"{folder}: {error}", flush=True)
            nme.append(float("nan"))
            ms.append(float("nan"))
    return replace(cut, milliseconds=ms[0], nme=nme[0], milliseconds_int8=ms[1], nme_int8=nme[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--thresholds", nargs="+", type=float, default=LEARNING)
    parser.add_argument("--out", type=Path, default=Path("runs/findings"))
    parser.add_argument("--data")
    parser.add_argument("--cache")
    options = parser.parse_args()
    before, after = read_cuts(), []
    absent = sorted(set(options.thresholds) - set(before))
    if absent:
        sys.exit(
            f"findings: {SLIMMED} is not cut at {absent}; type: {SLIM} "
            f"--resume --set 'slim.thresholds={sorted({*before, *options.thresholds})}'"
        )
    head = [
        "threshold",
        "what stays",
        "parameters",
        "multiply-adds",
        "ms",
        "NME as cut",
        "NME",
        "int8 ms",
        "int8 NME",
    ]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for threshold in sorted(options.thresholds, reverse=True):  # the small ones are soonest done
        cut = learnt_again(before[threshold], options)
        after.append(cut)
        cells = [
            f"{cut.amount:g}", cut.what, f"{cut.parameters / 1e6:.3f} M", f"{cut.multiply_adds / 1e6:.0f} M",
            f"{cut.milliseconds:.1f}", f"{100 * before[threshold].nme:.3f} %", f"{100 * cut.nme:.3f} %",
            f"{cut.milliseconds_int8:.1f}", f"{100 * cut.nme_int8:.3f} %",
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)
    after.reverse()
    int8 = [replace(cut, nme=cut.nme_int8) for cut in after]
    draw_pareto({"learnt again": after, "the same, int8": int8}, options.out / "cuts.png")


if __name__ == "__main__":
    main()
