"""Tracks -> a picture of their motion and jitter over time. Stands on stability.py and matplotlib (extra `report`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..atomic import atomic_path
from ..io.track_files import Tracks
from ..tracking.filters import zero_phase
from .stability import (
    STILL_FRAMES,
    interocular,
    path_in,
    second_differences,
    still_frames,
    stretches,
)


def draw_stability(rows: Sequence[tuple[str, Tracks, Tracks | None]], path: Path) -> None:
    """Writes the motion and the jitter of the longest face of each row (name, tracks, reference) to `path`, a .png.

    Both in percent of the interocular distance a frame; what keeps still in the first row is shaded.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    motion, shaking = figure.subplots(2, 1, sharex=True)
    for index, (name, tracks, reference) in enumerate(rows):
        counted = {
            number: np.isfinite(tracks.landmarks(number)).all((1, 2)).sum()
            for number in tracks.ids()
        }
        if not counted:
            continue
        number = max(counted, key=lambda number: int(counted[number]))
        track = tracks.landmarks(number)
        told = path_in(reference, number)
        told = track if told is None else told
        norm = interocular(told, tracks.scheme)
        speed = np.full(len(track), np.nan)
        for part in stretches(track, 3):
            moved = np.gradient(zero_phase(track[part], STILL_FRAMES), axis=0)
            speed[part] = np.linalg.norm(moved, axis=-1).max(1) / norm
        motion.plot(tracks.times, 100 * speed, label=name, linewidth=0.8)
        shaking.plot(tracks.times, 100 * second_differences(track, norm), linewidth=0.8)
        if index == 0:
            still = still_frames(told, norm)
            for axes in (motion, shaking):
                axes.fill_between(
                    tracks.times,
                    0,
                    1,
                    still,
                    transform=axes.get_xaxis_transform(),
                    alpha=0.12,
                    lw=0,
                )
    motion.set(ylabel="motion, %")
    motion.legend(loc="upper right", fontsize="small")
    shaking.set(ylabel="jitter, %", xlabel="seconds", yscale="log")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as beside:
        figure.savefig(beside, format="png")
