"""stability: measures how steady and how late the landmarks of videos are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, need_package, note, progress_bar, show_table
from .options import DetectorName, Flip, FrameRate, Smooth, named_detector

if TYPE_CHECKING:
    from ..io.track_files import Tracks

    Measured = tuple[str, Tracks, Tracks | None]

HEAD = ("track", "face", "frames", "gaps", "still frames", "jitter %", "lag frames")
COUNTS_HEAD = ("track", "true faces", "id switches", "misses", "false positives")


@app.command()
def stability(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Videos, or .jsonl files of lineament track.", metavar="PATH"
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="For one .jsonl file: tracks of the same video with --smooth none."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Tracks with the true ids: counts switched, missed and extra faces."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            help="Model that tracks videos, as in track.",
        ),
    ] = "fast",
    detector: DetectorName = "default",
    flip: Flip = False,
    smooth: Annotated[
        Smooth, typer.Option(help="Filter over time, for videos.")
    ] = Smooth.one_euro,
    rate: FrameRate = 30.0,
    plot: Annotated[
        Path | None, typer.Option(help=".png file for motion and jitter over time.")
    ] = None,
) -> None:
    """Measure jitter, lag and gaps of landmarks in videos.

    A video is tracked with and without the filter, and both are measured. Jitter is the
    root mean square of the landmarks' second difference while the face is still, in
    percent of the interocular distance. Lag is in frames, against the tracks without a
    filter; a .jsonl file without --reference has none.
    """
    from ..evaluation.stability import count_id_errors, measure_tracks
    from ..io.track_files import read_tracks

    _check(paths, reference, truth)
    if plot is not None:
        need_package("matplotlib", "report")
    options = {
        "model": model,
        "detector": detector,
        "flip": flip,
        "smooth": smooth,
        "rate": rate,
    }
    rows, counts, measured = [], [], []
    for name, tracks, raw in _all_tracks(paths, reference, options):
        if truth:
            found = count_id_errors(tracks.faces, read_tracks(truth).faces)
            numbers = (
                found.frames,
                found.id_switches,
                found.misses,
                found.false_positives,
            )
            counts.append([name, *map(str, numbers)])
        for track_id, face in measure_tracks(tracks, raw).items():
            shown = [
                str(track_id),
                str(face.frames),
                str(face.gaps),
                str(face.still_frames),
            ]
            rows.append(
                [name, *shown, _number(100 * face.jitter, 3), _number(face.lag, 2)]
            )
        measured.append((name, tracks, raw))
    show_table(HEAD, rows or [["no face of 30 frames or more"]])
    if truth:
        show_table(COUNTS_HEAD, counts)
    if plot is not None:
        from ..evaluation.stability_plot import draw_stability

        draw_stability(measured, plot)
        note(f"motion and jitter over time -> {plot}")


def _check(paths: list[Path], reference: Path | None, truth: Path | None) -> None:
    """Raise BadParameter for files that do not fit together or lack frames."""
    if (reference or truth) and len(paths) != 1:
        raise typer.BadParameter(
            "--reference and --truth are for one file of tracks or one video"
        )
    if reference and not _is_tracks(paths[0]):
        raise typer.BadParameter(
            "--reference is for a file of tracks; a video is measured against its unfiltered tracks"
        )
    for path in paths:
        if path.suffix in (".csv", ".parquet"):
            complete = path.with_suffix(".jsonl")
            raise typer.BadParameter(
                f"{path} lacks the frames without a face; give {complete}, written with it"
            )


def _is_tracks(path: Path) -> bool:
    """Return whether `path` holds tracks, complete or partial."""
    return path.name.endswith((".jsonl", ".jsonl.part"))


def _number(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:.{digits}f}"


def _all_tracks(
    paths: list[Path], reference: Path | None, options: dict[str, Any]
) -> "Iterator[Measured]":
    """Yield name, tracks and unfiltered tracks, up to twice per video."""
    from ..io.track_files import read_tracks
    from ..tracking.offline import smoothed
    from ..tracking.tracker import Tracker

    tracker, filter_name = None, options["smooth"].filter
    for path in paths:
        if _is_tracks(path):
            yield (
                path.name,
                read_tracks(path),
                read_tracks(reference) if reference else None,
            )
            continue
        tracker = tracker or Tracker(
            options["model"],
            smooth=None,
            detector=named_detector(options["detector"]),
            flip=options["flip"],
        )
        raw = _track(path, tracker, options["rate"])
        yield f"{path.name}, as measured", raw, raw
        if filter_name:
            yield f"{path.name}, {filter_name}", smoothed(raw, filter_name), raw


def _track(path: Path, tracker: Any, rate: float) -> "Tracks":
    """Return the tracks that a `tracker` without a filter finds in a video."""
    from ..io.video_reader import VideoReader
    from ..tracking.offline import track_all

    tracker.reset()
    with (
        VideoReader(str(path), rate) as reader,
        progress_bar("frames", reader.frames, speed=True) as step,
    ):
        return track_all(reader, tracker, step)
