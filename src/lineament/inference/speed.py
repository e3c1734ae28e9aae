"""How fast the models that come with the package are on this machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .face_detector import FaceDetector
from .registry import load_model

PICTURE = (480, 640, 3)


@dataclass(frozen=True)
class Timing:
    """The time of one call of a model, the best and the middle of many."""

    model: str
    what: str
    """What a call does, e.g. "16 crops of 128 px"."""
    threads: int
    items: int
    """Faces, or pictures, a call."""
    least_ms: float
    median_ms: float

    @property
    def per_second(self) -> float:
        """Items a second at the median."""
        return 1000 * self.items / self.median_ms


def time_model(card: dict[str, Any], seconds: float = 0.5) -> list[Timing]:
    """Timings of the model that `card` is of: one item on one thread, then batches on one and two.

    seconds: how long each is measured.    Raises: ModelError where its file is missing or broken.
    """
    name = str(card["name"])
    noise = np.random.default_rng(0)
    if card.get("kind") != "landmarks":
        detector = FaceDetector(threads=1)
        picture = noise.integers(0, 256, PICTURE, dtype=np.uint8)
        what = f"a picture of {PICTURE[1]} x {PICTURE[0]}"
        return [_timed(name, what, 1, 1, lambda: detector(picture), seconds)]
    timings = []
    for threads, batch in ((1, 1), (1, 16), (2, 64)):
        model = load_model(name, threads)
        crops = noise.integers(0, 256, (batch, model.size, model.size, 3), dtype=np.uint8)
        what = f"{batch} crop{'' if batch == 1 else 's'} of {model.size} px"
        timings.append(_timed(name, what, threads, batch, _call(model.predict, crops), seconds))
    return timings


def time_file(path: Path, seconds: float = 0.5) -> Timing:
    """The timing of one crop on one thread by the landmark model in the file at `path`.    Raises: ModelError."""
    model = load_model(path, 1)
    crop = np.random.default_rng(0).integers(0, 256, (1, model.size, model.size, 3), dtype=np.uint8)
    return _timed(
        model.name, f"1 crop of {model.size} px", 1, 1, _call(model.predict, crop), seconds
    )


def _call(heads: Callable[[Any], Any], crops: Any) -> Callable[[], Any]:
    return lambda: heads(crops)


def _timed(
    name: str, what: str, threads: int, items: int, call: Callable[[], Any], seconds: float
) -> Timing:
    call()  # the first call also lays out memory
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return Timing(name, what, threads, items, min(times), float(np.median(times)))
