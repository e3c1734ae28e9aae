"""One tracked face: its position, motion, appearance and state between frames."""

import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..crop import warp
from ..geometry import Array, Image, box_center, box_side, crop_affine, landmark_box
from ..inference.face_landmarks import FaceLandmarks
from ..inference.recrop import is_truncated
from ..inference.recurrent_state import RecurrentState
from .filters import Smoother

APPEARANCE_PX, APPEARANCE_PADDING = 12, 1.8
"""Side of a face's thumbnail in pixels, and of the region it shows in units of the box side."""
BORDER = 2
"""Width of the thumbnail's border that mostly shows background, pixels."""
APPEARANCE_EVERY_S = 0.09
"""Minimum time between appearance updates, seconds; they take time and change little."""
APPEARANCE_MEAN_S = 0.65
"""Time constant of the mean appearance, seconds."""
VELOCITY_MEAN_S = 0.1
"""Time constant of the mean velocity, seconds."""
COAST_S = 0.5
"""Time constant with which a lost face slows down, seconds."""
MAX_PREDICTED_STEP = 0.3
"""Maximum predicted step per frame, in units of the box side."""
STORED_ARRAYS = ("landmarks", "appearance", "velocity")
STORED_VALUES = (
    "track_id",
    "score",
    "hits",
    "lost_s",
    "lost_at_cut",
    "appearance_age_s",
)


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """Landmarks of one face in the current frame."""

    landmarks: Array
    """(N, 2), pixels."""
    scores: Array
    """Landmark scores, (N,)."""
    sigma_px: Array
    """Uncertainty of each landmark, (N,), pixels."""
    presence: float
    """Probability that this is a face; nan if unknown."""
    visible: Array
    """Probability that each landmark is visible, (N,); nan if unknown."""
    recurrent_state: RecurrentState | None = None
    """Recurrent state of this face only."""
    attributes: Mapping[str, float] = field(default_factory=dict)
    """Attribute probabilities by name."""

    @cached_property
    def box(self) -> Array:
        """Return the tight box (4,) around the landmarks."""
        return landmark_box(self.landmarks)

    @cached_property
    def score(self) -> float:
        """Return the mean landmark score."""
        return float(self.scores.mean())


