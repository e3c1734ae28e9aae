"""Time the landmark stage, compared with MediaPipe's mesh, batches of 64, and the detector."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lineament.atomic import write_text
from lineament.data.sample import Sample, data_root
from lineament.errors import LineamentError

from .compare import plans_of, read_faces, run_rounds, start, times_of, write_faces
from .install import ROOT
from .machine import describe, timing_cpus, today
from .peers.contract import pin

MESH = "MediaPipe mesh, LiteRT"
MAX_STAGE_MS = {"lineament fast": 1.0, "lineament accurate": 4.0}
"""Maximum time of each model's landmark stage, as a multiple of the mesh's."""
MIN_FACES_PER_S = {"lineament fast": 1000.0, "lineament accurate": 500.0}
MAX_DETECTOR_MS = 5.0


def judge(
    rows: Mapping[str, Mapping[str, Any]], detector_ms: float | None
) -> list[str]:
    """Return a line per requirement with required and measured value; `rows` has times by name."""
    lines = []
    for name, times in MAX_STAGE_MS.items():
        if name in rows and MESH in rows:
            ours, mesh = rows[name]["ms_per_face"], rows[MESH]["ms_per_face"]
            models = rows[name]["ms_model"] / rows[MESH]["ms_model"]
            result = "holds" if ours <= times * mesh else "MISSED"
            lines.append(
                f"{result}: {name}, one face on one thread, {ours:.2f} ms, "
                f"{ours / mesh:.2f} x the mesh's {mesh:.2f} ms; "
                f"wanted at most {times:g} x (the models alone: {models:.2f} x)"
            )
    for name, wanted in MIN_FACES_PER_S.items():
        if name in rows:
            faces_per_second = rows[name]["faces_per_second"]
            result = "holds" if faces_per_second >= wanted else "MISSED"
            lines.append(
                f"{result}: {name}, 64 faces on two threads, {faces_per_second:.0f} faces/s; "
                f"wanted at least {wanted:.0f}"
            )
    if detector_ms is not None:
        result = "holds" if detector_ms <= MAX_DETECTOR_MS else "MISSED"
        lines.append(
            f"{result}: detector, 640 x 480, one thread, {detector_ms:.2f} ms; "
            f"wanted at most {MAX_DETECTOR_MS}"
        )
    return lines


def on_canvas(image: np.ndarray) -> np.ndarray:
    """Return the image scaled to fit a gray canvas of 640 x 480."""
    scale = min(640 / image.shape[1], 480 / image.shape[0])
    small = cv2.resize(
        image, (round(image.shape[1] * scale), round(image.shape[0] * scale))
    )
    canvas = np.full((480, 640, 3), 127, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def time_detector(samples: Sequence[Sample], rounds: int) -> float:
    """Return the median ms of the default detector for 640 x 480 images on one thread and core.

    Raises:
        LineamentError: If there is no detector.
    """
    from lineament.inference.face_detector import FaceDetector

    cv2.setNumThreads(1)
    detector = FaceDetector(threads=1)
    images = [on_canvas(sample.read()) for sample in samples]
    before = sorted(os.sched_getaffinity(0))
    pin(timing_cpus()[0])
    try:
        times = []
        for image in images[:1] * 3 + images * rounds:
            start_s = time.perf_counter()
            detector(image)
            times.append((time.perf_counter() - start_s) * 1e3)
    finally:
        pin(before)
    return float(np.median(times[3:]))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(prog="bench/run speed", description=__doc__)
    parser.add_argument(
        "--data", help="folder of the data sets; default: LINEAMENT_DATA, else data"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT / ".venv-bench",
        help="folder of the virtual environments",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument(
        "--ours",
        nargs="*",
        default=["tiny", "fast", "accurate", "best", "dense"],
        help="Lineament models: names or .onnx files",
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--faces", type=int, default=64, help="faces timed per round")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print and write."""
    options = parse()
    options.cache, options.peers = (
        options.cache.absolute(),
        ["lineament", "MediaPipe mesh,"],
    )
    machine = describe()
    samples = read_faces("val", data_root(options.data))[: options.faces]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        faces = write_faces(samples, Path(folder))
        rows, skipped = start(plans_of(options), options.cache, Path(folder), stack)
        rows, failed = run_rounds(rows, faces, options, first=())
        times = {row.plan.name: times_of(row) for row in rows}
    try:
        detector_ms = time_detector(samples[:32], options.rounds)
    except (LineamentError, ImportError) as error:
        detector_ms, skipped = None, [*skipped, f"detector: {error}"]
    machine["load_after"] = os.getloadavg()[0]
    report: dict[str, Any] = {
        "date": today(),
        "machine": machine,
        "rows": times,
        "detector_ms": detector_ms,
    }
    report |= {"bars": judge(times, detector_ms), "skipped": [*skipped, *failed]}
    write_text(options.out / "speed.json", json.dumps(report, indent=1) + "\n")
    print(
        f"{machine['cpu']}, {machine['cores']} cores, "
        f"load {machine['load_before']:.2f}, {report['date']}"
    )
    if machine["busy"]:
        print(
            "another program was using the processor: these times are not for the record"
        )
    for name, row in times.items():
        print(
            f"{name:36} {row['ms_per_face']:6.2f} ms per face, {row['ms_cpu']:6.2f} ms of CPU, "
            f"{row['ms_model']:6.2f} ms model, {row['faces_per_second']:6.0f} faces/s"
        )
    print(
        "\n".join(
            [*report["bars"], *(f"not measured: {why}" for why in report["skipped"])]
        )
    )
    if not times:
        sys.exit(1)


if __name__ == "__main__":
    main()
