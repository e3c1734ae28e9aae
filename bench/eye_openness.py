"""Measure the predicted openness of closed and open eyes, and choose a threshold between them.

Usage: LINEAMENT_DATA=../shared/data python -m bench.eye_openness [--models fast accurate]

Eyes count as closed if the annotated openness is below 0.1, as open if it is at least 0.15;
half-closed eyes are excluded. The threshold is chosen on validation faces of 300W and InfAnFace,
and tested on 300W common.
"""

import argparse
from collections.abc import Iterable

import numpy as np

from lineament.analysis.head_pose import eye_openness
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample, data_root
from lineament.face import Face
from lineament.inference.predictor import Predictor

CLOSED_BELOW, OPEN_FROM = 0.1, 0.15
"""Annotated openness of closed and of open eyes."""


def openness_of(face: Face) -> list[float]:
    """Return the openness of both eyes."""
    sides = eye_openness(face)
    return [sides.right, sides.left]


def measure(predict: Predictor, samples: Iterable[Sample]) -> np.ndarray:
    """Return annotated and predicted openness of each eye, (E, 2)."""
    rows = []
    for sample in samples:
        predicted = predict(sample.read(), [sample.face_box()])[0]
        nothing = np.ones(len(predicted))
        truth = Face(sample.landmarks, nothing, nothing, predicted.box, 1.0, "ibug68")
        rows += zip(openness_of(truth), openness_of(predicted), strict=True)
    return np.array(rows)


def errors_at(eyes: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return the fractions of closed eyes above a threshold and of open eyes below it."""
    closed, opened = (
        eyes[eyes[:, 0] < CLOSED_BELOW, 1],
        eyes[eyes[:, 0] >= OPEN_FROM, 1],
    )
    return float((closed >= threshold).mean()), float((opened < threshold).mean())


def best_threshold(eyes: np.ndarray) -> float:
    """Return the threshold, a multiple of 0.01, with the lowest mean of both error rates."""
    thresholds = np.arange(0.05, 0.35, 0.01)
    sums = [sum(errors_at(eyes, float(threshold))) for threshold in thresholds]
    lowest = np.flatnonzero(np.isclose(sums, min(sums)))
    return round(float(thresholds[lowest].mean()), 2)


def describe(name: str, eyes: np.ndarray, threshold: float) -> str:
    """Return a line about the eyes of a set."""
    parts = []
    masks = {
        "closed": eyes[:, 0] < CLOSED_BELOW,
        "open": eyes[:, 0] >= OPEN_FROM,
    }
    for kind, mask in masks.items():
        low, middle, high = np.percentile(eyes[mask, 1], (10, 50, 90))
        parts.append(
            f"{mask.sum()} {kind} eyes read {low:.2f} to {high:.2f}, {middle:.2f} in the median"
        )
    missed, false = errors_at(eyes, threshold)
    return (
        f"{name}: {'; '.join(parts)}; below {threshold:.2f} are {100 * (1 - missed):.0f} % of the "
        f"closed and {100 * false:.1f} % of the open ones"
    )


def main() -> None:
    """Print two lines per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["fast", "accurate"])
    options = parser.parse_args()
    root = data_root()
    chosen = [*read_data("300w", root, "train"), *read_data("infanface", root, "train")]
    validation = [face for face in chosen if face.is_validation()]
    for model in options.models:
        predict = Predictor(model, threads=1)
        eyes = measure(predict, validation)
        threshold = best_threshold(eyes)
        print(describe(f"{model}, validation", eyes, threshold), flush=True)
        tested = measure(predict, read_data("300w", root, "common"))
        print(describe(f"{model}, 300W common", tested, threshold), flush=True)


if __name__ == "__main__":
    main()