@dataclass(eq=False)
class TrackedFace:
    """One tracked, unconfirmed or lost face."""

    track_id: int | None
    """Track id; None while the face is unconfirmed."""
    landmarks: Array
    """Last measured or predicted landmarks, (N, 2), pixels, in the model's scheme."""
    score: float
    """Score of the last detection."""
    appearance: Array
    """Thumbnail of the face without brightness and contrast, (12, 12, 3)."""
    smoother: Smoother | None
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    """Velocity of the box center, (2,), pixels per second."""
    hits: int = 1
    """Consecutive detector hits; negative: consecutive misses."""
    lost_s: float = 0.0
    """Time since the face was lost, seconds; 0 while it is tracked."""
    unseen_s: float = 0.0
    """Time between the last measured landmarks and the current frame, seconds."""
    lost_at_cut: bool = False
    """True if the face was lost at a cut, which invalidates its last position."""
    recurrent_state: RecurrentState | None = None
    """State of a recurrent model while the face is tracked."""
    appearance_age_s: float = 0.0
    """Time since the last update of the appearance, seconds."""
    cut_step: Array = field(default_factory=lambda: np.zeros(2))
    """Part of the current frame's predicted step beyond MAX_PREDICTED_STEP, (2,), pixels."""

    def __post_init__(self) -> None:
        self.box = landmark_box(self.landmarks)
        """Tight box around the landmarks, (4,)."""

    @property
    def side(self) -> float:
        """Return the longer side of the landmark box."""
        return box_side(self.box)

    def predict(self, dt: float, size: tuple[int, int]) -> None:
        """Move the face by its velocity; a lost face slows down and stops at the border.

        Args:
            dt: Seconds since the last frame.
            size: Width and height of the image.
        """
        self.unseen_s = self.lost_s + dt
        entire_step = self.velocity * dt
        length = float(np.hypot(*entire_step))
        step = entire_step * min(
            1.0, MAX_PREDICTED_STEP * self.side / max(length, 1e-9)
        )
        self.cut_step = entire_step - step
        if self.lost_s:
            center = box_center(self.box)
            step = np.clip(center + step, 0, size) - center
            self.velocity = self.velocity * math.exp(-dt / COAST_S)
        self.landmarks, self.box = self.landmarks + step, self.box + np.tile(step, 2)

    def update(self, seen: FaceObservation, image: Image, dt: float) -> FaceObservation:
        """Update the face with an observation after `dt` seconds, and return it smoothed."""
        # landmarks were already moved by the velocity, except for the part that was cut off, so
        # the remaining difference is the velocity's error
        shift = box_center(seen.box) - box_center(self.box) - self.cut_step
        self.velocity = self.velocity + min(dt / VELOCITY_MEAN_S, 1.0) * shift / dt
        self.landmarks, self.box, self.lost_s = seen.landmarks, seen.box, 0.0
        self.recurrent_state = seen.recurrent_state
        self.appearance_age_s += dt
        is_due = self.appearance_age_s >= APPEARANCE_EVERY_S
        # a face leaving the image is half cut off and would look different when it returns
        if is_due and not is_truncated(seen.box, image.shape):
            decay = math.exp(-self.appearance_age_s / APPEARANCE_MEAN_S)
            appearance = face_thumbnail(image, seen.box)
            self.appearance = _normalized(
                decay * self.appearance + (1 - decay) * appearance
            )
            self.appearance_age_s = 0.0
        if self.smoother is None:
            return seen
        return replace(seen, landmarks=self.smoother(seen.landmarks, seen.sigma_px, dt))

    def miss(self, dt: float) -> None:
        """Record a frame of `dt` seconds without the face."""
        self.lost_s += dt
        self.recurrent_state = None

    def reacquire(
        self, seen: FaceObservation, score: float, smoother: Smoother | None
    ) -> None:
        """Continue with an observation, its detector score and a new smoother."""
        self.landmarks, self.box, self.score = seen.landmarks, seen.box, score
        self.velocity, self.smoother, self.hits = np.zeros(2), smoother, 1
        self.cut_step = np.zeros(2)
        self.lost_at_cut = False

    def distance(self, seen: FaceObservation) -> float:
        """Return the distance of an observation from the predicted position, in box sides."""
        step = box_center(seen.box) - box_center(self.box)
        return float(np.hypot(*step) / self.side)

    def similarity(self, seen: FaceObservation, image: Image, border: int = 0) -> float:
        """Return the correlation of the appearances, excluding a border of `border` pixels."""
        inner = slice(border, APPEARANCE_PX - border)
        previous = self.appearance[inner, inner]
        current = face_thumbnail(image, seen.box)[inner, inner]
        return float((_normalized(previous) * _normalized(current)).mean())

    def mismatch(self, seen: FaceObservation, image: Image) -> float:
        """Return how badly an observation matches in position, size and appearance."""
        size = abs(math.log(box_side(seen.box) / self.side))
        return self.distance(seen) + size + 2 * (1 - self.similarity(seen, image))

    def state(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        arrays = {name: getattr(self, name).tolist() for name in STORED_ARRAYS}
        values = {name: getattr(self, name) for name in STORED_VALUES}
        smoother = None if self.smoother is None else self.smoother.state()
        nested = {"smoother": smoother, "recurrent": _packed(self.recurrent_state)}
        return arrays | values | nested

    @classmethod
    def restored(
        cls, state: Mapping[str, Any], smoother: Smoother | None
    ) -> "TrackedFace":
        """Return a face restored from `state`, with a new smoother of the same kind."""
        if smoother is not None:
            smoother.restore(state["smoother"])
        parts: dict[str, Any] = {name: state[name] for name in STORED_VALUES}
        for name in STORED_ARRAYS:
            parts[name] = np.array(state[name], np.float64)
        parts["recurrent_state"] = _unpacked(state["recurrent"])
        return cls(**parts, smoother=smoother)


def face_thumbnail(image: Image, box: Array) -> Array:
    """Return the thumbnail (12, 12, 3) of a face, without brightness and contrast."""
    affine = crop_affine(box, APPEARANCE_PX, APPEARANCE_PADDING)
    return _normalized(warp(image, affine, APPEARANCE_PX).astype(np.float64))


def _normalized(thumbnail: Array) -> Array:
    contrast = max(float(thumbnail.std()), 1e-6)
    return np.asarray((thumbnail - thumbnail.mean()) / contrast)


def _packed(state: RecurrentState | None) -> dict[str, Any] | None:
    """Return a recurrent state as JSON values; base64 is a third as long as decimal digits."""
    if state is None:
        return None
    maps = b64encode(state.maps.astype("<f4").tobytes()).decode()
    affines = state.image_to_crop.tolist()
    return {"shape": state.maps.shape, "float32": maps, "image_to_crop": affines}


def _unpacked(packed: Mapping[str, Any] | None) -> RecurrentState | None:
    if packed is None:
        return None
    maps = np.frombuffer(b64decode(packed["float32"]), "<f4").reshape(packed["shape"])
    return RecurrentState(maps, np.array(packed["image_to_crop"], np.float64))


def make_observations(found: FaceLandmarks) -> list[FaceObservation]:
    """Return one observation per face."""
    observations = []
    for k, landmarks in enumerate(found.landmarks):
        state = found.recurrent_state
        if state is not None:
            maps, affine = state.maps[k : k + 1], state.image_to_crop[k : k + 1]
            state = RecurrentState(maps, affine)
        observation = FaceObservation(
            landmarks,
            found.scores[k],
            found.sigma_px[k],
            float(found.presence[k]),
            found.visible[k],
            state,
            found.attributes_of(k),
        )
        observations.append(observation)
    return observations
