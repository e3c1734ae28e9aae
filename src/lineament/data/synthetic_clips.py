"""Synthetic clips from a still image: known landmarks, motion, blur, occluders, lighting.

Depends on face_motion.py. Equal seeds give equal clips.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..errors import InputError, ShapeError
from ..geometry import (
    Array,
    apply_affine,
    as_points,
    box_center,
    compose,
    crop_affine,
    invert_affine,
    landmark_box,
    similarity,
)
from ..opencv import cv2
from ..schemes import scheme
from .degrade import jpeg, to_bytes
from .face_motion import Expression, MovingTime, Wave, ibug68_expressions

FACE = 0.42
"""Side of the landmark box before motion, as a fraction of the image side."""
SHUTTER = 0.5
"""Exposure time as a fraction of the time between two frames."""
SUBFRAMES = 4
"""Maximum number of sharp images averaged into a motion-blurred frame."""


@dataclass(frozen=True)
class ClipSettings:
    """Settings of a synthetic clip. Lengths are relative to the image side, rates are in Hz."""

    frames: int = 150
    size: int = 288
    """Side of the square frames, pixels."""
    rate: float = 30.0
    """Frames per second."""
    move: float = 0.08
    """Amplitude of the head's translation."""
    turn_deg: float = 14.0
    """Amplitude of the head's in-plane rotation, degrees."""
    zoom: float = 0.14
    """Amplitude of the log scale of the face."""
    still: float = 0.4
    """Fraction of the time during which the head is still."""
    expression: float = 1.0
    """Amplitude of the motion of jaw, lids, brows and mouth corners; 0: none."""
    noise: float = 3.0
    """Standard deviation of the sensor noise, gray levels."""
    quality: int = 60
    """JPEG quality of each frame; 0: no JPEG compression."""
    light: float = 0.25
    """Amplitude of brightness changes."""
    occluders: int = 1
    """Number of objects that pass in front of the face."""


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """One frame of a clip."""

    image: NDArray[np.uint8]
    """RGB (H, W, 3)."""
    landmarks: Array
    """(N, 2), pixels of the frame; occluded landmarks are included."""
    occluded: NDArray[np.bool_]
    """Mask (N,) of landmarks covered by an occluder."""
    timestamp: float
    """Time in seconds."""


def make_clip(
    image: NDArray[np.uint8],
    landmarks: Array,
    scheme_name: str,
    seed: int,
    settings: ClipSettings | None = None,
) -> Iterator[ClipFrame]:
    """Yield the frames of a clip synthesized from one still image.

    Args:
        image: RGB (H, W, 3).
        landmarks: (N, 2), pixels of the image, all finite.
        scheme_name: Landmark scheme; expressions are only available for ibug68.
        seed: Seed of all randomness.
        settings: Settings of the clip; None: defaults.

    Raises:
        ShapeError: If a landmark is not finite or the number of landmarks does not match.
        InputError: If the settings request no frames, or frames that are too small.
    """
    chosen = settings or ClipSettings()
    points = as_points(landmarks)
    count = len(scheme(scheme_name))
    if len(points) != count or not np.isfinite(points).all():
        raise ShapeError(
            f"{len(points)} landmarks, perhaps not all finite; "
            f"expected the {count} of {scheme_name}, all finite"
        )
    if chosen.frames < 1 or chosen.size < 32:
        raise InputError(
            f"{chosen.frames} frames of {chosen.size} px; "
            "expected at least 1 frame of 32 px"
        )
    return _Scene(image, points, scheme_name, seed, chosen).frames()


