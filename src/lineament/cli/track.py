"""track: a video -> the faces of its frames, drawn or written down."""

import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, identity, need_package, note, progress_bar, show
from .detect import DetectorName, Flip, SchemeName, Smooth, named_detector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..face import Faces
    from ..io.track_files import TrackWriter
    from ..io.video import Frame, VideoReader
    from ..tracking.tracker import Tracker

SAVE_S = 2.0
"""Seconds between two times at which all that is done is made safe."""
NOT_AGAIN = (
    "--resume is for what can be seen again; a camera or a live address shows something else now"
)


class Written(StrEnum):
    """How tracks are written."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


@app.command()
def track(
    source: Annotated[
        str, typer.Argument(help="A video, a folder of frames, an address, or a camera's number.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A video file to draw on, with the tracks beside it; or a .jsonl, .csv or .parquet file."
        ),
    ] = None,
    format: Annotated[
        Written | None,
        typer.Option(help="How the tracks beside a video as --out are written; jsonl by default."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="A model by name, or an .onnx file.")
    ] = "fast",
    scheme: SchemeName = None,
    detector: DetectorName = "default",
    faces: Annotated[
        int | None, typer.Option(min=1, help="Follow at most so many faces; all by default.")
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(min=1, help="Frames between two looks for new faces; 15 by default."),
    ] = None,
    flip: Flip = False,
    smooth: Annotated[
        Smooth, typer.Option(help="The filter over time; none: every frame as measured.")
    ] = (Smooth.one_euro),
    trails: Annotated[
        bool, typer.Option("--trails", help="Draw the way each face came, in a video as --out.")
    ] = False,
    rerun: Annotated[
        Path | None, typer.Option(help="An .rrd file for the viewer of rerun, besides --out.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Pictures a second, of a folder of frames.")] = 30.0,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    threads: Annotated[
        int, typer.Option(min=0, help="Faces seen side by side, a core for each; 0: all cores.")
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a stopped run left off.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Replace files that are there already.")
    ] = False,
) -> None:
    """Follow the faces of a video, with steady landmarks and numbers.

    Without --out, every frame is one line of JSON on standard output. With it, tracks are written as they come; a run
    that was stopped goes on with --resume and ends as if it had not been. A camera is followed until Ctrl-C or SIGTERM.
    """
    from ..io.video import VideoReader, is_camera
    from ..tracking.tracker import RULES, Tracker, TrackRules

    if out is None and (resume or again or trails or rerun or format):
        raise typer.BadParameter(
            "--resume, --again, --trails, --rerun and --format need --out, the file to write"
        )
    if resume and is_camera(source):
        raise typer.BadParameter(NOT_AGAIN)
    targets = None if out is None else _Targets(source, out, format, rerun, trails)
    rules = RULES if every is None else TrackRules(every=every)
    options: dict[str, Any] = {
        "detector": named_detector(detector),
        "scheme": scheme,
        "workers": threads,
        "flip": flip,
    }
    tracker = Tracker(model, faces=faces, smooth=smooth.filter, rules=rules, **options)
    settings = _settings(source, model) | {
        "faces": faces,
        "every": rules.every,
        "smooth": smooth.value,
    }
    settings |= {"detector": identity(detector), "flip": flip} | (
        {"rate": rate} if Path(source).is_dir() else {}
    )
    if targets and resume and targets.only_gathers(settings, tracker.predictor.scheme):
        return
    with VideoReader(source, rate) as reader:
        if resume and reader.live:
            raise typer.BadParameter(NOT_AGAIN)
        if targets is None:
            done = _show_tracks(reader, tracker, frames)
        else:
            done = _write_tracks(reader, tracker, targets, settings, frames, resume, again)
    _tell_missing(reader, done, frames)
    if targets:
        note(f"{done} frames -> {', '.join(str(path) for path in targets.all())}")


def _tell_missing(reader: "VideoReader", done: int, wanted: int | None) -> None:
    if reader.silent:
        note(f"{reader.name}: nothing more came ({reader.silent}); what came is whole")
    elif wanted is None and done < 0.9 * (reader.frames or 0):
        note(f"{reader.name} says that it holds {reader.frames} frames; {done} could be read")
    elif reader.broken:
        note(f"{reader.broken} frames of {reader.name} could not be decoded and were left out")


def _settings(source: str, model: str) -> dict[str, Any]:
    """What tells a video and a model: names, and of files, which may change, the size or the digest, too."""
    size = Path(source).stat().st_size if Path(source).is_file() else None
    return {"source": source, "bytes": size, "model": identity(model)}


class _Targets:
    """The files that --out and --format ask for."""

    def __init__(
        self, source: str, out: Path, format: Written | None, recording: Path | None, trails: bool
    ) -> None:
        """Raises: BadParameter for a suffix that names nothing; ExtraError where a file could not be written."""
        from ..analysis.rerun_file import check_recording
        from ..io.track_files import SUFFIXES
        from ..io.video import ENCODERS, import_av

        suffix = out.suffix.lower()
        if suffix not in ENCODERS and suffix not in SUFFIXES:
            wanted = ", ".join([*ENCODERS, *SUFFIXES])
            raise typer.BadParameter(
                f"--out {out}: the suffix {suffix!r} names no file that is written; wanted {wanted}"
            )
        self.video = out if suffix in ENCODERS else None
        if not self.video and (format or trails):
            raise typer.BadParameter(
                f"--format and --trails are for a video as --out; {out} is a file of tracks"
            )
        self.tracks, self.trails = out.with_suffix(".jsonl"), trails
        kind = (format or Written.jsonl).value if self.video else suffix[1:]
        self.recording = recording
        if recording:
            check_recording(recording)
        self.gathered = out.with_suffix(f".{kind}") if kind != "jsonl" else None
        if kind == "parquet":
            need_package("pyarrow", "report")
        if self.video:
            import_av()
        for path in self.all():
            if path.exists() and Path(source).exists() and path.samefile(source):
                raise typer.BadParameter(
                    f"{path} is what is tracked, and would be written over; choose another --out"
                )

    def only_gathers(self, settings: dict[str, Any], scheme: str) -> bool:
        """Whether a stopped run of these settings left whole tracks and only did not gather them; then that is done."""
        from ..io.track_files import gather_tracks, head_line, unfinished

        whole = [path for path in (self.tracks, self.video, self.recording) if path]
        if (
            not self.gathered
            or self.gathered.exists()
            or unfinished(self.tracks)
            or not all(p.exists() for p in whole)
        ):
            return False
        with self.tracks.open(encoding="utf-8") as lines:
            if lines.readline().rstrip("\n") != head_line(settings, scheme):
                raise typer.BadParameter(
                    f"{self.tracks} was made of another video or with other settings; add --again to make it anew"
                )
        gather_tracks(self.tracks, self.gathered)
        note(f"{self.tracks} was whole already -> {self.gathered}")
        return True

    def all(self) -> list[Path]:
        """Every file, the one asked for first."""
        return [path for path in (self.video, self.gathered, self.tracks, self.recording) if path]


def _line(frame: "Frame", faces: "Faces") -> str:
    from ..io.track_files import frame_line

    return frame_line(frame.number, frame.timestamp, faces)


def _until(reader: "VideoReader", frames: int | None) -> "Iterator[Frame]":
    for frame in reader:
        if frames is not None and frame.number >= frames:
            return
        yield frame


def _show_tracks(reader: "VideoReader", tracker: "Tracker", frames: int | None) -> int:
    """Prints a line of JSON a frame; gives their number."""
    done = 0
    with progress_bar("frames", None if sys.stdout.isatty() else reader.frames, speed=True) as step:
        for frame in _until(reader, frames):
            show(_line(frame, tracker(frame.image, frame.timestamp)))
            done += 1
            step()
    return done


@contextmanager
def _ended_by_signals(reader: "VideoReader") -> Iterator[None]:
    """Ctrl-C and SIGTERM end a live reader, which has no end of its own; a second Ctrl-C interrupts, as always."""
    asked = False

    def end(number: int, frame: Any) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True
        reader.end()

    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGINT, signal.SIGTERM)
        if reader.live
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_tracks(
    reader: "VideoReader",
    tracker: "Tracker",
    targets: _Targets,
    settings: dict[str, Any],
    frames: int | None,
    resume: bool,
    again: bool,
) -> int:
    """Writes all that is wanted; gives the number of frames."""
    from ..analysis.rerun_file import Recording
    from ..io.track_files import TrackWriter, gather_tracks, unfinished

    going_on = resume and unfinished(targets.tracks)
    for path in targets.all():
        if path.exists() and not again and not going_on:
            raise typer.BadParameter(
                f"{path} is there already; choose another --out, or add --again"
            )
    with ExitStack() as stack:
        stack.enter_context(_ended_by_signals(reader))  # until all files are closed
        tracks = TrackWriter(targets.tracks, settings, tracker.predictor.scheme, resume, again)
        stack.enter_context(tracks)
        pictures: list[Any] = (
            [stack.enter_context(_Drawing(targets, reader))] if targets.video else []
        )
        pictures += [stack.enter_context(Recording(targets.recording))] if targets.recording else []
        total = min(filter(None, (reader.frames, frames)), default=None)
        step = stack.enter_context(progress_bar("frames", total, speed=True))
        try:
            _follow(reader, tracker, tracks, pictures, frames, step)
        except KeyboardInterrupt:
            # not saved here: the tracker may be in the middle of a frame
            more = (
                ""
                if reader.live or not tracks.frames
                else f"; --resume goes on, from at most {SAVE_S:g} s before"
            )
            note(f"stopped after {tracks.frames} frames{more}")
            raise
        if targets.gathered:
            targets.gathered.unlink(missing_ok=True)  # of tracks that are replaced now
    if targets.gathered:
        gather_tracks(targets.tracks, targets.gathered)
    return tracks.frames


def _follow(
    reader: "VideoReader",
    tracker: "Tracker",
    tracks: "TrackWriter",
    pictures: list[Any],
    frames: int | None,
    step: Any,
) -> None:
    from ..errors import DataError
    from ..io.track_files import rounded

    kept, saved = tracks.kept(), time.monotonic()
    before = tracks.frames
    if tracks.state is not None:
        tracker.restore(tracks.state)
    else:
        tracks.save(tracker.state())
    seen = 0
    for frame in _until(reader, frames):
        seen += 1
        done = frame.number < before  # by the run that was stopped
        faces = next(kept) if done else tracker(frame.image, frame.timestamp)
        shown = rounded(faces) if pictures and not done else faces  # as those that are kept
        for picture in pictures:
            picture.add(frame.image, frame.timestamp, shown)
        if not done:
            tracks.write(frame.number, frame.timestamp, faces)
            if time.monotonic() - saved > SAVE_S:
                tracks.save(tracker.state())
                saved = time.monotonic()
        step()
    if seen < before:
        raise DataError(
            f"{reader.name}: {seen} frames, and the stopped run has {before} already; go on with the same video and "
            "at least as many --frames, or start anew with --again"
        )


class _Drawing:
    """The video of a reader with the faces drawn on it."""

    def __init__(self, targets: _Targets, reader: "VideoReader") -> None:
        from ..io.video import VideoWriter

        assert targets.video is not None
        self.writer, self.reader = VideoWriter(targets.video), reader
        self.trails: dict[int, deque[Any]] | None = {} if targets.trails else None
        self.start: float | None = None

    def add(self, image: "NDArray[np.uint8]", timestamp: float, faces: "Faces") -> None:
        """Draws one more frame."""
        from ..analysis.draw import draw_faces, draw_trails
        from ..geometry import box_center

        if self.start is None:
            self.start, self.writer.pixel_aspect = timestamp, self.reader.pixel_aspect
        if self.trails is not None:
            present = {
                face.track_id: box_center(face.box) for face in faces if face.track_id is not None
            }
            self.trails = {number: self.trails.get(number, deque(maxlen=45)) for number in present}
            for number, center in present.items():
                self.trails[number].append(center)
            image = image.copy()
            draw_trails(image, [list(trail) for trail in self.trails.values()])
        self.writer.write(draw_faces(image, faces), timestamp - self.start)

    def __enter__(self) -> "_Drawing":
        self.writer.__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        self.writer.__exit__(*what)
