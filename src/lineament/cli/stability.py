"""Command `stability`: measure the jitter and lag of landmarks in videos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, progress_bar, require_package, show_table
from .options import (
    DetectorName,
    Device,
    Flip,
    FramesPerSecond,
    MinFace,
    MinPresence,
    ModelName,
    Smooth,
    detector_options,
    device_option,
    presence_limits,
)

if TYPE_CHECKING:
    from ..io.track_files import Tracks
    from ..tracking.tracker import Tracker

    Measured = tuple[str, Tracks, Tracks | None]
    """Name, tracks, and the unfiltered tracks or None."""

HEAD = ("track", "face", "frames", "gaps", "still frames", "jitter %", "lag frames")
COUNTS_HEAD = ("track", "true faces", "id switches", "misses", "false positives")


Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Videos, or .jsonl files written by `lineament track`.", metavar="PATH"
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        help="For one .jsonl file: the track file of the same video made with "
        "--smooth none."
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option(
        help="Track file (.jsonl) with the true track ids, to also count id switches, "
        "misses and false positives."
    ),
]
Filter = Annotated[Smooth, typer.Option(help="Temporal filter, for videos.")]
Plot = Annotated[
    Path | None, typer.Option(help=".png file for motion and jitter over time.")
]


@app.command()
def stability(
    paths: Paths,
    reference: Reference = None,
    truth: Truth = None,
    model: ModelName = "fast",
    detector: DetectorName = "default",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
    smooth: Filter = Smooth.one_euro,
    fps: FramesPerSecond = 30.0,
    plot: Plot = None,
) -> None:
    """Measure the jitter, lag and gaps of landmarks in videos.

    Tracks each video with and without the filter and measures both. Jitter is the root
    mean square of the landmarks' second difference while the face is still, in percent
    of the interocular distance. Lag is in frames, relative to the unfiltered tracks; for
    a .jsonl file, it is measured only with --reference.
    """
    from ..io.track_files import read_tracks
    from ..tracking.tracker import Tracker

    _check(paths, reference, truth)
    if plot is not None:
        require_package("matplotlib", "report")
    options = detector_options(detector, min_face) | presence_limits(min_presence)
    options |= device_option(device)
    measured: list[Measured] = []
    tracker = None
    for path in paths:
        if _is_tracks(path):
            raw = read_tracks(reference) if reference else None
            measured.append((path.name, read_tracks(path), raw))
            continue
        tracker = tracker or Tracker(model, smooth=None, flip=flip, **options)
        measured += _track(path, tracker, fps, smooth.filter)
    _show_motion(measured)
    if truth:
        _show_id_errors(measured, truth)
    if plot is not None:
        from ..evaluation.stability_plot import draw_stability

        draw_stability(measured, plot)
        note(f"motion and jitter over time -> {plot}")


def _show_motion(measured: "list[Measured]") -> None:
    from ..evaluation.stability import measure_tracks

    rows = []
    for name, tracks, raw in measured:
        for track_id, face in measure_tracks(tracks, raw).items():
            counts = (track_id, face.frames, face.gaps, face.still_frames)
            jitter, lag = _number(100 * face.jitter, 3), _number(face.lag, 2)
            rows.append([name, *map(str, counts), jitter, lag])
    show_table(HEAD, rows or [["no face of 30 frames or more"]])


def _show_id_errors(measured: "list[Measured]", truth: Path) -> None:
    from ..evaluation.stability import count_id_errors
    from ..io.track_files import read_tracks

    rows = []
    for name, tracks, _ in measured:
        found = count_id_errors(tracks.faces, read_tracks(truth).faces)
        counts = (found.frames, found.id_switches, found.misses, found.false_positives)
        rows.append([name, *map(str, counts)])
    show_table(COUNTS_HEAD, rows)


def _check(paths: list[Path], reference: Path | None, truth: Path | None) -> None:
    """Raise BadParameter if files do not match or contain too few frames."""
    if (reference or truth) and len(paths) != 1:
        raise typer.BadParameter(
            "--reference and --truth need exactly one track file or one video"
        )
    if reference and not _is_tracks(paths[0]):
        raise typer.BadParameter(
            "--reference is only for a track file; a video is compared with its own "
            "unfiltered tracks"
        )
    for path in paths:
        if path.suffix in (".csv", ".parquet"):
            complete = path.with_suffix(".jsonl")
            raise typer.BadParameter(
                f"{path} lacks the frames without a face; give {complete}, which was "
                "written with it"
            )


def _is_tracks(path: Path) -> bool:
    """Return True if `path` is a track file, complete or partial."""
    return path.name.endswith((".jsonl", ".jsonl.part"))


def _number(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:.{digits}f}"


def _track(
    path: Path, tracker: "Tracker", fps: float, filter_name: str | None
) -> "list[Measured]":
    """Return the tracks of a video, unfiltered and, if a filter is given, filtered."""
    from ..io.video_reader import VideoReader
    from ..tracking.offline import smoothed, track_all

    tracker.reset()
    with (
        VideoReader(str(path), fps) as reader,
        progress_bar("frames", reader.frames, speed=True) as step,
    ):
        raw = track_all(reader, tracker, step)
    found: list[Measured] = [(f"{path.name}, as measured", raw, raw)]
    if filter_name:
        found.append((f"{path.name}, {filter_name}", smoothed(raw, filter_name), raw))
    return found
