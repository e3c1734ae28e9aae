"""Choose filter settings by accuracy, jitter and lag on synthetic clips of validation faces.

Usage: LINEAMENT_DATA=../shared/data python -m bench.choose_filters [--model NAME] [--clips 20]
    [--seconds 300] [--out DIR] [--tracks FILE ...]

Landmarks of the clips are predicted once and cached in --out. Then settings are searched for
--seconds per filter, first at random, then near the best. --tracks adds real clips without
annotation: .jsonl files of `lineament track --smooth none --max-faces 1`, whose reference is the
track with zero-phase smoothing. The output is the settings with the lowest error among those whose
jitter on still segments is at most 0.3 of the unfiltered jitter on both kinds of clips, and a plot
of the best settings by jitter. --seconds 0 measures only the default settings.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from lineament.atomic import atomic_path
from lineament.data.readers.registry import read_data
from lineament.data.sample import data_root
from lineament.data.synthetic_clips import ClipSettings, make_clip
from lineament.evaluation.stability import interocular, jitter, lag, still_frames
from lineament.io.track_files import read_tracks
from lineament.tracking.filters import (
    FILTERS,
    EuroSettings,
    KalmanSettings,
    Smoother,
    zero_phase,
)
from lineament.tracking.tracker import Tracker
from lineament.training.curves import new_figure, save_figure

AT_MOST = 0.3
"""Largest jitter relative to unfiltered landmarks: a third, with a margin for other videos."""
ZERO_PHASE = 1.0
"""Standard deviation, in frames, of the zero-phase Gaussian smoothing of a real track."""
FRAMES = 180


def measured(
    model: str, clips: int, data: str | None, file: Path
) -> list[dict[str, Any]]:
    """Return true and unfiltered landmarks of clips of validation faces, with uncertainties."""
    if not file.exists():
        faces = [
            s for s in read_data("300w", data_root(data), "train") if s.is_validation()
        ]
        arrays = {}
        for number, sample in enumerate(faces[:: max(len(faces) // clips, 1)][:clips]):
            rng = np.random.default_rng(number)
            settings = ClipSettings(
                frames=FRAMES,
                size=int(rng.choice([200, 288, 400])),
                noise=float(rng.uniform(1, 6)),
                quality=int(rng.integers(30, 90)),
                still=float(rng.uniform(0.3, 0.6)),
                occluders=int(rng.integers(0, 2)),
            )
            tracker = Tracker(model, max_faces=1, smooth=None, threads=1)
            rows = [
                (f.landmarks, tracker(f.image, f.timestamp))
                for f in make_clip(
                    sample.read(), sample.landmarks, sample.scheme, number, settings
                )
            ]
            if not all(len(faces) == 1 for _, faces in rows):
                continue  # missed due to occlusion: nothing to filter
            arrays |= {f"{number} truth": np.stack([truth for truth, _ in rows])}
            arrays |= {
                f"{number} found": np.stack([faces[0].landmarks for _, faces in rows])
            }
            arrays |= {
                f"{number} sigma": np.stack([faces[0].sigma_px for _, faces in rows])
            }
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as partial, partial.open("wb") as opened:
            np.savez(opened, **arrays)
    kept = np.load(file)
    names = sorted({key.split()[0] for key in kept.files}, key=int)
    return [
        {part: kept[f"{name} {part}"] for part in ("truth", "found", "sigma")}
        | {"dt": 1 / 30}
        for name in names
    ]


def real(files: list[Path]) -> list[dict[str, Any]]:
    """Read the unfiltered track of the first face of each file."""
    clips = []
    for file in files:
        tracks = read_tracks(file)
        path = [
            next((face for face in faces if face.track_id == 1), None)
            for faces in tracks.faces
        ]
        rows = [
            face
            for face in path[
                : next((k for k, face in enumerate(path) if face is None), len(path))
            ]
            if face
        ]
        if len(rows) > 60:
            found, sigma = (
                np.stack([f.landmarks for f in rows]),
                np.stack([f.sigma_px for f in rows]),
            )
            clips.append(
                {
                    "found": found,
                    "sigma": sigma,
                    "dt": float(np.diff(tracks.times).mean()),
                }
            )
    return clips


def smoothed(clip: dict[str, Any], kind: str, settings: Any) -> Any:
    """Return the filtered landmarks of the clip."""
    smoother = Smoother(kind, "ibug68", settings)
    pairs = zip(clip["found"], clip["sigma"], strict=True)
    return np.stack(
        [smoother(landmarks, sigma, clip["dt"]) for landmarks, sigma in pairs]
    )


def figures(
    clips: list[dict[str, Any]], kind: str, settings: Any
) -> tuple[float, float, float]:
    """Return NME, jitter relative to unfiltered landmarks, and lag in frames, averaged over clips.

    The NME of a real clip is the distance from its track with zero-phase smoothing.
    """
    nmes, parts, lags = [], [], []
    for clip in clips:
        path = clip["found"] if settings is None else smoothed(clip, kind, settings)
        reference = clip.get("truth", clip["found"])
        norm = interocular(reference, "ibug68")
        still = still_frames(reference, norm)
        if still.any():
            parts.append(jitter(path, norm, still) / jitter(clip["found"], norm, still))
        lags.append(lag(path, reference))
        truth = (
            clip["truth"] if "truth" in clip else zero_phase(clip["found"], ZERO_PHASE)
        )
        nmes.append(np.linalg.norm(path - truth, axis=-1).mean() / norm)
    return float(np.mean(nmes)), float(np.nanmean(parts)), float(np.nanmean(lags))


def draw(rng: np.random.Generator, kind: str) -> Any:
    """Draw random settings of pose and shape."""

    def about(low: float, high: float) -> float:
        return float(10 ** rng.uniform(low, high))

    if kind == "one-euro":

        def euro() -> EuroSettings:
            rate, power = about(-1.3, 0.6), float(rng.choice([1, 2, 3, 4]))
            doubled_at = about(-2.5, -0.5)  # speed in box sides per second
            return EuroSettings(
                rate,
                rate / doubled_at**power,
                power,
                about(-0.3, 1),
                float(rng.choice([0.5, 1])),
            )

        return euro(), euro()
    memory = float(rng.choice([0.01, 0.1, 1]))

    def kalman() -> KalmanSettings:
        return KalmanSettings(
            about(-1.3, 0.5),
            about(-3, 0),
            about(1, 4.5),
            float(rng.choice([2, 4])),
            memory,
        )

    return kalman(), kalman()


def nearby(rng: np.random.Generator, settings: Any) -> Any:
    """Return the settings with each number changed by about a third."""
    kept = ("power", "trust", "velocity_decay")
    return tuple(
        replace(
            part,
            **{
                name: value * float(np.exp(rng.normal(0, 0.3)))
                for name, value in asdict(part).items()
                if name not in kept
            },
        )
        for part in settings
    )


def judged(
    clips: list[dict[str, Any]], more: list[dict[str, Any]], kind: str, settings: Any
) -> tuple[Any, ...]:
    """Return settings, sum of errors of both kinds of clips, and the larger jitter and lag."""
    kinds = [figures(group, kind, settings) for group in (clips, more) if group]
    return (
        settings,
        sum(row[0] for row in kinds),
        max(row[1] for row in kinds),
        max(row[2] for row in kinds),
    )


def tried(
    clips: list[dict[str, Any]],
    more: list[dict[str, Any]],
    kind: str,
    seconds: float,
    seed: int,
) -> list[tuple[Any, ...]]:
    """Search settings for `seconds`; return their figures."""
    rng, start = np.random.default_rng(seed), time.monotonic()
    rows = [judged(clips, more, kind, FILTERS[kind])]
    while (elapsed := time.monotonic() - start) < seconds:
        fit = [row for row in rows if row[2] <= AT_MOST and row[3] <= 1]
        # first at random, then near the best
        settings = (
            nearby(rng, min(fit, key=lambda row: row[1])[0])
            if fit and elapsed > seconds / 3
            else draw(rng, kind)
        )
        rows.append(judged(clips, more, kind, settings))
    return rows


def print_figures(
    groups: dict[str, list[dict[str, Any]]], kind: str, settings: Any
) -> None:
    """Print the figures of settings on each group of clips; None: unfiltered."""
    for name, clips in groups.items():
        error, part, lag = figures(clips, kind, settings)
        print(
            f"  {len(clips)} {name} clips: {100 * error:.3f} %, jitter {part:.3f}, "
            f"lag {lag:.2f} frames"
        )


def chosen(
    groups: dict[str, list[dict[str, Any]]], kind: str, options: argparse.Namespace
) -> list[tuple[Any, ...]]:
    """Search settings, print the best and return all."""
    clips, more = groups["made"], groups.get("real", [])
    with ProcessPoolExecutor(options.workers) as pool:
        # a fifth of the clips for the search, all of them for printed figures
        jobs = [
            pool.submit(tried, clips[k::5], more, kind, options.seconds, k)
            for k in range(options.workers)
        ]
        rows = [row for job in jobs for row in job.result()]
    fit = sorted(
        (row for row in rows if row[2] <= AT_MOST and row[3] <= 1),
        key=lambda row: row[1],
    )[:12]
    if not fit:
        sys.exit(
            f"{kind}: none of {len(rows)} settings jitter little enough; give more --seconds"
        )
    rejudged = [judged(clips, more, kind, settings) for settings, *_ in fit]
    best = min(
        (row for row in rejudged if row[2] <= AT_MOST),
        key=lambda row: row[1],
        default=rejudged[0],
    )[0]
    print(f"{kind}: of {len(rows)} settings\n  pose  {best[0]}\n  shape {best[1]}")
    print_figures(groups, kind, best)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="fast")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--out", type=Path, default=Path("runs/smoothing"))
    parser.add_argument("--tracks", type=Path, nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data")
    options = parser.parse_args()
    kept = options.out / f"{Path(options.model).stem}-{options.clips}.npz"
    groups = {"made": measured(options.model, options.clips, options.data, kept)}
    if options.tracks:
        groups["real"] = real(options.tracks)
    print(
        "unsmoothed; real clips: the distance from their tracks, smoothed without a shift"
    )
    print_figures(groups, "", None)
    for kind in FILTERS:
        print(f"{kind}, default settings")
        print_figures(groups, kind, FILTERS[kind])
    if not options.seconds:
        return
    figure = new_figure(6, 4)
    axes, points = figure.subplots(), None
    for kind in FILTERS:
        curve, least = [], np.inf
        for row in sorted(chosen(groups, kind, options), key=lambda row: row[2]):
            if row[1] < least:
                curve.append(row)
                least = row[1]
        points = axes.scatter(
            [r[2] for r in curve],
            [100 * r[1] for r in curve],
            c=[r[3] for r in curve],
            vmin=0,
            vmax=2,
        )
        axes.plot([r[2] for r in curve], [100 * r[1] for r in curve], label=kind)
    axes.set(
        xlabel="jitter, part of the unsmoothed",
        ylabel="error of all clips, %",
        xlim=(0, 1),
    )
    figure.colorbar(points, label="lag, frames")
    axes.legend()
    save_figure(figure, options.out / "smoothing.png")


if __name__ == "__main__":
    main()
