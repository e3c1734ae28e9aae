"""stability: videos or their tracks -> how steady and how late the landmarks are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, need_package, note, progress_bar, show_table
from .faces import DetectorName, Flip, Smooth, named_detector

if TYPE_CHECKING:
    from ..io.track_files import Tracks
    from ..tracking.tracker import Tracker


@app.command()
def stability(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Videos, or .jsonl files of lineament track.", metavar="PATH"),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(help="For a file of tracks: the same video tracked with --smooth none."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Tracks with the true numbers: counts id switches, misses and false positives."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="For videos: a model by name, or an .onnx file.")
    ] = "fast",
    detector: DetectorName = "default",
    flip: Flip = False,
    smooth: Annotated[
        Smooth, typer.Option(help="For videos: the filter over time.")
    ] = Smooth.one_euro,
    rate: Annotated[float, typer.Option(help="Pictures a second, of a folder of frames.")] = 30.0,
    plot: Annotated[
        Path | None, typer.Option(help="A .png file: motion and jitter over time.")
    ] = None,
) -> None:
    """Measure how steady and how late landmarks are in videos: jitter on still stretches, lag, gaps.

    A video is tracked without a filter and with one, and both are measured. Jitter is the root mean square of the
    second difference of the points, in percent of the distance between the outer eye corners. Tracks without a
    --reference have no lag.
    """
    from ..evaluation.stability import count_id_errors, measure_tracks
    from ..io.track_files import read_tracks
    from ..tracking.offline import smoothed
    from ..tracking.tracker import Tracker

    _check(paths, reference, truth)
    if plot is not None:
        need_package("matplotlib", "report")
    rows, drawn, counted, tracker = [], [], [], None
    for path in paths:
        if _is_tracks(path):
            raw = read_tracks(reference) if reference else None
            pairs = [(path.name, read_tracks(path), raw)]
        else:
            tracker = tracker or Tracker(
                model, smooth=None, detector=named_detector(detector), flip=flip
            )
            raw = _measured(path, tracker, rate)
            pairs = [(f"{path.name}, as measured", raw, raw)]
            if smooth.filter:
                pairs.append((f"{path.name}, {smooth.value}", smoothed(raw, smooth.filter), raw))
        for name, tracks, raw in pairs:
            if truth:
                errors = count_id_errors(tracks.faces, read_tracks(truth).faces)
                counts = (errors.id_switches, errors.misses, errors.false_positives)
                counted.append([name, str(errors.frames), *map(str, counts)])
            for number, found in measure_tracks(tracks, raw).items():
                shown = [str(found.frames), str(found.gaps), str(found.still_frames)]
                shown += [_number(100 * found.jitter, 3), _number(found.lag, 2)]
                rows.append([name, str(number), *shown])
            drawn.append((name, tracks, raw))
    head = ["track", "face", "frames", "gaps", "still frames", "jitter %", "lag frames"]
    show_table(head, rows or [["no face of 30 frames or more"]])
    if truth:
        show_table(["track", "true faces", "id switches", "misses", "false positives"], counted)
    if plot is not None:
        from ..evaluation.stability_plot import draw_stability

        draw_stability(drawn, plot)
        note(f"motion and jitter over time -> {plot}")


def _check(paths: list[Path], reference: Path | None, truth: Path | None) -> None:
    """Raises: BadParameter for files that do not go together, or tell too little."""
    if (reference or truth) and len(paths) != 1:
        raise typer.BadParameter("--reference and --truth are for one file of tracks or one video")
    if reference and not _is_tracks(paths[0]):
        raise typer.BadParameter(
            "--reference is for a file of tracks; a video is its own, tracked without a filter"
        )
    for path in paths:
        if path.suffix in (".csv", ".parquet"):
            whole = path.with_suffix(".jsonl")
            raise typer.BadParameter(
                f"{path} does not tell the frames without a face; give {whole}, written with it"
            )


def _is_tracks(path: Path) -> bool:
    """Whether `path` holds tracks, finished or not."""
    return path.name.endswith((".jsonl", ".jsonl.part"))


def _number(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:.{digits}f}"


def _measured(path: Path, tracker: "Tracker", rate: float) -> "Tracks":
    """The tracks of a video as a `tracker` without a filter finds them."""
    from ..io.video import VideoReader
    from ..tracking.offline import track_all

    tracker.reset()
    with (
        VideoReader(str(path), rate) as reader,
        progress_bar("frames", reader.frames, speed=True) as step,
    ):
        return track_all(reader, tracker, step)
