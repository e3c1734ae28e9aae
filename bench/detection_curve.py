"""Compare detectors at equal numbers of false faces: recall per set of validation photos.

python -m bench.detection_curve [--model FILE.onnx] [--landmarks NAME] [--yunet FILE.onnx]
False faces are counted in the photos without a face: objects, pets and gray backgrounds. A
landmark model is measured as `lineament detect` uses it, its faces score their presence.
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
from lineament.labeling.candidates import faces_by_presence

LOWEST = 0.15
YUNET_THRESHOLD = 0.6
"""That of OpenCV's samples, at which YuNet sets the number of false faces."""
ALLOWED = (5, 20, 50, 150)
"""Further numbers of false faces."""


def detect_all(detect, photos, step):
    """Return the detections of every photo."""
    found = []
    for photo in photos:
        found.append(detect(photo.read()))
        step()
    return found


def rows_at(photos, found, threshold):
    """Return the result by kind above a threshold."""
    results = {}
    for kind in dict.fromkeys(photo.kind for photo in photos):
        mine = [i for i, photo in enumerate(photos) if photo.kind == kind]
        results[kind] = score_detections(
            [photos[i] for i in mine],
            [above(found[i], threshold) for i in mine],
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
    found = {}
    with progress_bar("photos", len(systems) * len(photos)) as step:
        for name, detect in systems.items():
            found[name] = detect_all(detect, photos, step)
    empty = [i for i, photo in enumerate(photos) if photo.has_no_face()]
    allowed = list(ALLOWED)
    if args.yunet:
        false = [above(found["YuNet"][i], YUNET_THRESHOLD) for i in empty]
        allowed.append(sum(map(len, false)))
    figures = []
    for name, detections in found.items():
        for threshold in in_use[name]:
            row = {"in use": name, "threshold": threshold}
            figures.append(row | cells(photos, detections, threshold))
    for count in sorted(set(allowed)):
        for name, detections in found.items():
            threshold = lowest_threshold([detections[i] for i in empty], count)
            row = {"false faces": count, "system": name, "threshold": threshold}
            figures.append(row | cells(photos, detections, threshold))
    for row in figures:
        print("  ".join(f"{key} {shown(value)}" for key, value in row.items()))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def cells(photos, detections, threshold):
    """Return the faces found above a threshold by kind, or the photos with a false one."""
    row = {}
    for kind, result in rows_at(photos, detections, threshold).items():
        if result.faces:
            row[kind] = f"{result.found}/{result.faces}"
        else:
            row[kind] = f"{result.false_photos} of {result.photos} photos"
    return row


def shown(value):
    """Return a number with three digits, text as it is."""
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)


if __name__ == "__main__":
    main()
