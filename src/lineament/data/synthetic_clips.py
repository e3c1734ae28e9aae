"""A still with its landmarks -> a clip of known landmarks: smooth motion, expression, blur, occluders and lighting.

Made to look like video, for training what sees several frames and for choosing filters. Seeded: the same numbers give
the same clip.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
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
    fit_roll_deg,
    invert_affine,
    landmark_box,
    similarity,
)
from ..schemes import scheme
from .degrade import jpeg, to_bytes

FACE = 0.42
"""Side of the landmark box in sides of the picture, before it moves."""
REACH = 0.35
"""Width of what an expression moves with a point, in distances between the eyes."""
SHUTTER = 0.5
"""Part of the time between two frames for which light is gathered."""
SUBFRAMES = 4
"""A blurred frame is the mean of at most so many sharp ones."""


@dataclass(frozen=True)
class ClipSettings:
    """What happens in a clip. Lengths are in sides of the picture, rates in 1/s."""

    frames: int = 150
    size: int = 288
    """Side of the square picture in pixels."""
    rate: float = 30.0
    """Frames a second."""
    move: float = 0.08
    """Size of the head's motion."""
    turn_deg: float = 14.0
    zoom: float = 0.14
    still: float = 0.4
    """Part of the time in which the head keeps still."""
    expression: float = 1.0
    """Size of the motion of jaw, lids, brows and mouth corners; 0 for none."""
    noise: float = 3.0
    """Deviation of the sensor's noise, in grey levels."""
    quality: int = 60
    """Of the JPEG that every frame goes through; 0 for none."""
    light: float = 0.25
    """Size of the changes of brightness."""
    occluders: int = 1
    """Things that pass in front of the face."""


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """One frame of a clip."""

    image: NDArray[np.uint8]
    """RGB (H, W, 3)."""
    landmarks: Array
    """(N, 2), pixels of the frame: where the points are, seen or not."""
    hidden: NDArray[np.bool_]
    """(N,): points behind an occluder."""
    timestamp: float
    """Seconds."""


def make_clip(
    image: NDArray[np.uint8],
    landmarks: Array,
    name: str,
    seed: int,
    settings: ClipSettings | None = None,
) -> Iterator[ClipFrame]:
    """The frames of a clip made of one still.

    image: RGB (H, W, 3).    landmarks: (N, 2), pixels of it, of the scheme called `name`; expressions need ibug68.
    Raises: ShapeError where a landmark is not finite or the points are not those of the scheme.
    """
    chosen = settings or ClipSettings()
    points = as_points(landmarks)
    if len(points) != len(scheme(name)) or not np.isfinite(points).all():
        raise ShapeError(
            f"{len(points)} landmarks, some perhaps not finite; wanted all {len(scheme(name))} of {name}"
        )
    if chosen.frames < 1 or chosen.size < 32:
        raise InputError(
            f"{chosen.frames} frames of {chosen.size} px; wanted at least 1 frame of 32 px"
        )
    return _Scene(image, points, name, seed, chosen).frames()


class _Wave:
    """A smooth random function of time with values of about -1 to 1: three slow sines."""

    def __init__(self, rng: np.random.Generator, fastest: float = 1.0) -> None:
        self.rates = rng.uniform(0.08, fastest, 3) * 2 * math.pi
        self.phases = rng.uniform(0, 2 * math.pi, 3)
        self.sizes = rng.dirichlet(np.ones(3))

    def __call__(self, time: float) -> float:
        return float((self.sizes * np.sin(self.rates * time + self.phases)).sum())


class _Gate:
    """1 while something moves, 0 while it keeps still, with smooth changes; its integral is the time that is moved."""

    def __init__(self, rng: np.random.Generator, seconds: float, still: float) -> None:
        step = 0.01
        count = int(seconds / step) + 200
        # stretches of 0.7 to 2 seconds
        gate, at, moves = np.zeros(count), 0, bool(rng.integers(2))
        while at < count:
            share = (1 - still) if moves else still
            length = max(int(rng.uniform(0.7, 2.0) * 2 * share / step), 1)
            gate[at : at + length] = moves
            at, moves = at + length, not moves
        kernel = np.hanning(41)
        self.moved = np.cumsum(np.convolve(gate, kernel / kernel.sum(), "same")) * step
        self.step = step

    def __call__(self, time: float) -> float:
        """Seconds moved until `time`; a path followed at this time stands still where the gate is 0."""
        return float(np.interp(time / self.step, np.arange(len(self.moved)), self.moved))


