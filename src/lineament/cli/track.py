"""Command `track`: track the faces in a video, and print or write the tracks."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, note, progress_bar, show
from .options import (
    DetectorName,
    Device,
    EmptyRows,
    Flip,
    FramesPerSecond,
    MinFace,
    MinPresence,
    ModelName,
    SchemeName,
    Smooth,
    detector_options,
    device_option,
    face_limits,
    presence_limits,
    with_digest,
)
from .track_output import NOT_RESUMABLE, TracksFormat, TrackTargets, until, write_tracks

if TYPE_CHECKING:
    from ..io.video_reader import VideoReader
    from ..tracking.tracker import Tracker

Source = Annotated[
    str,
    typer.Argument(
        metavar="VIDEO",
        help="A video file, a folder of images, a URL, or the number of a camera.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="A video file (.mp4, ...) with the faces drawn, and the tracks in a file "
        "next to it; or a .jsonl, .csv or .parquet file for the tracks only."
    ),
]
Format = Annotated[
    TracksFormat | None,
    typer.Option(help="Format of the tracks next to a drawn video; default: jsonl."),
]
MaxFaces = Annotated[
    int | None,
    typer.Option(
        "--max-faces", min=1, metavar="N", help="Track at most N faces; default: all."
    ),
]
DetectEvery = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Run the face detector on every N-th frame; default: 15.",
    ),
]
Filter = Annotated[
    Smooth, typer.Option(help="Temporal filter; none: unfiltered landmarks.")
]
Trails = Annotated[
    bool, typer.Option("--draw-trails", help="Draw the path of each face.")
]
RerunFile = Annotated[
    Path | None,
    typer.Option(help="Also write an .rrd file for the Rerun viewer."),
]
MaxFrames = Annotated[
    int | None,
    typer.Option("--max-frames", min=1, metavar="N", help="Stop after N frames."),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0,
        help="Number of faces of a frame to process in parallel, one core each; 0: "
        "all cores.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue an interrupted run with the same options."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]


@app.command()
def track(
    source: Source,
    out: Out = None,
    format: Format = None,
    model: ModelName = "fast",
    scheme: SchemeName = None,
    detector: DetectorName = "default",
    min_face: MinFace = None,
    max_faces: MaxFaces = None,
    detect_every: DetectEvery = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
    smooth: Filter = Smooth.one_euro,
    draw_trails: Trails = False,
    empty_rows: EmptyRows = False,
    rerun: RerunFile = None,
    fps: FramesPerSecond = 30.0,
    max_frames: MaxFrames = None,
    workers: Workers = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Track faces in a video, with smooth landmarks and track ids.

    Without --out, prints one line of JSON per frame. With --out, writes tracks frame by
    frame. --resume continues an interrupted run, with the same files as an
    uninterrupted one. A camera or a live stream is tracked until Ctrl-C or SIGTERM. An
    animated GIF, WebP or AVIF is read as a video.
    """
    from ..io.video_reader import VideoReader, is_camera

    _require_out(out, (resume, overwrite, draw_trails, rerun, format), empty_rows)
    if resume and is_camera(source):
        raise typer.BadParameter(NOT_RESUMABLE)
    written = (format, rerun, draw_trails, empty_rows)
    targets = None if out is None else TrackTargets(source, out, *written)
    options = detector_options(detector, min_face)
    options |= {"scheme": scheme, "workers": workers, "flip": flip}
    options |= presence_limits(min_presence) | device_option(device)
    tracker = _tracker(model, max_faces, detect_every, smooth, options)
    settings = _settings(source, model, detector, fps)
    settings |= {"max_faces": max_faces, "detect_every": tracker.rules.detect_every}
    settings |= {"smooth": smooth.value, "flip": flip} | device_option(device)
    settings |= face_limits(min_face, min_presence)
    scheme = tracker.predictor.scheme
    if targets and resume and targets.finish_conversion(settings, scheme):
        return
    with VideoReader(source, fps) as reader:
        if resume and reader.live:
            raise typer.BadParameter(NOT_RESUMABLE)
        if targets is None:
            done = _print_tracks(reader, tracker, max_frames)
        else:
            done = write_tracks(
                reader, tracker, targets, settings, max_frames, resume, overwrite
            )
    _note_missing_frames(reader, done, max_frames)
    if targets:
        note(f"{done} frames -> {', '.join(map(str, targets.all()))}")


def _require_out(out: Path | None, options: tuple[Any, ...], empty_rows: bool) -> None:
    """Raise BadParameter if tracks are printed although options for files are given."""
    if out is None and any(options):
        raise typer.BadParameter(
            "--resume, --overwrite, --draw-trails, --rerun and --format need --out, the "
            "file to write"
        )
    if out is None and empty_rows:
        raise typer.BadParameter("--empty-rows needs --out, a .csv or .parquet file")


def _tracker(
    model: str,
    max_faces: int | None,
    detect_every: int | None,
    smooth: Smooth,
    options: dict[str, Any],
) -> "Tracker":
    """Create the tracker; `options` are keyword arguments of its Predictor."""
    from ..tracking.rules import RULES, TrackRules
    from ..tracking.tracker import Tracker

    return Tracker(
        model,
        max_faces=max_faces,
        smooth=smooth.filter,
        rules=RULES if detect_every is None else TrackRules(detect_every=detect_every),
        **options,
    )


def _settings(source: str, model: str, detector: str, fps: float) -> dict[str, Any]:
    """Return everything that tracks depend on; files are identified with size or digest."""
    path = Path(source)
    settings = {
        "source": source,
        "bytes": path.stat().st_size if path.is_file() else None,
        "model": with_digest(model),
        "detector": with_digest("detector" if detector == "default" else detector),
    }
    return settings | ({"fps": fps} if path.is_dir() else {})


def _note_missing_frames(reader: "VideoReader", done: int, limit: int | None) -> None:
    if reader.stream_error:
        note(
            f"{reader.name}: the frames stopped ({reader.stream_error}); the files are "
            "complete up to there"
        )
    elif limit is None and done < 0.9 * (reader.frames or 0):
        note(
            f"{reader.name} claims {reader.frames} frames, but only {done} could be "
            "read"
        )
    elif reader.skipped_frames:
        note(
            f"{reader.skipped_frames} frames of {reader.name} could not be decoded and were skipped"
        )


def _print_tracks(reader: "VideoReader", tracker: "Tracker", frames: int | None) -> int:
    """Print one line of JSON per frame; return the number of frames."""
    from ..io.track_files import frame_line

    done = 0
    with progress_bar(
        "frames", None if sys.stdout.isatty() else reader.frames, speed=True
    ) as step:
        for frame in until(reader, frames):
            faces = tracker(frame.image, frame.timestamp)
            show(frame_line(frame.number, frame.timestamp, faces))
            done += 1
            step()
    return done
