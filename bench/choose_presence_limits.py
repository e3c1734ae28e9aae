"""Compare presence limits of RecropPolicy: faces found, false positives, crops per photo.

LINEAMENT_DATA=../shared/data python -m bench.choose_presence_limits [MODEL] [--every N]
Only validation photos are used: those of detection-val, and its portraits rotated.
"""

import argparse

import numpy as np

from bench.choose_recrop import CountingModel
from bench.detection import turn
from lineament.cli.app import progress_bar
from lineament.data.sample import data_root
from lineament.evaluation.detection import (
    DETECTION_PROTOCOLS,
    MIN_HEIGHTS,
    score_detections,
)
from lineament.inference.predictor import Predictor
from lineament.inference.recrop import RecropPolicy, first_crops

LIMITS = ((0.0, 0.0), (0.02, 0.0), (0.1, 0.0), (0.0, 0.2), (0.02, 0.1), (0.02, 0.2))
"""Pairs of min_presence and low_presence."""
ROLLS_DEG = (45, 90, 135, 180, 270)


def faces_found(predictor, image, found, policy):
    """Return the accepted ones of the detections in an image, and the number of crops."""
    before = predictor.model.crops
    requests = first_crops(found, policy, image.shape)
    predicted = predictor.predict_boxes([image], requests, policy)
    rows = np.array(predictor.accepted_rows(predicted), int)
    return found.take(rows), predictor.model.crops - before


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="accurate")
    parser.add_argument("--every", type=int, default=1, help="use every N-th photo")
    args = parser.parse_args()
    predictor = Predictor(CountingModel(args.model), threads=1)
    photos = DETECTION_PROTOCOLS["detection-val"](data_root(None))[:: args.every]
    portraits = [photo for photo in photos if photo.kind == "landmarks"][::3]
    cases = [(photo.kind, None, photo) for photo in photos]
    cases += [(f"rolled {a}", turn(float(a)), p) for a in ROLLS_DEG for p in portraits]
    policies = [RecropPolicy(min_presence=a, low_presence=b) for a, b in LIMITS]
    groups = {}
    with progress_bar("photos", len(cases)) as step:
        for name, change, photo in cases:
            image = photo.read()
            if change:
                photo, image = change(photo, image)
            found = predictor.detector(image)
            results = [faces_found(predictor, image, found, p) for p in policies]
            groups.setdefault(name, []).append((photo, results))
            step()
    print("min_presence".ljust(16) + "".join(f"{a:>18}" for a, _ in LIMITS))
    print("low_presence".ljust(16) + "".join(f"{b:>18}" for _, b in LIMITS))
    for name, group in groups.items():
        changed = [photo for photo, _ in group]
        cells = []
        for k in range(len(LIMITS)):
            detections = [results[k][0] for _, results in group]
            crops = np.mean([results[k][1] for _, results in group])
            height = MIN_HEIGHTS.get(changed[0].kind, 0.0)
            score = score_detections(changed, detections, height)
            counts = f"{score.found}/{score.faces} {score.false_photos}"
            cells.append(f"{counts} ({crops:.1f})")
        print(name.ljust(16) + "".join(f"{cell:>18}" for cell in cells))
    print("cells: faces found/faces, photos with a false positive (crops per photo)")


if __name__ == "__main__":
    main()
