"""Prints which share of true and of false detections a floor under the mean landmark score keeps, on held-back photos.

Usage: python scripts/choose_floor.py [MODEL] [--data DIR]
"""

import argparse
from collections.abc import Iterator

import numpy as np

from lineament.data.detection.photos import read_detection
from lineament.data.readers.registry import read_data
from lineament.data.sample import data_root
from lineament.geometry import Array, iou
from lineament.inference.predictor import Predictor
from lineament.io.image import read_image

FLOORS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)


def photos(root: str | None) -> Iterator[tuple[str, np.ndarray, Array]]:
    """The set, picture and true boxes of each held-back photo."""
    base = data_root(root)
    for sample in read_data("300w", base, "train"):
        if sample.is_validation():
            yield "300w", sample.read(), sample.face_box()[None]
    for photo in read_detection(base / "detection"):
        if photo.is_validation():
            yield photo.kind, read_image(photo.image), photo.boxes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="accurate")
    parser.add_argument("--data")
    options = parser.parse_args()
    predictor = Predictor(options.model, min_landmark_score=0.0)
    found: dict[tuple[str, bool], list[float]] = {}
    for name, image, truth in photos(options.data):
        for face in predictor(image):
            is_true = bool(len(truth) and iou(face.box, truth).max() >= 0.35)
            found.setdefault((name, is_true), []).append(float(face.scores.mean()))
    print("kept at a floor of" + " " * 10 + "".join(f"{floor:>7.2f}" for floor in FLOORS))
    for (name, is_true), scores in sorted(found.items()):
        kept = "".join(f"{int((np.array(scores) >= floor).sum()):>7d}" for floor in FLOORS)
        print(f"{name:11s} {'true' if is_true else 'false':5s} of {len(scores):5d}  {kept}")


if __name__ == "__main__":
    main()
