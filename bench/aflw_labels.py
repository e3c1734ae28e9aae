"""Compare MTFL's labels of training faces and of the AFLW test faces with one model's points.

Usage: LINEAMENT_DATA=../shared/data python -m bench.aflw_labels [--model accurate] [--every 5]

A model that was trained on neither set has the same habits on both. If the labels of the test set
lie elsewhere relative to its points, a model trained on the training set cannot match them.
"""

import argparse

import numpy as np

from bench.fit_convention import five_gaps
from lineament.data.readers.mtfl import read_mtfl
from lineament.data.sample import data_root
from lineament.inference.predictor import Predictor

NAMES = ("right eye", "left eye", "nose tip", "right mouth corner", "left mouth corner")


def nme(gaps, shift=0.0):
    """Return the mean error in percent after subtracting a shift from labels."""
    away = gaps - shift
    return 100 * float(np.hypot(away[..., 0], away[..., 1]).mean())


def main():
    """Print the offset of labels by point and set, and the errors with and without it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="accurate")
    parser.add_argument("--every", type=int, default=5, help="use every N-th face")
    options = parser.parse_args()
    predictor = Predictor(options.model, scheme="five", threads=1)
    gaps = {}
    for part in ("train", "test"):
        samples = read_mtfl(data_root() / "mtfl", part)[:: options.every]
        gaps[part] = five_gaps(predictor, samples)
    print(f"label minus prediction of {options.model}, % of the eye distance: x, y")
    print(f"{'':20s}{'training faces':>16s}{'AFLW test faces':>18s}{'difference':>16s}")
    medians = {part: 100 * np.median(values, axis=0) for part, values in gaps.items()}
    for point, name in enumerate(NAMES):
        train, test = medians["train"][point], medians["test"][point]
        cells = [f"{x:6.1f}, {y:5.1f}" for x, y in (train, test, test - train)]
        print(f"{name:20s}{cells[0]:>16s}{cells[1]:>18s}{cells[2]:>16s}")
    train, test = (np.median(gaps[part], axis=0) for part in ("train", "test"))
    print(f"faces: {len(gaps['train'])} and {len(gaps['test'])}")
    print(f"error on the test faces, %: {nme(gaps['test']):.2f}")
    print(f"  with the offsets of the training labels: {nme(gaps['test'], train):.2f}")
    print(f"  with the offsets of the test labels: {nme(gaps['test'], test):.2f}")


if __name__ == "__main__":
    main()
