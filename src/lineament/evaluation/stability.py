"""Metrics of tracks: jitter in still frames, lag, gaps, id switches and misses.

A track is the landmarks of a face per frame, (T, N, 2), pixels, nan in frames without the face.
Lengths are fractions of its norm, the interocular distance in pixels; times are in frames.
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

MOTION_SIGMA = 4.0
"""Standard deviation, in frames, of the Gaussian that separates motion from jitter."""
STILL_SPEED = 0.005
"""Maximum speed per frame of any point of the smoothed track in a still frame."""
STILL_STEP = 0.015
"""Maximum step of the mean of all points in a still frame. The mean has little jitter and
reveals head shaking that is too fast for the smoothed track."""
REFERENCE_SIGMA = 1.5
"""Standard deviation, in frames, of the Gaussian for the zero-phase lag reference."""
MAX_LAG = 10
"""Maximum lag searched in either direction."""
MIN_FRAMES = 3 * MAX_LAG
"""Minimum length of a segment that is measured."""
MIN_CORRELATION = 0.2
"""Minimum peak of the cross-correlation for a lag to be reported."""


@dataclass(frozen=True)
class Stability:
    """Stability metrics of one face's track."""

    frames: int
    """Number of frames with the face."""
    gaps: int
    """Number of interruptions of the track."""
    still_frames: int
    """Number of frames in which the reference is still."""
    jitter: float
    """Root mean square of the second differences in still frames; nan if there are none."""
    lag: float
    """Delay in frames relative to the zero-phase reference; nan without motion or reference."""


def interocular(track: Array, scheme_name: str) -> float:
    """Return the median distance between the outer eye corners of a track, in pixels.

    Raises:
        InputError: If the scheme has no eye corners, or no frame has the face.
    """
    points = scheme(scheme_name)
    if "interocular" not in points.norm_points:
        raise InputError(
            f"{scheme_name} has no eye corners to measure the interocular distance; track "
            "with a scheme that has them, such as ibug68"
        )
    groups = points.norm_points["interocular"]
    right, left = (track[:, list(group)].mean(1) for group in groups)
    lengths = np.linalg.norm(right - left, axis=-1)
    if not np.isfinite(lengths).any():
        raise InputError(
            "the face is in no frame; expected a track of at least one frame"
        )
    return float(np.nanmedian(lengths))


def stretches(track: Array, min_frames: int = 1) -> list[slice]:
    """Return the segments of at least `min_frames` frames in which the face is present."""
    present = np.concatenate([[False], np.isfinite(track).all((1, 2)), [False]]).astype(
        int
    )
    steps = np.diff(present)
    starts, stops = np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)
    runs = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if stop - start >= min_frames:
            runs.append(slice(start, stop))
    return runs


def speeds(track: Array, min_frames: int) -> Array:
    """Return the speed of the fastest smoothed point, (T,); nan in segments below `min_frames`."""
    result = np.full(len(track), np.nan)
    for part in stretches(track, min_frames):
        velocity = np.gradient(zero_phase(track[part], MOTION_SIGMA), axis=0)
        result[part] = np.linalg.norm(velocity, axis=-1).max(1)
    return result


def still_frames(track: Array, norm: float) -> NDArray[np.bool_]:
    """Return a mask (T,) of the frames in which the face is still, apart from jitter."""
    still = np.nan_to_num(speeds(track, MIN_FRAMES), nan=np.inf) < STILL_SPEED * norm
    for part in stretches(track, MIN_FRAMES):
        steps = np.linalg.norm(np.diff(track[part].mean(1), axis=0), axis=-1)
        longest = np.maximum(np.append(steps, 0), np.append(0, steps))
        shakes = longest > STILL_STEP * norm
        # a shaking head is not at rest at its turning points either
        still[part] &= np.convolve(shakes, np.ones(9), "same") == 0
    return still


def second_differences(track: Array, norm: float) -> Array:
    """Return the root mean square second difference of the points, (T,); nan if unknown."""
    second = np.full(len(track), np.nan)
    differences = track[2:] - 2 * track[1:-1] + track[:-2]
    second[1:-1] = np.sqrt((differences**2).sum(-1).mean(1)) / norm
    return second


def jitter(track: Array, norm: float, still: NDArray[np.bool_]) -> float:
    """Return the root mean square of `second_differences` over `still` (T,) frames.

    Both neighboring frames must be still, too; nan if there is no such frame.
    """
    inner = still.copy()
    inner[1:-1] &= still[:-2] & still[2:]
    values = second_differences(track, norm)[inner]
    values = values[np.isfinite(values)]
    return float(np.sqrt((values**2).mean())) if len(values) else float("nan")


def lag(track: Array, reference: Array) -> float:
    """Return the delay of `track` relative to `reference` in frames; nan if motion is too small.

    It is the peak of the cross-correlation of their motions, refined between frames by a
    parabola.
    """
    correlation = _correlation(track, reference)
    if not np.isfinite(correlation).all() or correlation.max() < MIN_CORRELATION:
        return float("nan")
    best = int(correlation.argmax())
    if not 0 < best < 2 * MAX_LAG:
        return float(best - MAX_LAG)
    before, peak, after = correlation[best - 1 : best + 2]
    bend = before - 2 * peak + after
    return float(best - MAX_LAG + (0.5 * (before - after) / bend if bend < 0 else 0.0))


