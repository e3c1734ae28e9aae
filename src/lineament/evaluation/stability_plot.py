"""Plot of the motion and jitter of tracks over time; needs the extra `report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic import atomic_path
from ..io.track_files import Tracks
from .stability import (
    interocular,
    reference_track,
    second_differences,
    speeds,
    still_frames,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_FRAMES = 3
"""Minimum length of a segment that is drawn."""


def draw_stability(
    rows: Sequence[tuple[str, Tracks, Tracks | None]], path: Path
) -> None:
    """Plot motion and jitter of the longest track in each row, in percent per frame.

    Still frames of the first row are shaded.

    Args:
        rows: Name, tracks and reference tracks.
        path: Output PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    motion, shaking = figure.subplots(2, 1, sharex=True)
    for index, (name, tracks, reference) in enumerate(rows):
        track_id = _longest(tracks)
        if track_id is None:
            continue
        track = tracks.landmarks(track_id)
        fixed = reference_track(reference, track_id)
        fixed = track if fixed is None else fixed
        norm = interocular(fixed, tracks.scheme)
        speed, shake = speeds(track, MIN_FRAMES) / norm, second_differences(track, norm)
        motion.plot(tracks.times, 100 * speed, label=name, linewidth=0.8)
        shaking.plot(tracks.times, 100 * shake, linewidth=0.8)
        if index == 0:
            still = still_frames(fixed, norm)
            _shade(motion, tracks.times, still)
            _shade(shaking, tracks.times, still)
    motion.set(ylabel="motion, %")
    motion.legend(loc="upper right", fontsize="small")
    shaking.set(ylabel="jitter, %", xlabel="seconds", yscale="log")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png")


def _longest(tracks: Tracks) -> int | None:
    """Return the track id of the face in most frames; None if there is no face."""

    def frames(track_id: int) -> int:
        return int(np.isfinite(tracks.landmarks(track_id)).all((1, 2)).sum())

    return max(tracks.ids(), key=frames, default=None)


def _shade(axes: "Axes", times: Any, still: Any) -> None:
    height = axes.get_xaxis_transform()
    axes.fill_between(times, 0, 1, still, transform=height, alpha=0.12, lw=0)
