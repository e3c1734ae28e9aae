"""Fits the shift and scale of training crops to the errors of the detector on the validation faces of 300W.

usage: python scripts/fit_jitter.py [--model DETECTOR.onnx] [--data DIR]
"""

import argparse
from pathlib import Path

import numpy as np

from lineament.data.box_noise import fit_box_noise
from lineament.data.mixture import read_part
from lineament.data.sample import data_root
from lineament.geometry import iou
from lineament.inference.face_detector import FaceDetector


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="an .onnx file; default: the package's detector")
    parser.add_argument("--data")
    options = parser.parse_args()
    detector = FaceDetector(options.model)
    samples = [
        s
        for s in read_part("300w", data_root(options.data), "train", "ibug68")
        if s.is_validation()
    ]
    detected, truth = [], []
    for sample in samples:
        found = detector(sample.read()).boxes
        overlaps = iou(found, sample.face_box())[:, 0] if len(found) else np.zeros(0)
        if overlaps.max(initial=0) > 0.3:
            detected.append(found[overlaps.argmax()])
            truth.append(sample.face_box())
    shift, scale = fit_box_noise(detected, truth)
    print(
        f"{len(detected)} of {len(samples)} faces found: shift = {shift:.3f}, scale = {scale:.3f}"
    )


if __name__ == "__main__":
    main()