class _Scene:
    """A face that moves before a camera."""

    def __init__(
        self,
        image: NDArray[np.uint8],
        landmarks: Array,
        name: str,
        seed: int,
        settings: ClipSettings,
    ) -> None:
        self.settings = settings
        rng = np.random.default_rng([seed, 1])
        self.noise_rng = np.random.default_rng([seed, 2])
        size = settings.size
        to_still = crop_affine(landmark_box(landmarks), size, 1 / FACE)
        self.still = _filled(image, to_still, size)
        self.points = apply_affine(to_still, landmarks)
        self.middle = box_center(landmark_box(self.points))
        self.gate = _Gate(rng, settings.frames / settings.rate + 1, settings.still)
        self.path = [_Wave(rng) for _ in range(4)]
        self.light = [_Wave(rng, 0.5) for _ in range(2)]
        self.flicker = rng.uniform(0, 0.01)
        self.lean = rng.uniform(0, 2 * math.pi)
        self.faces = (
            _expressions(self.points, size, rng) if name == "ibug68" and settings.expression else []
        )
        self.occluders = [_Occluder(rng, self, settings) for _ in range(settings.occluders)]
        rows, columns = np.mgrid[:size, :size].astype(np.float32)
        self.grid = np.stack([columns, rows], -1)

    def frames(self) -> Iterator[ClipFrame]:
        for number in range(self.settings.frames):
            time = number / self.settings.rate
            affine, moves = self._state(time)
            landmarks = apply_affine(affine, self._deformed(moves))
            picture = self._exposed(time, landmarks)
            hidden = np.zeros(len(landmarks), bool)
            for occluder in self.occluders:
                hidden |= occluder.paint(picture, time, landmarks)
            yield ClipFrame(self._sensed(picture), landmarks, hidden, time)

    def _state(self, time: float) -> tuple[Array, list[float]]:
        """The similarity (2, 3) from the still to the frame, and how strong each expression is."""
        moved, s = self.gate(time), self.settings
        x, y, turn, zoom = (wave(moved) for wave in self.path)
        shift = self.middle + np.array([x, y]) * s.move * s.size
        affine = similarity(math.exp(zoom * s.zoom), turn * s.turn_deg, self.middle, shift)
        return affine, [s.expression * face.strength(time) for face in self.faces]

    def _deformed(self, moves: list[float]) -> Array:
        """The landmarks (N, 2) of the still with its expressions."""
        ends = self.points.copy()
        for _ in range(
            12
        ):  # the field is given where pixels end up, so where a point ends up solves an equation
            step = sum(
                (m * face.field_at(ends) for m, face in zip(moves, self.faces, strict=True)),
                np.zeros(2),
            )
            ends = self.points + step
        return ends

    def _exposed(self, time: float, landmarks: Array) -> NDArray[np.float32]:
        """The picture of one exposure, blurred by the motion in it, under the light of that time."""
        s = self.settings
        later = time + SHUTTER / s.rate
        end = self._state(later)
        blur = float(np.abs(apply_affine(end[0], self._deformed(end[1])) - landmarks).max())
        parts = min(max(math.ceil(blur), 1), SUBFRAMES)
        picture = np.zeros((s.size, s.size, 3), np.float32)
        for part in range(parts):
            # the exposure is centered on the time for which the landmarks are given
            offset = (part - (parts - 1) / 2) / parts * SHUTTER / s.rate
            picture += self._sharp(*self._state(time + offset)) / parts
        gain = (
            1 + s.light * self.light[0](time) + self.flicker * math.sin(2 * math.pi * 12.3 * time)
        )
        side = (
            self.grid @ np.array([math.cos(self.lean), math.sin(self.lean)], np.float32) / s.size
            - 0.5
        )
        return np.asarray(
            picture * (gain + s.light * self.light[1](time) * side)[..., None], dtype=np.float32
        )

    def _sharp(self, affine: Array, moves: list[float]) -> NDArray[np.float32]:
        back = invert_affine(affine)
        source = (
            self.grid @ back[:, :2].T.astype(np.float32) + back[:, 2].astype(np.float32)
        ).astype(np.float32)
        if any(moves):
            field = np.zeros((*self.grid.shape[:2], 2), np.float32)
            for strength, face in zip(moves, self.faces, strict=True):
                field += np.float32(strength) * face.field
            source = source - cv2.remap(
                field, *_both(source), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
            )
        shown = cv2.remap(
            self.still, *_both(source), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(shown, dtype=np.float32)

    def _sensed(self, picture: NDArray[np.float32]) -> NDArray[np.uint8]:
        s = self.settings
        if s.noise:
            picture = picture + self.noise_rng.standard_normal(
                picture.shape, np.float32
            ) * np.float32(s.noise)
        levels = to_bytes(np.rint(picture))
        if not s.quality:
            return levels
        return np.ascontiguousarray(jpeg(levels[..., ::-1], s.quality)[..., ::-1])


def _both(places: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y (H, W) of `places` (H, W, 2)."""
    return np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])


def _filled(image: NDArray[np.uint8], affine: Array, size: int) -> NDArray[np.uint8]:
    """The crop that `affine` shows, what lies beyond the image mirrored at its border, not black."""
    crop = warp(image, affine, size)
    corners = apply_affine(affine, np.array([[0, 0], [image.shape[1] - 1, image.shape[0] - 1]]))
    x0, y0 = np.clip(np.ceil(corners[0]), 0, size - 2).astype(int)
    x1, y1 = np.clip(np.floor(corners[1]) + 1, (x0 + 2, y0 + 2), size).astype(int)
    if (x0, y0, x1, y1) == (0, 0, size, size):
        return crop
    edges = (y0, size - y1, x0, size - x1)
    return np.asarray(
        cv2.copyMakeBorder(crop[y0:y1, x0:x1], *edges, cv2.BORDER_REFLECT), dtype=np.uint8
    )


class _Expression:
    """A smooth field of displacements of the still, and how strong it is at a time."""

    def __init__(
        self, points: Array, shifts: Array, reach: float, size: int, strength: "_Pulses | _Talk"
    ) -> None:
        self.strength = strength
        self.reach = reach
        # far points that stay where they are keep the field inside the face
        ring = size * np.array(
            [[x, y] for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]
        )
        self.centers = np.concatenate([points, ring])
        wanted = np.concatenate([shifts, np.zeros_like(ring)])
        weights = self._near(self.centers)
        self.weights = np.linalg.solve(weights + 0.05 * np.eye(len(weights)), wanted)
        coarse = np.stack(np.meshgrid(np.arange(0, size, 4.0), np.arange(0, size, 4.0)), -1)
        field = self.field_at(coarse.reshape(-1, 2)).reshape(coarse.shape).astype(np.float32)
        rows, columns = np.mgrid[:size, :size].astype(np.float32) / 4
        self.field = cv2.remap(
            field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    def _near(self, points: Array) -> Array:
        away = ((points[:, None] - self.centers) ** 2).sum(-1)
        return np.asarray(np.exp(-away / self.reach**2))

    def field_at(self, points: Array) -> Array:
        """The displacements (M, 2) at `points` (M, 2)."""
        return self._near(points) @ self.weights


class _Talk:
    """How far a mouth is open while it talks in phrases."""

    def __init__(self, rng: np.random.Generator, fastest: float) -> None:
        self.wave, self.phrase = _Wave(rng, fastest), _Wave(rng, 0.3)

    def __call__(self, time: float) -> float:
        loud = min(max(self.phrase(time) * 4, 0.0), 1.0)
        return loud * (self.wave(time) + 0.7) / 1.7


class _Pulses:
    """Blinks: 0 but for short smooth pulses."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.times = np.cumsum(rng.uniform(0.8, 5.0, 400))

    def __call__(self, time: float) -> float:
        nearest = float(np.abs(self.times - time).min())
        return 0.5 + 0.5 * math.cos(math.pi * nearest / 0.12) if nearest < 0.12 else 0.0


def _expressions(points: Array, size: int, rng: np.random.Generator) -> list[_Expression]:
    """Jaw, lids, brows and smile of an ibug68 face whose `points` (68, 2) lie in a still of `size` pixels."""
    eyes = float(np.linalg.norm(points[45] - points[36]))
    mean = scheme("ibug68").mean_shape
    roll = math.radians(fit_roll_deg(mean, points))
    right, down = (
        np.array([math.cos(roll), math.sin(roll)]),
        np.array([-math.sin(roll), math.cos(roll)]),
    )

    def moved(shifts: dict[int, Array]) -> Array:
        field = np.zeros((68, 2))
        for index, shift in shifts.items():
            field[index] = shift
        return field

    jaw = dict.fromkeys((56, 57, 58, 65, 66, 67), down * eyes * 0.3) | dict.fromkeys(
        (55, 59), down * eyes * 0.22
    )
    jaw |= dict.fromkeys(range(6, 11), down * eyes * 0.26) | dict.fromkeys(
        (4, 5, 11, 12), down * eyes * 0.12
    )
    lids = {
        upper: 0.85 * (points[lower] - points[upper])
        for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46))
    }
    brows = dict.fromkeys(range(17, 27), -down * eyes * 0.1)
    smile = {
        48: -right * eyes * 0.10 - down * eyes * 0.06,
        54: right * eyes * 0.10 - down * eyes * 0.06,
    }
    reach = REACH * eyes
    return [
        _Expression(points, moved(jaw), reach, size, _Talk(rng, 3.0)),
        _Expression(points, moved(lids), reach / 3, size, _Pulses(rng)),
        _Expression(points, moved(brows), reach, size, _Talk(rng, 0.8)),
        _Expression(points, moved(smile), reach, size, _Talk(rng, 0.8)),
    ]


