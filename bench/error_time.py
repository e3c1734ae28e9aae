"""Plot error on 300W common against time per face for studied systems, packaged models, peers.

python -m bench.error_time [--out docs/pictures/error-time.png]
Errors and times of the studies are from docs/results/*.json: over 68 points, minimum time of the
exported file. Those of packaged models are from their cards and bench/results/speed.json, those of
peers from bench/results/compare-common.json: over the points that all peers have, median time of
the model. All times are on one thread; the legend names the machines.
"""

import argparse
import json
from pathlib import Path
from statistics import mean

import numpy as np
from matplotlib.transforms import Bbox

from lineament.inference.model_files import read_card, weights_folder
from lineament.training.curves import new_figure, save_figure

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
PEERS = ROOT / "bench" / "results" / "compare-common.json"
SPEED = ROOT / "bench" / "results" / "speed.json"
ERROR_TICKS = (3, 3.5, 4, 5, 6, 7, 8, 10, 13, 17)
LABEL_PLACES = tuple(
    (offset, side)
    for height in (3, 12, 22)
    for offset, side in (
        ((5, height), "left"),
        ((5, -height - 6), "left"),
        ((-5, height), "right"),
        ((-5, -height - 6), "right"),
        ((0, height + 3), "center"),
        ((0, -height - 9), "center"),
    )
)
"""Offsets of a label from its point, in points, and its alignment; the first free one is used."""
OURS = "lineament "
"""Start of the names of packaged models."""
STUDIES = {
    "survey": {},
    "cascade": {"3 levels, current practice": "part cascade"},
    "cascade-slim": {"half of the channels, distilled": "slimmed cascade"},
    "light-resnet50": {},
    "attentive1d-lengths": {},
    "hr-supernet-pruned": {},
    "sd-hrnet": {},
}
"""Studies to plot, with labels of the rows to plot (empty: all, labeled by name).

`lineament study --final --out` writes their results.
"""
ERROR, TIME = "300w-common", "ms"


def study_points(name, labels):
    """Return (label, ms, error in %) by machine label, and a line per omitted row."""
    result = RESULTS / f"{name}.json"
    if not result.is_file():
        return {}, [f"{name}: no {result.name}"]
    content = json.loads(result.read_text(encoding="utf-8"))
    groups, omitted = {}, []
    for row, columns in content["rows"].items():
        if labels and row not in labels:
            continue
        error, ms = _value(columns, ERROR), _value(columns, TIME)
        origin = content.get("origins", {}).get(row)
        if error is None or ms is None or origin is None:
            absent = ERROR if error is None else TIME if ms is None else "machine"
            omitted.append(f"{name}, {row}: no {absent}")
            continue
        group = groups.setdefault(f"published systems ({origin['machine']})", [])
        group.append((labels.get(row, row), ms, 100 * error))
    return groups, omitted


def _value(columns, name):
    """Return the mean over seeds; None if one was not measured."""
    values = columns.get(name, [None])
    return None if None in values else mean(values)


def peer_points(path):
    """Return (name, ms, error in %) of peers, by machine label."""
    table = json.loads(path.read_text(encoding="utf-8"))
    label = f"peers, points that all have ({table['machine']['cpu']})"
    points = []
    for peer in table["peers"]:
        if not peer["name"].startswith(OURS):
            points.append((peer["name"], peer["ms_model"], 100 * peer["nme_shared"]))
    return {label: points}


def packaged_points():
    """Return (name, ms, error in %) of packaged models of 68 points, by machine label."""
    speed = json.loads(SPEED.read_text(encoding="utf-8"))
    points = []
    for name, row in speed["rows"].items():
        card = read_card(weights_folder() / f"{name.removeprefix(OURS)}.onnx")
        stated = card.get("figures", {}).get("300w-common, truth boxes")
        if stated:
            points.append((name, row["ms_model"], 100 * stated["nme"]))
    return {f"packaged models ({speed['machine']['cpu']})": points}


def draw(groups, path):
    """Plot groups of points by their legend label."""
    figure = new_figure(11, 7)
    axes = figure.subplots()
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="ms per face, model alone, one thread",
        ylabel="NME % on 300W common",
    )
    every = []
    for number, (label, points) in enumerate(groups.items()):
        x, y = [ms for _, ms, _ in points], [error for _, _, error in points]
        axes.plot(x, y, "o", color=f"C{number}", label=label)
        every += points
    axes.set_yticks(ERROR_TICKS, [f"{value:g}" for value in ERROR_TICKS])
    axes.yaxis.set_minor_formatter("")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=7, loc="upper right")
    figure.canvas.draw()
    markers = axes.transData.transform([(ms, error) for _, ms, error in every])
    taken = [axes.get_legend().get_window_extent()]
    taken += [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in markers]
    # crowded points first, because they have few free places
    crowd = [
        np.sort(np.linalg.norm(markers - each, axis=1))[:5].sum() for each in markers
    ]
    for number in np.argsort(crowd):
        name, ms, error = every[number]
        taken.append(label_point(axes, name, (ms, error), taken))
    save_figure(figure, path)


def label_point(axes, name, place, taken):
    """Write a name next to a point where it covers no box of `taken`; return its box."""
    inside = axes.get_window_extent()
    for offset, side in LABEL_PLACES:
        text = axes.annotate(
            name, place, xytext=offset, textcoords="offset points", size=7, ha=side
        )
        box = text.get_window_extent()
        is_inside = inside.x0 < box.x0 and box.x1 < inside.x1
        if is_inside and not any(box.overlaps(other) for other in taken):
            break
        text.remove()
    else:
        axes.add_artist(text)
    return box


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    image = ROOT / "docs" / "pictures" / "error-time.png"
    parser.add_argument("--out", type=Path, default=image)
    options = parser.parse_args()
    groups, omitted = {}, []
    for name, labels in STUDIES.items():
        study_groups, missing = study_points(name, labels)
        for machine, points in study_groups.items():
            groups.setdefault(machine, []).extend(points)
        omitted += missing
    groups |= peer_points(PEERS)
    groups |= packaged_points()
    draw(groups, options.out)
    for points in groups.values():
        for name, ms, error in points:
            print(f"{name:32} {ms:8.2f} ms  {error:6.2f} %")
    for line in omitted:
        print(f"left out: {line}")


if __name__ == "__main__":
    main()
