"""Draw error on 300W common against time per face: our systems, the survey's, and peers.

python -m bench.error_time [--out docs/pictures/error-time.png]
Errors and times of the survey are those of docs/results/survey.json, of our models and peers those
of bench/results/compare-common.json; times are of the model alone, on one thread.
"""

import argparse
import json
from pathlib import Path

from lineament.training.curves import new_figure, save_figure

ROOT = Path(__file__).resolve().parents[1]
SURVEY = ROOT / "docs" / "results" / "survey.json"
PEERS = ROOT / "bench" / "results" / "compare-common.json"


def survey_points(path):
    """Return (name, ms, error in %) of each row that has both."""
    points = []
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    for name, values in rows.items():
        pair = [values.get(key, [None])[0] for key in ("ms", "300w-common")]
        if None not in pair:
            points.append((name, pair[0], 100 * pair[1]))
    return points


def peer_points(path):
    """Return (name, ms, error in %) of our models and the peers, over all shared points."""
    points = []
    for peer in json.loads(path.read_text(encoding="utf-8"))["peers"]:
        points.append((peer["name"], peer["ms_model"], 100 * peer["nme_shared"]))
    return points


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture = ROOT / "docs" / "pictures" / "error-time.png"
    parser.add_argument("--out", type=Path, default=picture)
    options = parser.parse_args()
    figure = new_figure(8, 5)
    axes = figure.subplots()
    for points, color in (
        (survey_points(SURVEY), "tab:blue"),
        (peer_points(PEERS), "tab:orange"),
    ):
        for name, ms, error in points:
            axes.plot(ms, error, "o", color=color)
            axes.annotate(
                name, (ms, error), xytext=(4, 4), textcoords="offset points", size=7
            )
            print(f"{name:32} {ms:8.2f} ms  {error:6.2f} %")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="ms per face, model alone, one thread",
        ylabel="NME % on 300W common",
    )
    axes.grid(visible=True, which="both", alpha=0.3)
    save_figure(figure, options.out)


if __name__ == "__main__":
    main()
