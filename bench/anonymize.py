"""Measure which faces `lineament anonymize` fails to cover, on validation photos.

python -m bench.anonymize [--kind KIND]... [--min-face SIZE]... [--min-presence P]... [--json FILE]
Coverage is measured on a face's 68 points, or else on the ellipse in its box. A face is missed if
less than half is covered, and partly uncovered if less than 90 % is. The pixels covered in photos
without a face are also reported, and, if all faces of a photo are annotated, the regions that show
none.
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np

from lineament.analysis.anonymize import (
    MIN_PRESENCE,
    covered_pixels,
    face_regions,
    likely_faces,
)
from lineament.cli.anonymize import MIN_FACE
from lineament.cli.app import progress_bar
from lineament.data.sample import data_root
from lineament.evaluation.detection import (
    DETECTION_PROTOCOLS,
    MIN_HEIGHTS,
    is_ground_truth,
)
from lineament.geometry import box_center, iou
from lineament.inference.predictor import Predictor

MISSED, PART = 0.5, 0.9
OVERLAP = 0.2
AROUND = np.array([0.25, 0.6, 0.25, 0.0])
"""Part of a head around its box, left, above, right and below, in sides of the box."""
ONE_ANNOTATED = ("landmarks", "profiles", "infants", "unlabelled")
"""Kinds of photos whose other faces are not annotated."""
GRID = 16


def test_points(photo, face):
    """Return the points (K, 2) of a face that should be covered, pixels."""
    if photo.landmarks is not None and face == 0:
        return photo.landmarks
    line = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    x, y = np.meshgrid(line, line)
    inside = x**2 + y**2 <= 1
    box = photo.boxes[face]
    sides = (box[2:] - box[:2]) / 2
    return (box[:2] + box[2:]) / 2 + sides * np.column_stack([x[inside], y[inside]])


def covered_share(covered, points):
    """Return the fraction of points in the image that are covered; 1 if none is in the image."""
    x, y = np.rint(points).astype(int).T
    within = (x >= 0) & (y >= 0) & (x < covered.shape[1]) & (y < covered.shape[0])
    return float(covered[y[within], x[within]].mean()) if within.any() else 1.0


def shows_a_face(box, photo):
    """Return whether a detected box (4,) overlaps an annotated face or is centered in a head."""
    if not len(photo.boxes):
        return False
    x, y = box_center(box)
    sides = np.tile(photo.boxes[:, 2:] - photo.boxes[:, :2], 2)
    x0, y0, x1, y1 = (photo.boxes + sides * AROUND * (-1, -1, 1, 1)).T
    inside = (x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)
    return bool(inside.any() or (iou(photo.boxes, box[None]) >= OVERLAP).any())


def count(photo, faces, shape, row):
    """Add the faces of one photo to a row of the table."""
    covered = covered_pixels(face_regions(faces), shape)
    row["photos"] += 1
    row["false regions"] += sum(not shows_a_face(face.box, photo) for face in faces)
    if photo.has_no_face():
        row["false photos"] += bool(covered.any())
        row["false pixels"] += float(covered.mean())
        return
    for face in np.flatnonzero(
        is_ground_truth(photo, MIN_HEIGHTS.get(photo.kind, 0.0))
    ):
        share = covered_share(covered, test_points(photo, face))
        row["faces"] += 1
        row["missed"] += share < MISSED
        row["in part"] += MISSED <= share < PART


def choose(photos, kinds, every):
    """Return every `every`-th photo of each kind; kinds None: all kinds."""
    chosen, numbers = [], Counter()
    for photo in photos:
        if kinds is None or photo.kind in kinds:
            if numbers[photo.kind] % every == 0:
                chosen.append(photo)
            numbers[photo.kind] += 1
    return chosen


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="accurate")
    parser.add_argument("--min-face", action="append", default=[])
    parser.add_argument("--min-presence", action="append", default=[], type=float)
    parser.add_argument(
        "--kind", action="append", help="kind of photos, repeatable; default: all"
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--every", type=int, default=1, help="use every N-th photo of a kind"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    every = DETECTION_PROTOCOLS["detection-val"](data_root(args.data))
    photos = choose(every, args.kind, args.every)
    limits = args.min_presence or [MIN_PRESENCE]
    rows = defaultdict(lambda: defaultdict(float))
    sizes = args.min_face or [MIN_FACE]
    with progress_bar("photos", len(sizes) * len(photos)) as step:
        for size in sizes:
            given = None if size == "default" else size
            predict = Predictor(args.model, min_presence=min(limits), min_face=given)
            for photo in photos:
                image = photo.read()
                faces = predict(image)
                for limit in limits:
                    kept = likely_faces(faces, limit)
                    row = rows[size, limit, photo.kind]
                    count(photo, kept, image.shape, row)
                step()
    figures = []
    for (size, limit, kind), row in rows.items():
        stated = {"min_face": size, "min_presence": limit, "kind": kind}
        figures.append(stated | row)
        print(f"{size} {limit:g} {kind}: {shown(row, kind)}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def shown(row, kind):
    """Format a row of the table."""
    text = f"{row['photos']:.0f} photos"
    if row["faces"]:
        rate = 100 * row["missed"] / row["faces"]
        text += f", {row['faces']:.0f} faces, {row['missed']:.0f} missed ({rate:.1f} %)"
        text += f", {row['in part']:.0f} covered in part"
    else:
        pixels = 100 * row["false pixels"] / row["photos"]
        text += (
            f", {row['false photos']:.0f} covered somewhere, {pixels:.1f} % of pixels"
        )
    if kind not in ONE_ANNOTATED:
        regions = row["false regions"] / row["photos"]
        text += f", {regions:.2f} regions per photo show no face"
    return text


if __name__ == "__main__":
    main()