class _Scene:
    """A face that moves in front of a static camera."""

    def __init__(
        self,
        image: NDArray[np.uint8],
        landmarks: Array,
        scheme_name: str,
        seed: int,
        settings: ClipSettings,
    ) -> None:
        self.settings = settings
        rng = np.random.default_rng([seed, 1])
        self.noise_rng = np.random.default_rng([seed, 2])
        size = settings.size
        to_still = crop_affine(landmark_box(landmarks), size, 1 / FACE)
        self.still = _warp_mirrored(image, to_still, size)
        self.landmarks = apply_affine(to_still, landmarks)
        self.center = box_center(landmark_box(self.landmarks))
        seconds = settings.frames / settings.rate + 1
        self.moving_time = MovingTime(rng, seconds, settings.still)
        self.path = [Wave(rng) for _ in range(4)]
        self.light = [Wave(rng, 0.5) for _ in range(2)]
        self.flicker = rng.uniform(0, 0.01)
        self.light_angle = rng.uniform(0, 2 * math.pi)
        self.expressions: list[Expression] = []
        if scheme_name == "ibug68" and settings.expression:
            self.expressions = ibug68_expressions(self.landmarks, size, rng)
        self.occluders = [
            _Occluder(rng, self.center, settings) for _ in range(settings.occluders)
        ]
        rows, columns = np.mgrid[:size, :size].astype(np.float32)
        self.grid = np.stack([columns, rows], -1)

    def frames(self) -> Iterator[ClipFrame]:
        for number in range(self.settings.frames):
            time = number / self.settings.rate
            landmarks = self._landmarks_at(time)
            image = self._expose(time, landmarks)
            occluded = np.zeros(len(landmarks), bool)
            for occluder in self.occluders:
                occluded |= occluder.paint(image, time, landmarks)
            yield ClipFrame(self._add_sensor_noise(image), landmarks, occluded, time)

    def _still_to_frame(self, time: float) -> Array:
        """Return the similarity transform (2, 3) from the still image to the frame."""
        moved, s = self.moving_time(time), self.settings
        x, y, turn, zoom = (wave(moved) for wave in self.path)
        center = self.center + np.array([x, y]) * s.move * s.size
        return similarity(
            math.exp(zoom * s.zoom), turn * s.turn_deg, self.center, center
        )

    def _strengths(self, time: float) -> list[float]:
        """Return the strength of each expression."""
        return [
            self.settings.expression * each.strength(time) for each in self.expressions
        ]

    def _landmarks_at(self, time: float) -> Array:
        """Return the landmarks (N, 2), pixels of the frame."""
        strengths = self._strengths(time)
        landmarks = self.landmarks.copy()
        # displacements are defined at their end points, which a fixed-point iteration finds
        for _ in range(12):
            shift = np.zeros(2)
            for strength, expression in zip(strengths, self.expressions, strict=True):
                shift = shift + strength * expression.field_at(landmarks)
            landmarks = self.landmarks + shift
        return apply_affine(self._still_to_frame(time), landmarks)

    def _expose(self, time: float, landmarks: Array) -> NDArray[np.float32]:
        """Return the image of one exposure, with motion blur."""
        s = self.settings
        moved = self._landmarks_at(time + SHUTTER / s.rate) - landmarks
        blur = float(np.abs(moved).max())
        parts = min(max(math.ceil(blur), 1), SUBFRAMES)
        image = np.zeros((s.size, s.size, 3), np.float32)
        for part in range(parts):
            # the exposure is centered on the time of the landmarks
            offset = (part - (parts - 1) / 2) / parts * SHUTTER / s.rate
            image += self._render(time + offset) / parts
        flicker = self.flicker * math.sin(2 * math.pi * 12.3 * time)
        gain = 1 + s.light * self.light[0](time) + flicker
        direction = np.array(
            [math.cos(self.light_angle), math.sin(self.light_angle)], np.float32
        )
        side = self.grid @ direction / s.size - 0.5
        light = gain + s.light * self.light[1](time) * side
        return np.asarray(image * light[..., None], dtype=np.float32)

    def _render(self, time: float) -> NDArray[np.float32]:
        """Return the sharp image (S, S, 3) at one moment."""
        back = invert_affine(self._still_to_frame(time)).astype(np.float32)
        source = (self.grid @ back[:, :2].T + back[:, 2]).astype(np.float32)
        strengths = self._strengths(time)
        if any(strengths):
            field = np.zeros((*self.grid.shape[:2], 2), np.float32)
            for strength, expression in zip(strengths, self.expressions, strict=True):
                field += np.float32(strength) * expression.field
            source = source - _remap(field, source, cv2.BORDER_CONSTANT)
        return _remap(self.still, source, cv2.BORDER_REFLECT_101)

    def _add_sensor_noise(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        s = self.settings
        if s.noise:
            image = image + self.noise_rng.standard_normal(
                image.shape, np.float32
            ) * np.float32(s.noise)
        levels = to_bytes(np.rint(image))
        if not s.quality:
            return levels
        return np.ascontiguousarray(jpeg(levels[..., ::-1], s.quality)[..., ::-1])


def _remap(
    image: NDArray[Any], source: NDArray[np.float32], border: int
) -> NDArray[np.float32]:
    """Return `image` sampled at `source` (H, W, 2), x and y coordinates."""
    x, y = np.ascontiguousarray(source[..., 0]), np.ascontiguousarray(source[..., 1])
    sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(sampled, dtype=np.float32)


def _warp_mirrored(
    image: NDArray[np.uint8], affine: Array, size: int
) -> NDArray[np.uint8]:
    """Return the crop of `image` with mirrored instead of black borders."""
    crop = warp(image, affine, size)
    last = [image.shape[1] - 1, image.shape[0] - 1]
    corners = apply_affine(affine, [[0, 0], last])
    x0, y0 = np.clip(np.ceil(corners[0]), 0, size - 2).astype(int)
    x1, y1 = np.clip(np.floor(corners[1]) + 1, (x0 + 2, y0 + 2), size).astype(int)
    if (x0, y0, x1, y1) == (0, 0, size, size):
        return crop
    edges = (y0, size - y1, x0, size - x1)
    mirrored = cv2.copyMakeBorder(crop[y0:y1, x0:x1], *edges, cv2.BORDER_REFLECT)
    return np.asarray(mirrored, dtype=np.uint8)


class _Occluder:
    """A colored ellipse that crosses the image once."""

    def __init__(
        self, rng: np.random.Generator, face_center: Array, settings: ClipSettings
    ) -> None:
        seconds, size = settings.frames / settings.rate, settings.size
        self.start = rng.uniform(0.1, 0.7) * seconds
        self.duration = rng.uniform(0.6, 1.8)
        heading = rng.uniform(0, 2 * math.pi)
        way = np.array([math.cos(heading), math.sin(heading)]) * size * 0.8
        target = face_center + rng.normal(0, 0.07, 2) * size
        self.first, self.last = target - way, target + way
        self.axes = rng.uniform(0.07, 0.17, 2) * size
        self.angle_deg = float(rng.uniform(0, 180))
        self.color = rng.uniform(10, 245, 3)

    def paint(
        self, image: NDArray[np.float32], time: float, landmarks: Array
    ) -> NDArray[np.bool_]:
        """Paint the occluder into `image`; return a mask (N,) of the landmarks (N, 2) it covers."""
        part = (time - self.start) / self.duration
        if not 0 < part < 1:
            return np.zeros(len(landmarks), bool)
        # fast at both ends, slow in front of the face
        center = self.first + (self.last - self.first) * (0.5 + 4 * (part - 0.5) ** 3)
        # OpenCV expects integers in units of 1/16 px
        x, y, width, height = (round(float(v) * 16) for v in (*center, *self.axes))
        color = tuple(self.color.tolist())
        cv2.ellipse(
            image,
            (x, y),
            (width, height),
            self.angle_deg,
            0,
            360,
            color,
            cv2.FILLED,
            cv2.LINE_AA,
            4,
        )
        to_circle = compose(
            [[1 / self.axes[0], 0, 0], [0, 1 / self.axes[1], 0]],
            similarity(1.0, -self.angle_deg, center, (0, 0)),
        )
        return np.asarray((apply_affine(to_circle, landmarks) ** 2).sum(1) < 1)
