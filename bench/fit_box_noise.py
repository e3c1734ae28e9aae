"""Fit shift and scale of training crops to a detector's errors on the 300W validation faces.

Usage: LINEAMENT_DATA=../shared/data python -m bench.fit_box_noise [--model DETECTOR.onnx]
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
    """Print shift and scale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help=".onnx file; default: the packaged detector"
    )
    parser.add_argument("--data", help="data root; default: $LINEAMENT_DATA, else data")
    options = parser.parse_args()
    detector = FaceDetector(options.model)
    samples = read_part("300w", data_root(options.data), "train", "ibug68")
    validation = [sample for sample in samples if sample.is_validation()]
    detected, truth = [], []
    for sample in validation:
        boxes = detector(sample.read()).boxes
        overlaps = iou(boxes, sample.face_box())[:, 0] if len(boxes) else np.zeros(0)
        if overlaps.max(initial=0) > 0.3:
            detected.append(boxes[overlaps.argmax()])
            truth.append(sample.face_box())
    shift, scale = fit_box_noise(detected, truth)
    print(
        f"{len(detected)} of {len(validation)} faces: shift = {shift:.3f}, scale = {scale:.3f}"
    )


if __name__ == "__main__":
    main()