def _correlation(track: Array, reference: Array) -> Array:
    """Return the correlation of the two motions at lags from -MAX_LAG to MAX_LAG."""
    both = np.where(np.isfinite(track) & np.isfinite(reference), track, np.nan)
    sums = np.zeros((3, 2 * MAX_LAG + 1))
    for part in stretches(both, 2 * MIN_FRAMES):
        frames = part.stop - part.start
        own = np.gradient(track[part], axis=0).reshape(frames, -1)
        smooth = zero_phase(reference[part], REFERENCE_SIGMA)
        fixed = np.gradient(smooth, axis=0).reshape(frames, -1)[MAX_LAG:-MAX_LAG]
        for k in range(2 * MAX_LAG + 1):
            moved = own[k : k + len(fixed)]
            sums[:, k] += (moved * fixed).sum(), (moved**2).sum(), (fixed**2).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[0] / np.sqrt(sums[1] * sums[2]))


def measure_stability(
    track: Array, scheme_name: str, reference: Array | None = None
) -> Stability:
    """Measure the stability of one face's track.

    Args:
        track: Landmarks per frame, (T, N, 2), pixels.
        scheme_name: Landmark scheme.
        reference: The same face measured without temporal filter, to determine still frames
            and lag. None: still frames are determined from the track, and the lag is nan.

    Raises:
        InputError: If the numbers of frames differ, or the scheme has no eye corners.
    """
    late = float("nan")
    if reference is None:
        reference = track
    elif reference.shape == track.shape:
        late = lag(track, reference)
    else:
        raise InputError(
            f"the track has shape {track.shape}, its reference {reference.shape}; "
            "expected the same frames"
        )
    norm = interocular(reference, scheme_name)
    still = still_frames(reference, norm)
    return Stability(
        frames=int(np.isfinite(track).all((1, 2)).sum()),
        gaps=max(len(stretches(track)) - 1, 0),
        still_frames=int(still.sum()),
        jitter=jitter(track, norm, still),
        lag=late,
    )


@dataclass(frozen=True)
class IdErrors:
    """Errors of track ids compared with the truth."""

    frames: int
    """Number of true faces, summed over frames."""
    id_switches: int
    """Number of changes of a true face's track id."""
    misses: int
    """Number of true faces not found, summed over frames."""
    false_positives: int
    """Number of detected faces that match no true face, summed over frames."""


def count_id_errors(found: Sequence[Faces], truth: Sequence[Faces]) -> IdErrors:
    """Compare tracked faces with the truth, frame by frame.

    Faces are matched if their landmark boxes have an IoU of at least 0.3.

    Raises:
        ProtocolError: If the numbers of frames differ, or a true face has no track id.
    """
    if len(found) != len(truth):
        raise ProtocolError(
            f"the tracks have {len(found)} frames, the truth {len(truth)}; "
            "expected the same video"
        )
    last: dict[int, int | None] = {}
    frames = switches = misses = false_positives = 0
    for own, true in zip(found, truth, strict=True):
        pairs = match_boxes(_boxes(true), _boxes(own), MATCH_IOU)
        frames += len(true)
        misses += len(true) - len(pairs)
        false_positives += len(own) - len(pairs)
        for row, column in pairs:
            true_id, own_id = true[row].track_id, own[column].track_id
            if true_id is None:
                raise ProtocolError(
                    "a ground-truth face has no track_id; expected one for every face"
                )
            switches += true_id in last and last[true_id] != own_id
            last[true_id] = own_id
    return IdErrors(frames, switches, misses, false_positives)


def _boxes(faces: Faces) -> Array:
    boxes = [landmark_box(face.landmarks) for face in faces]
    return np.reshape(boxes, (-1, 4))


def reference_track(reference: Tracks | None, track_id: int) -> Array | None:
    """Return the track of a face in `reference`; None if it does not contain the face."""
    track = None if reference is None else reference.landmarks(track_id)
    return track if track is not None and np.isfinite(track).any() else None


def measure_tracks(
    tracks: Tracks, reference: Tracks | None = None
) -> dict[int, Stability]:
    """Measure every face with at least MIN_FRAMES frames, by track id.

    Args:
        tracks: Tracks to measure.
        reference: The same video tracked without filter, with the same track ids; faces it
            lacks are measured without reference.

    Raises:
        InputError: If the numbers of frames differ, or the scheme has no eye corners.
    """
    if reference is not None and len(reference.faces) != len(tracks.faces):
        raise InputError(
            f"the tracks have {len(tracks.faces)} frames, the reference {len(reference.faces)}; "
            "expected the same video"
        )
    results = {}
    for track_id in tracks.ids():
        track = tracks.landmarks(track_id)
        if np.isfinite(track).all((1, 2)).sum() >= MIN_FRAMES:
            own_reference = reference_track(reference, track_id)
            results[track_id] = measure_stability(track, tracks.scheme, own_reference)
    return results