class _Occluder:
    """A colored ellipse that crosses the picture once."""

    def __init__(self, rng: np.random.Generator, scene: _Scene, settings: ClipSettings) -> None:
        seconds, size = settings.frames / settings.rate, settings.size
        self.start = rng.uniform(0.1, 0.7) * seconds
        self.lasts = rng.uniform(0.6, 1.8)
        heading = rng.uniform(0, 2 * math.pi)
        way = np.array([math.cos(heading), math.sin(heading)]) * size * 0.8
        target = scene.middle + rng.normal(0, 0.07, 2) * size
        self.from_, self.to = target - way, target + way
        self.axes = rng.uniform(0.07, 0.17, 2) * size
        self.angle_deg = float(rng.uniform(0, 180))
        self.color = rng.uniform(10, 245, 3)

    def paint(
        self, picture: NDArray[np.float32], time: float, landmarks: Array
    ) -> NDArray[np.bool_]:
        """Paints itself; gives which of the landmarks (N, 2) lie behind."""
        part = (time - self.start) / self.lasts
        if not 0 < part < 1:
            return np.zeros(len(landmarks), bool)
        # quick at both ends, slow before the face
        center = self.from_ + (self.to - self.from_) * (0.5 + 4 * (part - 0.5) ** 3)
        place = (
            tuple(round(float(v) * 16) for v in center),
            tuple(round(float(v) * 16) for v in self.axes),
        )
        color = tuple(float(v) for v in self.color)
        cv2.ellipse(picture, *place, self.angle_deg, 0, 360, color, cv2.FILLED, cv2.LINE_AA, 4)
        turn = compose(
            [[1 / self.axes[0], 0, 0], [0, 1 / self.axes[1], 0]],
            similarity(1.0, -self.angle_deg, center, (0, 0)),
        )
        return np.asarray((apply_affine(turn, landmarks) ** 2).sum(1) < 1)
