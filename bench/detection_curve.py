"""Compare the recall of detectors at equal false positives, per set of validation photos.

python -m bench.detection_curve [--model FILE.onnx] [--landmarks NAME] [--yunet FILE.onnx]
False positives are counted in photos without a face: objects, pets and gray backgrounds. A
landmark model is measured as in `lineament detect`, with the presence as the score of its faces.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from lineament.cli.app import progress_bar
from lineament.data.sample import data_root
from lineament.evaluation.detection import (
    DETECTION_PROTOCOLS,
    MIN_HEIGHTS,
    score_detections,
)
from lineament.evaluation.thresholds import above, lowest_threshold
from lineament.inference.acceptance import MIN_PRESENCE
from lineament.inference.detector_adapters import yunet
from lineament.inference.face_detector import FaceDetector
from lineament.inference.open_detector import detector_of_file
from lineament.inference.predictor import Predictor
from lineament.labeling.hard_negatives import faces_by_presence

LOWEST = 0.15
YUNET_THRESHOLD = 0.6
"""Threshold of OpenCV's samples; YuNet's false positives at it are the reference."""
ALLOWED = (5, 20, 50, 150)
"""Additional numbers of false positives to compare at."""


def detect_all(detect, photos, step):
    """Return the detections of every photo."""
    detections = []
    for photo in photos:
        detections.append(detect(photo.read()))
        step()
    return detections


def rows_at(photos, found, threshold):
    """Return the result by kind of photo at a threshold."""
    results = {}
    for kind in dict.fromkeys(photo.kind for photo in photos):
        of_kind = [i for i, photo in enumerate(photos) if photo.kind == kind]
        results[kind] = score_detections(
            [photos[i] for i in of_kind],
            [above(found[i], threshold) for i in of_kind],
            MIN_HEIGHTS.get(kind, 0.0),
        )
    return results


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--landmarks", action="append", default=[])
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    photos = DETECTION_PROTOCOLS["detection-val"](data_root(args.data))
    systems, in_use = {}, {}
    for file in args.model or [None]:
        opened = detector_of_file(file) if file else FaceDetector()
        name = opened.path.stem
        systems[name] = type(opened)(opened.path, threshold=LOWEST)
        in_use[name] = [opened.threshold]
    for name in args.landmarks:
        systems[name] = faces_by_presence(Predictor(name, min_presence=0.0))
        in_use[name] = [0.0, MIN_PRESENCE]
    if args.yunet:
        systems["YuNet"] = yunet(args.yunet, LOWEST)
        in_use["YuNet"] = [YUNET_THRESHOLD]
    detections_by_system = {}
    with progress_bar("photos", len(systems) * len(photos)) as step:
        for name, detect in systems.items():
            detections_by_system[name] = detect_all(detect, photos, step)
    empty = [i for i, photo in enumerate(photos) if photo.has_no_face()]
    allowed = list(ALLOWED)
    if args.yunet:
        false = [
            above(detections_by_system["YuNet"][i], YUNET_THRESHOLD) for i in empty
        ]
        allowed.append(sum(map(len, false)))
    figures = []
    for name, detections in detections_by_system.items():
        for threshold in in_use[name]:
            row = {"in use": name, "threshold": threshold}
            figures.append(row | cells(photos, detections, threshold))
    for count in sorted(set(allowed)):
        for name, detections in detections_by_system.items():
            threshold = lowest_threshold([detections[i] for i in empty], count)
            row = {"false faces": count, "system": name, "threshold": threshold}
            figures.append(row | cells(photos, detections, threshold))
    for row in figures:
        print("  ".join(f"{key} {shown(value)}" for key, value in row.items()))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def cells(photos, detections, threshold):
    """Return, by kind, the faces found above a threshold or the photos with a false positive."""
    row = {}
    for kind, result in rows_at(photos, detections, threshold).items():
        if result.faces:
            row[kind] = f"{result.found}/{result.faces}"
        else:
            row[kind] = f"{result.false_photos} of {result.photos} photos"
    return row


def shown(value):
    """Format a number with three digits; return text unchanged."""
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)


if __name__ == "__main__":
    main()
