"""Check that the resident memory of a Predictor stays constant over thousands of images."""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lineament.atomic import write_text
from lineament.data.sample import data_root
from lineament.errors import LineamentError
from lineament.inference.predictor import Predictor

from .compare import read_faces
from .install import ROOT
from .machine import describe, today
from .peers.contract import peak_mb

MAX_PEAK_MB = 600.0
FLAT_MB = 15.0
"""Allowed growth from the second to the last quarter; allocators vary by a few MB."""


def resident_mb() -> float:
    """Return the resident memory of this process, MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(
        int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS")
    )


def judge(curve: Sequence[tuple[int, float]], peak: float) -> tuple[bool, str]:
    """Return whether the curve of (images, MB) is flat with `peak` below the limit, and a verdict.

    A curve is flat if the median of the last quarter is at most FLAT_MB above that of the second;
    the first quarter is warm-up.
    """
    values = np.array([mb for _, mb in curve])
    quarter = max(1, len(values) // 4)
    early, last_median = (
        float(np.median(values[quarter : 2 * quarter])),
        float(np.median(values[-quarter:])),
    )
    passed = peak < MAX_PEAK_MB and last_median - early <= FLAT_MB
    return passed, (
        f"{'holds' if passed else 'MISSED'}: peak {peak:.0f} MB (wanted under {MAX_PEAK_MB:.0f}); "
        f"second quarter {early:.0f} MB, last quarter {last_median:.0f} MB "
        f"(wanted at most {FLAT_MB:.0f} more)"
    )


def draw(curve: Sequence[tuple[int, float]], lines: int = 20) -> str:
    """Return the curve as a text bar chart of about `lines` lines."""
    step = max(1, len(curve) // lines)
    return "\n".join(
        f"{images:>7} images {mb:7.1f} MB {'#' * round(mb / 10)}"
        for images, mb in curve[::step]
    )


def no_faces(image: np.ndarray) -> np.ndarray:
    """Detect nothing: replaces the detector, which is not needed for given boxes."""
    return np.zeros((0, 4))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(prog="bench/run memory", description=__doc__)
    parser.add_argument(
        "--data", help="folder of the data sets; default: LINEAMENT_DATA, else data"
    )
    parser.add_argument(
        "--cache", type=Path, help="not used; accepted by every part of bench/run"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--model", default="accurate")
    parser.add_argument("--boxes", choices=("detected", "truth"), default="detected")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=8, help="images per call")
    return parser.parse_args(arguments)


def main() -> None:
    """Stream the images, print the curve and write it."""
    options = parse()
    samples = read_faces("val", data_root(options.data))
    try:
        # with given boxes, the detector's file is not needed either
        detected = options.boxes == "detected"
        predictor = (
            Predictor(options.model) if detected else Predictor(options.model, no_faces)
        )
    except LineamentError as error:
        sys.exit(f"not measured: {error}")
    curve, begin = [(0, resident_mb())], time.perf_counter()
    stream = itertools.islice(itertools.cycle(samples), options.images)
    done, every = 0, max(options.batch, options.images // 100)
    while batch := list(itertools.islice(stream, options.batch)):
        boxes = None if detected else [sample.face_box() for sample in batch]
        predictor([sample.image for sample in batch], boxes)
        done += len(batch)
        if done - curve[-1][0] >= every:
            curve.append((done, resident_mb()))
    passed, verdict = judge(curve, peak_mb())
    seconds = time.perf_counter() - begin
    report = {
        "date": today(),
        "machine": describe(),
        "model": options.model,
        "boxes": options.boxes,
        "images": done,
    }
    report |= {
        "seconds": seconds,
        "peak_mb": peak_mb(),
        "curve": curve,
        "flat": passed,
        "verdict": verdict,
    }
    write_text(options.out / "memory.json", json.dumps(report) + "\n")
    print(draw(curve))
    print(f"{done} images, {options.model}, {options.boxes} boxes, {seconds:.0f} s")
    print(verdict)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
