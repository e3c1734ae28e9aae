"""Measure the shipped models under the protocols; add figures and texts to their cards.

The figures of the face detector come from `python -m bench.detection --card`.

Usage: LINEAMENT_DATA=DIR python scripts/complete_cards.py [MODEL ...] [--protocols ID ...]
"""

import argparse
import json
from typing import Any

from pages import WORDS

from lineament.atomic import write_text
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample, data_root
from lineament.evaluation.evaluate import evaluate
from lineament.evaluation.protocols import protocol
from lineament.inference.model_files import DETECTOR, read_card, weights_folder
from lineament.inference.predictor import Predictor

TRUTH, DETECTED, FLIPPED = ("truth", False), ("detected", False), ("truth", True)
USUAL = (TRUTH, DETECTED, FLIPPED)
PROTOCOLS = {
    "300w-val": USUAL,
    "300w-common": USUAL,
    "300w-val-masked": (TRUTH,),
    "cfp30-val": (TRUTH, DETECTED),
    "infanface-val": (TRUTH, DETECTED),
}
"""Boxes and flip averaging by protocol; USUAL for all others."""
OWN = {"dense": ["helen194-val"]}
"""Protocols of models with other points."""


def figure(
    name: str, which: str, boxes: str, samples: list[Sample], flip: bool = False
) -> dict[str, Any]:
    """Measure the model `name` on `samples` under the protocol `which`."""
    predictor = Predictor(name, flip=flip)
    report = evaluate(predictor, which, samples, boxes=boxes, model=name)
    command = f"lineament evaluate --protocol {which} --model {name} --boxes {boxes}"
    sigma = report.reliability
    return {
        "command": command + (" --flip" if flip else ""),
        "faces": report.images,
        "missed": report.misses,
        "nme": report.nme,
        "nme_in_convention": report.nme_in_convention,
        "point_to_contour": report.contours.across if report.contours else None,
        "failure_rate": report.failure_rate,
        "auc": report.auc,
        "threshold": report.threshold,
        "under_2_sigma": sigma.under.get(2.0) if sigma else None,
        "visibility_auc": report.visibility_auc,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "models", nargs="*", default=["tiny", "fast", "accurate", "best", "dense"]
    )
    parser.add_argument("--protocols", nargs="+")
    options = parser.parse_args()
    for name in options.models:
        path = weights_folder() / f"{name}.onnx"
        about = WORDS["common"] | WORDS[name]
        figures: dict[str, Any] = {}
        chosen = options.protocols or OWN.get(name, list(PROTOCOLS))
        for which in [] if name == DETECTOR else chosen:
            fixed = protocol(which)
            samples = read_data(fixed.data, data_root(), fixed.part)
            for boxes, flip in PROTOCOLS.get(which, USUAL):
                title = f"{which}, {boxes} boxes" + (", flip" if flip else "")
                figures[title] = figure(name, which, boxes, samples, flip)
        for title, measured in figures.items():
            print(name, title, json.dumps(measured), flush=True)
        card = read_card(path)
        card |= about | {"figures": card.get("figures", {}) | figures}
        write_text(path.with_suffix(".json"), json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
