"""Measure face detectors on small faces in large images, by smallest face to detect.

python -m bench.min_face [--model FILE.onnx] [--yunet yunet_n_640_640.onnx]
    [--blazeface face_detection_back.tflite] [--json FILE]
Each row runs in a separate process, pinned to as many cores as it has threads.
"""

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.machine import describe, timing_cpus
from bench.peers.blazeface import TO_TIGHT, BlazeFace
from bench.peers.contract import peak_mb, pin
from lineament.geometry import Image, box_side, inset_boxes
from lineament.inference.callable_detector import as_detector
from lineament.inference.detections import Detector
from lineament.inference.detector_adapters import yunet
from lineament.inference.face_detector import FaceDetector
from lineament.inference.runtime import load_runtime
from lineament.io.image import read_image

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "astronaut.jpg"
HEAD = (145, 20, 305, 215)
"""Box of the head in the photo: x0, y0, x1, y1."""
FACE = np.array([179.5, 87.6, 272.2, 178.6])
"""Tight box of its landmarks, predicted by the model `accurate`."""
MAX_SHIFT = 0.25
"""Largest distance of a detection from the pasted face, in box sides."""
SCENES = {
    "five faces of 50 px, 4000 x 3000": (
        (4000, 3000),
        50,
        ((210, 300), (3700, 180), (2013, 1490), (180, 2870), (3805, 2790)),
    ),
    "a face of 120 px, 640 x 480": ((640, 480), 120, ((320, 240),)),
}
"""Image size, face side and face centers, in pixels, by name."""


def yunet_in_onnx_runtime(path: Path, threads: int) -> Detector:
    """Return only YuNet's network, on 640 x 640, for timing: it returns no faces."""
    onnxruntime = load_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options)
    name = session.get_inputs()[0].name
    blob = np.zeros((1, 3, 640, 640), np.float32)

    def run(image: Image) -> np.ndarray:
        session.run(None, {name: blob})
        return np.zeros((0, 4))

    return as_detector(run)


def blazeface(path: Path, threads: int) -> Detector:
    """Return BlazeFace back-256 with tight boxes, on one thread."""
    net = BlazeFace(path)

    def tight(image: Image) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = net(image)
        return inset_boxes(boxes, TO_TIGHT), scores

    return as_detector(tight)


def ours(path: Path | None, threads: int, min_face: str | None) -> Detector:
    """Return this package's detector."""
    return FaceDetector(path, threads=threads, min_face=min_face)


def opencv_yunet(path: Path, threads: int) -> Detector:
    """Return YuNet in OpenCV, at the size of the image."""
    return yunet(path)


SYSTEMS = {
    "ours": partial(ours, min_face=None),
    "ours, min_face=40px": partial(ours, min_face="40px"),
    "ours, min_face=0.15": partial(ours, min_face="0.15"),
    "yunet, OpenCV": opencv_yunet,
    "yunet, ONNX Runtime, network only": yunet_in_onnx_runtime,
    "blazeface back-256": blazeface,
}
"""Functions by name that open a detector from a file and a number of threads."""


def make_scene(name: str) -> tuple[Image, np.ndarray]:
    """Return an image with pasted heads, and the centers (F, 2) of their faces."""
    size, side, centers = SCENES[name]
    # uint8, since wider noise would determine the measured peak memory
    noise = np.random.default_rng(0).integers(60, 180, (7, 9, 3), dtype=np.uint8)
    image = np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))
    x0, y0, x1, y1 = HEAD
    scale = side / box_side(FACE)
    shape = (round((x1 - x0) * scale), round((y1 - y0) * scale))
    head = read_image(PHOTO)[y0:y1, x0:x1]
    head = cv2.resize(head, shape, interpolation=cv2.INTER_AREA)
    center = ((FACE[:2] + FACE[2:]) / 2 - (x0, y0)) * scale
    for target in centers:
        x, y = np.round(target - center).astype(int)
        image[y : y + shape[1], x : x + shape[0]] = head
    return image, np.array(centers, float)


def measure(
    system: str, path: Path | None, scene: str, threads: int, rounds: int
) -> dict[str, Any]:
    """Return faces found, false positives, times, and peak memory of this process."""
    cv2.setNumThreads(threads)
    pin(timing_cpus()[threads - 1])
    detect = SYSTEMS[system](path, threads)
    image, centers = make_scene(scene)
    boxes = detect(image).boxes
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        detect(image)
        times.append(1000 * (time.perf_counter() - start))
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = np.linalg.norm(middles[:, None] - centers, axis=2)
    near = away < MAX_SHIFT * SCENES[scene][1]
    return {
        "faces": len(centers),
        "found": int(near.any(0).sum()),
        "false_positives": int((~near.any(1)).sum()),
        "ms_least": round(min(times), 2),
        "ms_median": round(float(np.median(times)), 2),
        "peak_mb": round(peak_mb(), 1),
    }


def plan_rows(options: argparse.Namespace) -> list[tuple[str, Path | None, str, int]]:
    """Return system, file, scene and threads of each row."""
    large, usual = SCENES
    rows: list[tuple[str, Path | None, str, int]] = [
        ("ours, min_face=40px", options.model, large, 2),
        ("ours", options.model, usual, 1),
        ("ours, min_face=0.15", options.model, usual, 1),
    ]
    if options.yunet:
        rows += [
            ("yunet, OpenCV", options.yunet, large, 2),
            ("yunet, OpenCV", options.yunet, usual, 1),
            ("yunet, ONNX Runtime, network only", options.yunet, usual, 1),
        ]
    if options.blazeface:
        rows += [
            ("blazeface back-256", options.blazeface, large, 1),
            ("blazeface back-256", options.blazeface, usual, 1),
        ]
    return rows


def run_row(
    system: str, path: Path | None, scene: str, threads: int, rounds: int
) -> dict[str, Any]:
    """Return the figures of one row, measured in a separate process."""
    row = [system, None if path is None else str(path.absolute()), scene]
    command = [sys.executable, "-m", "bench.min_face", "--row"]
    command.append(json.dumps([*row, threads, rounds]))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{system}: {done.stderr.strip().splitlines()[-1:]}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return {"system": system, "scene": scene, "threads": threads, **figures}


def main() -> None:
    """Measure every row, print and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help=".onnx file; default: the packaged detector"
    )
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--blazeface", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        system, path, scene, threads, rounds = json.loads(options.row)
        file = None if path is None else Path(path)
        print(json.dumps(measure(system, file, scene, threads, rounds)))
        return
    rows = []
    for plan in plan_rows(options):
        rows.append(run_row(*plan, options.rounds))
        row = rows[-1]
        print(
            f"{row['system']:34} {row['scene']:33} {row['threads']} thread(s): "
            f"{row['found']} of {row['faces']}, {row['false_positives']} false, "
            f"{row['ms_median']:7.2f} ms (least {row['ms_least']:.2f}), "
            f"{row['peak_mb']:.0f} MB"
        )
    machine = describe()
    print(f"{machine['cpu']}, load {machine['load_before']:.2f}")
    if options.json:
        text = json.dumps({"machine": machine, "rows": rows}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
