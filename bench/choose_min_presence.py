"""Compare values of RecropPolicy.min_presence: faces found, false positives, crops per photo.

LINEAMENT_DATA=../shared/data python -m bench.choose_min_presence [MODEL] [--every N]
Only validation photos are used: those of detection-val, and its portraits rotated.
"""

import argparse

import numpy as np

from bench.detection import turn
from lineament.cli.app import progress_bar
from lineament.data.sample import data_root
from lineament.evaluation.detection import (
    DETECTION_PROTOCOLS,
    MIN_HEIGHTS,
    score_detections,
)
from lineament.inference.detections import Detections
from lineament.inference.predictor import Predictor
from lineament.inference.recrop import RecropPolicy, first_crops

VALUES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
ROLLS_DEG = (45, 90, 135, 180, 270)
EMPTY = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))


def faces_at(predictor, image, values):
    """Return, for each value, the faces in an image and the number of crops it took."""
    found = predictor.detector(image)
    policy = RecropPolicy(min_presence=0.0)
    requests = first_crops(found, policy, image.shape)
    if not requests:
        return [(EMPTY, 0)] * len(values)
    first = predictor.run_model([image], requests)
    best = predictor.predict_boxes([image], requests, policy)
    counts = [
        crops_after(predictor, policy, r, first, i) for i, r in enumerate(requests)
    ]
    known = np.array([request.is_roll_known for request in requests])
    results = []
    for value in values:
        stops = known & (first.presence < value)
        rows = [row for row in predictor.accepted_rows(best) if not stops[row]]
        crops = len(requests) + sum(np.where(stops, 0, counts).tolist())
        results.append((found.take(np.array(rows, int)), crops))
    return results


def crops_after(predictor, policy, request, first, row):
    """Return how many crops follow the first of a face."""
    points = predictor.box_shape.points(first.landmarks[row])
    policy = policy.for_model(predictor.model)
    mean = predictor.box_shape.mean
    others = policy.second_crops(request, points, first.scores[row], mean)
    return len(others) + (len(others) > 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="accurate")
    parser.add_argument("--every", type=int, default=1, help="every N-th photo")
    args = parser.parse_args()
    predictor = Predictor(args.model, threads=1)
    photos = DETECTION_PROTOCOLS["detection-val"](data_root(None))[:: args.every]
    portraits = [photo for photo in photos if photo.kind == "landmarks"][::3]
    cases = [(photo.kind, None, photo) for photo in photos]
    cases += [(f"rolled {a}", turn(float(a)), p) for a in ROLLS_DEG for p in portraits]
    groups = {}
    with progress_bar("photos", len(cases)) as step:
        for name, change, photo in cases:
            image = photo.read()
            if change:
                photo, image = change(photo, image)
            group = groups.setdefault(name, ([], []))
            group[0].append(photo)
            group[1].append(faces_at(predictor, image, VALUES))
            step()
    print("min_presence".ljust(24) + "".join(f"{value:>18}" for value in VALUES))
    for name, (group, results) in groups.items():
        cells = []
        for k in range(len(VALUES)):
            detections = [result[k][0] for result in results]
            crops = sum(result[k][1] for result in results) / len(results)
            found = score_detections(
                group, detections, MIN_HEIGHTS.get(group[0].kind, 0.0)
            )
            seen = f"{found.found}/{found.faces} {found.false_photos}"
            cells.append(f"{seen} ({crops:.1f})")
        print(name.ljust(24) + "".join(f"{cell:>18}" for cell in cells))
    print("cells: faces found / faces, photos with a false positive (crops per photo)")


if __name__ == "__main__":
    main()
