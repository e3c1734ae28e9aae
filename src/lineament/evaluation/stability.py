"""Tracks -> how steady, how late and how whole they are: jitter on still stretches, lag, numbers lost and mixed up.

Lengths are fractions of the interocular distance, times are in frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ProtocolError
from ..face import Faces
from ..geometry import Array, landmark_box
from ..io.track_files import Tracks
from ..schemes import scheme
from ..tracking.filters import zero_phase
from .matching import match_boxes
from .protocols import MATCH_IOU

STILL_FRAMES = 4.0
"""Deviation in frames of the Gaussian that tells motion from jitter."""
STILL = 0.005
"""A frame is still where no point of the smoothed track moves farther, in interocular distances."""
SHAKE = 0.015
"""Nor does the middle of all points, which jitters little, move farther in any frame: a head may shake too fast for
the smoothed track to show it."""
REFERENCE_FRAMES = 1.5
"""Deviation in frames of the Gaussian that makes the zero-phase reference for the lag."""
FARTHEST = 10
"""Frames of lag that are looked for, either way."""
SHORTEST = 3 * FARTHEST
"""Frames that a stretch needs to be measured."""


@dataclass(frozen=True)
class Stability:
    """What is said of one face's track."""

    frames: int
    """Frames in which the face is there."""
    gaps: int
    """Times it was lost and came back."""
    still_frames: int
    """Frames that are still, by the reference."""
    jitter: float
    """Root mean square of the points' second differences on still stretches; nan where nothing is still."""
    lag: float
    """Frames behind the zero-phase reference; nan where nothing moves, or without a reference."""


def interocular(path: Array, scheme_name: str) -> float:
    """The median distance between the outer eye corners of a track (T, N, 2), in pixels.

    Raises: InputError where the scheme has no eye corners or the face is never there.
    """
    points = scheme(scheme_name)
    if "interocular" not in points.norm_points:
        raise InputError(
            f"{scheme_name} has no eye corners to measure by; track with a scheme that has, as ibug68"
        )
    right, left = (path[:, list(group)].mean(1) for group in points.norm_points["interocular"])
    lengths = np.linalg.norm(right - left, axis=-1)
    if not np.isfinite(lengths).any():
        raise InputError("the face is in no frame; wanted a track of at least one")
    return float(np.nanmedian(lengths))


def stretches(path: Array, shortest: int = 1) -> list[slice]:
    """The runs of frames in which a track (T, N, 2) is there without a gap, those of at least `shortest` frames."""
    there = np.concatenate([[False], np.isfinite(path).all((1, 2)), [False]]).astype(int)
    starts, stops = np.flatnonzero(np.diff(there) > 0), np.flatnonzero(np.diff(there) < 0)
    return [
        slice(a, b)
        for a, b in zip(starts.tolist(), stops.tolist(), strict=True)
        if b - a >= shortest
    ]


def still_frames(path: Array, norm: float) -> NDArray[np.bool_]:
    """(T,): the frames of a track (T, N, 2) in which the face keeps still, jitter apart."""
    still = np.zeros(len(path), bool)
    for part in stretches(path, SHORTEST):
        speed = np.linalg.norm(np.gradient(zero_phase(path[part], STILL_FRAMES), axis=0), axis=-1)
        steps = np.linalg.norm(np.diff(path[part].mean(1), axis=0), axis=-1)
        shakes = np.maximum(np.append(steps, 0), np.append(0, steps)) > SHAKE * norm
        # a shake that has just turned round is no rest either
        shakes = np.convolve(shakes, np.ones(9), "same") > 0
        still[part] = (speed.max(1) < STILL * norm) & ~shakes
    return still


def second_differences(path: Array, norm: float) -> Array:
    """(T,): root mean square over the points of the second difference around each frame; nan at ends and gaps."""
    second = np.full(len(path), np.nan)
    second[1:-1] = np.sqrt(((path[2:] - 2 * path[1:-1] + path[:-2]) ** 2).sum(-1).mean(1)) / norm
    return second


def jitter(path: Array, norm: float, still: NDArray[np.bool_]) -> float:
    """The root mean square of `second_differences` over the `still` (T,) frames between still ones; nan without any."""
    inner = still.copy()
    inner[1:-1] &= still[:-2] & still[2:]
    values = second_differences(path, norm)[inner]
    values = values[np.isfinite(values)]
    return float(np.sqrt((values**2).mean())) if len(values) else float("nan")


