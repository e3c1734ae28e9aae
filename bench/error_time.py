"""Draw error on 300W common against time per face: systems of the studies, packaged models, peers.

python -m bench.error_time [--runs runs] [--out docs/pictures/error-time.png]
Errors of the studies are those of docs/results/*.json, over 68 points; their files are timed here.
Errors and times of packaged models and peers are those of bench/results/compare-common.json, over
the points that all peers have; `bash bench/run` measures them, and must have run on this machine.
Every time is the median of the model alone, on one thread.
"""

import argparse
import json
from pathlib import Path
from statistics import mean

from lineament.inference.speed import time_file
from lineament.study.plan import plan_runs
from lineament.study.settings import read_study
from lineament.training.curves import new_figure, save_figure

from .machine import describe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
PEERS = ROOT / "bench" / "results" / "compare-common.json"
STUDIES = (
    "survey",
    "light-resnet50",
    "attentive1d-lengths",
    "hr-supernet-pruned",
    "sd-hrnet",
)
"""Studies whose rows are drawn; `lineament study --final --out` writes their results."""
ERROR = "300w-common"
FILES = ("final.onnx", "final.safetensors")
"""Exported files in the folder of a run; a study writes one if it measures it."""


def study_errors(path):
    """Return the mean error of each row of a study's results, a fraction; None: not measured."""
    errors = {}
    for name, values in json.loads(path.read_text(encoding="utf-8"))["rows"].items():
        found = values.get(ERROR, [None])
        errors[name] = None if None in found else mean(found)
    return errors


def exported_file(checkpoint):
    """Return the exported file next to a checkpoint; None if there is none."""
    for name in FILES:
        if checkpoint.with_name(name).is_file():
            return checkpoint.with_name(name)
    return None


def study_points(name, runs):
    """Return (row, ms, error in %) of a study's rows, and a line per row that is left out."""
    result = RESULTS / f"{name}.json"
    if not result.is_file():
        return [], [f"{name}: no {result.name}"]
    path = ROOT / "studies" / f"{name}.toml"
    plan = plan_runs(read_study(path), path, runs)
    points, left_out = [], []
    for row, error in study_errors(result).items():
        checkpoints = list(plan.rows.get(row, {}).values())
        file = exported_file(checkpoints[0]) if checkpoints else None
        if error is None:
            left_out.append(f"{name}, {row}: no error on {ERROR}")
        elif file is None:
            left_out.append(f"{name}, {row}: no exported file below {runs}")
        else:
            points.append((row, time_file(file).median_ms, 100 * error))
    return points, left_out


def peer_points(path, cpu):
    """Return (name, ms, error in %) of packaged models and peers.

    Raises:
        SystemExit: If they were measured on another machine than `cpu`.
    """
    table = json.loads(path.read_text(encoding="utf-8"))
    measured = table["machine"]["cpu"]
    if measured != cpu:
        raise SystemExit(
            f"{path.name} was measured on {measured}, and this is {cpu}; run `bash bench/run` here"
        )
    points = []
    for peer in table["peers"]:
        points.append((peer["name"], peer["ms_model"], 100 * peer["nme_shared"]))
    return points


def draw(groups, path):
    """Draw groups of points by the label of the legend."""
    figure = new_figure(8, 5)
    axes = figure.subplots()
    for number, (label, points) in enumerate(groups.items()):
        color = f"C{number}"
        for name, ms, error in points:
            axes.plot(ms, error, "o", color=color)
            axes.annotate(
                name, (ms, error), xytext=(4, 4), textcoords="offset points", size=7
            )
        axes.plot([], [], "o", color=color, label=label)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="ms per face, model alone, one thread, median",
        ylabel="NME % on 300W common",
    )
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    image = ROOT / "docs" / "pictures" / "error-time.png"
    parser.add_argument("--out", type=Path, default=image)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    groups, left_out = {}, []
    for name in STUDIES:
        groups[name], missing = study_points(name, options.runs)
        left_out += missing
    label = "packaged models and peers, points that all have"
    groups[label] = peer_points(PEERS, describe()["cpu"])
    draw({name: points for name, points in groups.items() if points}, options.out)
    for points in groups.values():
        for name, ms, error in points:
            print(f"{name:32} {ms:8.2f} ms  {error:6.2f} %")
    for line in left_out:
        print(f"left out: {line}")


if __name__ == "__main__":
    main()
