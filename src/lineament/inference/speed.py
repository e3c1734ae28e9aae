"""Measure the speed of packaged models on this machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .face_detector import FaceDetector
from .model_files import DETECTOR
from .registry import load_model

IMAGE_SHAPE = (480, 640, 3)


@dataclass(frozen=True)
class Timing:
    """Best and median time of one call of a model."""

    model: str
    workload: str
    """Work per call, e.g. "16 crops of 128 px"."""
    threads: int
    items: int
    """Crops or images per call."""
    least_ms: float
    median_ms: float

    @property
    def per_second(self) -> float:
        """Items per second at the median."""
        return 1000 * self.items / self.median_ms


def time_model(card: dict[str, Any], seconds: float = 0.5) -> list[Timing]:
    """Time a packaged model: one item, then batches on one and two threads.

    Args:
        card: The model's card.
        seconds: Duration of each measurement.

    Raises:
        ModelError: If the model file is missing or broken.
    """
    name = str(card["name"])
    noise = np.random.default_rng(0)
    if name == DETECTOR:
        detector = FaceDetector(threads=1)
        image = noise.integers(0, 256, IMAGE_SHAPE, dtype=np.uint8)
        workload = f"an image of {IMAGE_SHAPE[1]} x {IMAGE_SHAPE[0]}"
        return [_timed(name, workload, 1, 1, lambda: detector(image), seconds)]
    timings = []
    for threads, batch in ((1, 1), (1, 16), (2, 64)):
        model = load_model(name, threads)
        crops = noise.integers(
            0, 256, (batch, model.size, model.size, 3), dtype=np.uint8
        )
        workload = f"{batch} crop{'' if batch == 1 else 's'} of {model.size} px"
        call = partial(model.predict, crops)
        timings.append(_timed(name, workload, threads, batch, call, seconds))
    return timings


def time_file(path: Path, seconds: float = 0.5) -> Timing:
    """Time the landmark model in a file on one crop and one thread.

    Raises:
        ModelError: If the file is missing or broken.
    """
    model = load_model(path, 1)
    crop = np.random.default_rng(0).integers(
        0, 256, (1, model.size, model.size, 3), dtype=np.uint8
    )
    workload = f"1 crop of {model.size} px"
    return _timed(model.name, workload, 1, 1, partial(model.predict, crop), seconds)


def _timed(
    name: str,
    workload: str,
    threads: int,
    items: int,
    call: Callable[[], Any],
    seconds: float,
) -> Timing:
    call()  # warm-up: the first call also allocates
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return Timing(name, workload, threads, items, min(times), float(np.median(times)))
