"""One face as a tracker knows it: where it is and where it goes, what it looks like, and what is remembered of it."""

import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..geometry import Array, box_center, box_side, crop_affine, landmark_box
from ..inference.predictor import FaceLandmarks
from ..inference.recurrent_state import Memory
from .filters import Smoother

LOOK, AROUND = 12, 1.8
"""Side in pixels of the small picture by which a face is known again, and its side in sides of the face."""
BORDER = 2
"""Pixels of that picture's border that mostly show what is behind the face."""
LOOK_S = 0.09
"""Seconds between two looks at what a face looks like, which take time and change little from frame to frame."""
LEARN_S = 0.65
"""Time over which what it looks like is averaged, in seconds."""
SPEED_S = 0.1
"""Time over which a face's velocity is averaged, in seconds."""
COAST_S = 0.5
"""Time in which a lost face slows down."""
NEAR_SIDES = 0.3
"""A face is looked for at most so far ahead of where it was, in sides."""
NUMBERS = ("number", "score", "looks", "lost_s", "cut_off", "unlearnt_s")
"""What of a face is told as it is."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What the model says of one face of the frame."""

    landmarks: Array
    scores: Array
    sigma_px: Array
    memory: Memory | None = None
    """Of this one face."""

    @cached_property
    def box(self) -> Array:
        """The tight box (4,) around the landmarks."""
        return landmark_box(self.landmarks)

    @classmethod
    def all_of(cls, found: FaceLandmarks) -> "list[Seen]":
        """One for each face of `found`."""
        rows = zip(found.landmarks, found.scores, found.sigma_px, strict=True)
        if found.memory is None:
            return [cls(*row) for row in rows]
        maps, affines = found.memory
        return [
            cls(*row, Memory(maps[k : k + 1], affines[k : k + 1])) for k, row in enumerate(rows)
        ]


@dataclass(eq=False)
class Followed:
    """One face as it is known."""

    number: int | None
    """None while it is doubtful."""
    landmarks: Array
    """(N, 2), as last measured, or where they would be now, in the model's scheme."""
    score: float
    """The detector's, when it last saw the face."""
    look: Array
    """The face's small picture, without brightness and contrast."""
    smoother: Smoother | None
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    """(2,): of its centre, in px/s."""
    looks: int = 1
    """Looks of the detector at it in a row; below 0: without it."""
    lost_s: float = 0.0
    """Seconds since it was lost; 0 while it is followed."""
    cut_off: bool = False
    """Whether it was lost at a cut: where it was then says nothing of where it is."""
    memory: Memory | None = None
    """Of a model that remembers what it saw of this one face, while it is followed."""
    unlearnt_s: float = 0.0
    """Seconds since what it looks like was last learnt from."""

    def __post_init__(self) -> None:
        self.box = landmark_box(self.landmarks)
        """(4,): around the landmarks."""

    @property
    def side(self) -> float:
        """The side of its landmark box."""
        return box_side(self.box)

    def go_on(self, dt: float, size: tuple[int, int]) -> None:
        """Moves on as it moved; a lost face slows down, and waits at the border of the picture of that `size`."""
        step = self.velocity * dt
        length = float(np.hypot(*step))
        step *= min(1.0, NEAR_SIDES * self.side / max(length, 1e-9))
        if self.lost_s:
            center = box_center(self.box)
            step = np.clip(center + step, 0, size) - center
            self.velocity = self.velocity * math.exp(-dt / COAST_S)
        self.landmarks, self.box = self.landmarks + step, self.box + np.tile(step, 2)

    def miss(self, dt: float) -> None:
        """Was not seen for `dt` seconds more."""
        self.lost_s += dt
        self.memory = None

    def state(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name).tolist() for name in ("landmarks", "look", "velocity")}
        numbers = {name: getattr(self, name) for name in NUMBERS}
        smoother = None if self.smoother is None else self.smoother.state()
        return arrays | numbers | {"smoother": smoother, "memory": _packed(self.memory)}

    @classmethod
    def restored(cls, state: Mapping[str, Any], smoother: Smoother | None) -> "Followed":
        """The face of which `state` was told, with a new smoother of the same kind."""
        if smoother is not None:
            smoother.restore(state["smoother"])
        arrays: dict[str, Any] = {
            name: np.array(state[name], np.float64) for name in ("landmarks", "look", "velocity")
        }
        numbers: dict[str, Any] = {name: state[name] for name in NUMBERS}
        return cls(**arrays, **numbers, smoother=smoother, memory=_unpacked(state["memory"]))

    def away(self, points: Seen) -> float:
        """How far `points` are from where the face should be, in sides."""
        return float(np.hypot(*(box_center(points.box) - box_center(self.box))) / self.side)

    def alike(self, points: Seen, image: NDArray[np.uint8], border: int = 0) -> float:
        """The correlation of what the face looks like with what is at `points`, less so many pixels at the border."""
        inner = slice(border, LOOK - border)
        known, shown = self.look[inner, inner], look_of(image, points.box)[inner, inner]
        return float((_normal(known) * _normal(shown)).mean())

    def strangeness(self, points: Seen, image: NDArray[np.uint8]) -> float:
        """How badly `points` fit the face: by place, size and look."""
        size = abs(math.log(box_side(points.box) / self.side))
        return self.away(points) + size + 2 * (1 - self.alike(points, image))

    def come_back(self, points: Seen, score: float, smoother: Smoother | None) -> None:
        """Is found at `points` with a `score` of the detector; nothing is known of how it got there."""
        self.landmarks, self.box, self.score = points.landmarks, points.box, score
        self.velocity, self.smoother, self.looks, self.cut_off = np.zeros(2), smoother, 1, False

    def take_in(self, points: Seen, image: NDArray[np.uint8], dt: float) -> Seen:
        """Learns from what was seen after `dt` seconds; gives it smoothed."""
        # the face went on as it moved: what is left of the way is what its velocity lacks
        moved = box_center(points.box) - box_center(self.box)
        self.velocity = self.velocity + min(dt / SPEED_S, 1.0) * moved / dt
        self.landmarks, self.box, self.memory, self.lost_s = (
            points.landmarks,
            points.box,
            points.memory,
            0.0,
        )
        self.unlearnt_s += dt
        if self.unlearnt_s >= LOOK_S:
            kept = math.exp(-self.unlearnt_s / LEARN_S)
            self.look = _normal(kept * self.look + (1 - kept) * look_of(image, points.box))
            self.unlearnt_s = 0.0
        if self.smoother is None:
            return points
        return replace(points, landmarks=self.smoother(points.landmarks, points.sigma_px, dt))


def look_of(image: NDArray[np.uint8], box: Array) -> Array:
    """The small picture of the face in `box` and what is around it, without brightness and contrast."""
    return _normal(warp(image, crop_affine(box, LOOK, AROUND), LOOK).astype(np.float64))


def _normal(picture: Array) -> Array:
    return np.asarray((picture - picture.mean()) / max(float(picture.std()), 1e-6))


def _packed(memory: Memory | None) -> dict[str, Any] | None:
    """`memory` for JSON, its maps as bytes in base64: numbers spelt out would be thrice as long."""
    if memory is None:
        return None
    maps, affines = memory
    told = b64encode(maps.astype("<f4").tobytes()).decode()
    return {"shape": maps.shape, "float32": told, "affines": affines.tolist()}


def _unpacked(packed: Mapping[str, Any] | None) -> Memory | None:
    if packed is None:
        return None
    maps = np.frombuffer(b64decode(packed["float32"]), "<f4").reshape(packed["shape"])
    return Memory(maps, np.array(packed["affines"], np.float64))