def lag(path: Array, reference: Array) -> float:
    """Frames by which a track (T, N, 2) comes after `reference` (T, N, 2), by the cross-correlation of their motions.

    The reference is smoothed without a shift. Between frames by a parabola; nan where too little moves.
    """
    both = np.where(np.isfinite(path) & np.isfinite(reference), path, np.nan)
    sums = np.zeros((3, 2 * FARTHEST + 1))
    for part in stretches(both, 2 * SHORTEST):
        own = np.gradient(path[part], axis=0).reshape(part.stop - part.start, -1)
        other = np.gradient(zero_phase(reference[part], REFERENCE_FRAMES), axis=0).reshape(
            len(own), -1
        )
        still = other[FARTHEST:-FARTHEST]
        for k, shift in enumerate(range(-FARTHEST, FARTHEST + 1)):
            moved = own[FARTHEST + shift : len(own) - FARTHEST + shift]
            sums[:, k] += (moved * still).sum(), (moved**2).sum(), (still**2).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = sums[0] / np.sqrt(sums[1] * sums[2])
    if not np.isfinite(correlation).all() or correlation.max() < 0.2:
        return float("nan")
    best = int(correlation.argmax())
    if not 0 < best < 2 * FARTHEST:
        return float(best - FARTHEST)
    before, peak, after = correlation[best - 1 : best + 2]
    bend = before - 2 * peak + after
    return float(best - FARTHEST + (0.5 * (before - after) / bend if bend < 0 else 0.0))


def measure(path: Array, scheme_name: str, reference: Array | None = None) -> Stability:
    """The stability of one face's track (T, N, 2), nan where it is not there.

    reference: the same face as measured frame by frame; by it is told what is still and what is late. None: what is
    still is told by the track itself, and what is late by nothing: no track is behind itself.
    Raises: InputError.
    """
    alone, reference = reference is None, path if reference is None else reference
    if reference.shape != path.shape:
        raise InputError(
            f"the track has shape {path.shape}, its reference {reference.shape}; wanted the same frames"
        )
    norm = interocular(reference, scheme_name)
    still = still_frames(reference, norm)
    parts = stretches(path)
    frames = sum(part.stop - part.start for part in parts)
    late = float("nan") if alone else lag(path, reference)
    return Stability(
        frames, max(len(parts) - 1, 0), int(still.sum()), jitter(path, norm, still), late
    )


@dataclass(frozen=True)
class Numbers:
    """How well faces keep their numbers, against the truth."""

    frames: int
    """Faces that are there, counted in every frame."""
    switches: int
    """Times a true face went on under another number."""
    lost: int
    """Of `frames`, those without the face."""
    ghosts: int
    """Faces found where there is none, counted in every frame."""


def compare_numbers(found: Sequence[Faces], truth: Sequence[Faces]) -> Numbers:
    """Found faces against true ones, frame by frame; faces are paired where their landmark boxes overlap by 0.3.

    Raises: ProtocolError where the numbers of frames differ, or a true face has no number.
    """
    if len(found) != len(truth):
        raise ProtocolError(
            f"{len(found)} frames of tracks, {len(truth)} of truth; wanted the same video"
        )
    last: dict[int, int | None] = {}
    frames = switches = lost = ghosts = 0
    for own, true in zip(found, truth, strict=True):
        pairs = dict(_paired(own, true))
        frames, lost, ghosts = (
            frames + len(true),
            lost + len(true) - len(pairs),
            ghosts + len(own) - len(pairs),
        )
        for t, f in pairs.items():
            number = true[t].track_id
            if number is None:
                raise ProtocolError("a true face has no track_id; wanted one for every face")
            switches += number in last and last[number] != own[f].track_id
            last[number] = own[f].track_id
    return Numbers(frames, switches, lost, ghosts)


def _paired(found: Faces, truth: Faces) -> list[tuple[int, int]]:
    """Pairs of true and found faces, those that overlap most first, each once."""
    if not len(found) or not len(truth):
        return []
    true_boxes = [landmark_box(face.landmarks) for face in truth]
    found_boxes = [landmark_box(face.landmarks) for face in found]
    return match_boxes(np.array(true_boxes), np.array(found_boxes), MATCH_IOU)


def path_in(reference: Tracks | None, number: int) -> Array | None:
    """The points (T, N, 2) of the face of that number in `reference`; None where it has no such face."""
    path = None if reference is None else reference.landmarks(number)
    return path if path is not None and np.isfinite(path).any() else None


def measure_tracks(tracks: Tracks, reference: Tracks | None = None) -> dict[int, Stability]:
    """The stability of every face of at least 30 frames, by its number.

    reference: the same video tracked without a filter, with the same numbers; a face that it has not is measured alone.
    Raises: InputError.
    """
    if reference is not None and len(reference.faces) != len(tracks.faces):
        raise InputError(
            f"the tracks have {len(tracks.faces)} frames, the reference {len(reference.faces)}; wanted the same video"
        )
    found = {}
    for number in tracks.ids():
        path = tracks.landmarks(number)
        if np.isfinite(path).all((1, 2)).sum() >= SHORTEST:
            found[number] = measure(path, tracks.scheme, path_in(reference, number))
    return found
