"""Measure the shipped landmark models under the protocols, and complete their cards with figures and words.

Usage: python scripts/complete_cards.py [MODEL ...] [--protocols 300w-val 300w-common] [--data DIR]
"""

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

from lineament.atomic import atomic_path
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample, data_root
from lineament.evaluation.evaluate import evaluate
from lineament.evaluation.protocols import protocol
from lineament.inference.model_files import read_card, weights_folder
from lineament.inference.predictor import Predictor

WORDS = Path(__file__).parents[1] / "recipes" / "cards.toml"


def figure(
    name: str, which: str, boxes: str, samples: list[Sample], flip: bool = False
) -> dict[str, Any]:
    """Measure the model `name` on `samples` under the protocol `which`."""
    report = evaluate(
        Predictor(name, flip=flip), which, samples, boxes=boxes, model=name
    )
    command = f"lineament evaluate --protocol {which} --model {name} --boxes {boxes}"
    return {
        "command": command + (" --flip" if flip else ""),
        "faces": report.images,
        "missed": report.misses,
        "nme": report.nme,
        "failure_rate": report.failure_rate,
        "auc": report.auc,
        "threshold": report.threshold,
        "under_2_sigma": report.reliability.under.get(2.0)
        if report.reliability
        else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["fast", "accurate"])
    parser.add_argument("--protocols", nargs="+", default=["300w-val", "300w-common"])
    parser.add_argument("--data")
    options = parser.parse_args()
    words = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    root = data_root(options.data)
    for name in options.models:
        path = weights_folder() / f"{name}.onnx"
        about = words["common"] | words[name]
        seen = about.pop("seen")
        figures: dict[str, Any] = {}
        for which in options.protocols:
            fixed = protocol(which)
            samples = read_data(fixed.data, root, fixed.part)
            for boxes in ("truth", "detected"):
                figures[f"{which}, {boxes} boxes"] = figure(name, which, boxes, samples)
            figures[f"{which}, truth boxes, flip"] = figure(
                name, which, "truth", samples, flip=True
            )
            unseen = [
                sample
                for sample in samples
                if Path(sample.name).with_suffix("").as_posix() not in seen
            ]
            if len(unseen) < len(samples):
                title = f"{which} less {len(samples) - len(unseen)} faces seen in training, truth boxes"
                figures[title] = figure(name, which, "truth", unseen) | {
                    "command": f"python scripts/complete_cards.py {name}"
                }
        for title, found in figures.items():
            print(name, title, json.dumps(found), flush=True)
        card = read_card(path) | about | {"figures": figures}
        with atomic_path(path.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
