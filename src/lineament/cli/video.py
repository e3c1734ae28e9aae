"""track: a video -> the faces of its frames, drawn or written down."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, need_package, note, progress_bar, show, show_table
from .faces import DetectorName, SchemeName, Smooth, named_detector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..face import Faces
    from ..track import Tracker
    from ..tracks import Tracks, TrackWriter
    from ..video import Frame, VideoReader

SAVE_S = 2.0
"""Seconds between two times at which all that is done is made safe."""


class Written(StrEnum):
    """How tracks are written."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


@app.command()
def track(
    source: Annotated[str, typer.Argument(help="A video, a folder of frames, an address, or a camera's number.")],
    out: Annotated[
        Path | None,
        typer.Option(help="A video file to draw on, with the tracks beside it; or a .jsonl, .csv or .parquet file."),
    ] = None,
    format: Annotated[Written, typer.Option(help="How the tracks beside a video are written.")] = Written.jsonl,
    model: Annotated[str, typer.Option("--model", help="A model by name, or an .onnx file.")] = "fast",
    scheme: SchemeName = None,
    detector: DetectorName = "default",
    faces: Annotated[int | None, typer.Option(min=1, help="Follow at most so many faces.")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Frames between two looks for new faces.")] = None,
    smooth: Annotated[Smooth, typer.Option(help="The filter over time; none: every frame as measured.")] = (
        Smooth.one_euro
    ),
    trails: Annotated[bool, typer.Option("--trails", help="Draw the way each face came.")] = False,
    rerun: Annotated[Path | None, typer.Option(help="An .rrd file for the viewer of rerun, besides --out.")] = None,
    rate: Annotated[float, typer.Option(help="Pictures a second, of a folder of frames.")] = 30.0,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Of the models, beside the decoder's; 0: all cores.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Replace files that are there already.")] = False,
) -> None:
    """Follow the faces of a video, with steady landmarks and numbers.

    Without --out, every frame is one line of JSON on standard output. With it, tracks are written as they come; a run
    that was stopped goes on with --resume and ends as if it had not been.
    """
    from ..track import RULES, Tracker, TrackRules
    from ..video import VideoReader

    if out is None and (resume or again or trails or rerun):
        raise typer.BadParameter("--resume, --again, --trails and --rerun need --out, the file to write")
    if resume and source.isdigit():
        raise typer.BadParameter("--resume is for what can be seen again; a camera shows something else now")
    targets = None if out is None else _Targets(out, format, rerun)
    if targets and resume and targets.only_gathers():
        return
    rules = RULES if every is None else TrackRules(every=every)
    tracker = Tracker(
        model,
        faces=faces,
        smooth=smooth.filter,
        rules=rules,
        detector=named_detector(detector),
        scheme=scheme,
        threads=threads,
    )
    settings: dict[str, Any] = {"source": source, "model": model, "faces": faces, "every": rules.every}
    settings |= {"smooth": smooth.value, "detector": detector} | ({"rate": rate} if Path(source).is_dir() else {})
    with VideoReader(source, rate) as reader:
        if targets is None:
            for frame in _until(reader, frames):
                show(_line(frame, tracker(frame.image, frame.timestamp)))
            return
        done = _write_tracks(reader, tracker, targets, settings, frames, trails, resume, again)
    if reader.broken:
        note(f"{reader.broken} frames of {source} could not be decoded and were left out")
    note(f"{done} frames -> {', '.join(str(path) for path in targets.all())}")


class _Targets:
    """The files that --out and --format ask for."""

    def __init__(self, out: Path, format: Written, recording: Path | None) -> None:
        """Raises: BadParameter for a suffix that names nothing; ExtraError where a file could not be written."""
        from ..tracks import SUFFIXES
        from ..video import ENCODERS, import_av

        suffix = out.suffix.lower()
        if suffix not in ENCODERS and suffix not in SUFFIXES:
            wanted = ", ".join([*ENCODERS, *SUFFIXES])
            raise typer.BadParameter(
                f"--out {out}: the suffix {suffix!r} names no file that is written; wanted {wanted}"
            )
        self.video = out if suffix in ENCODERS else None
        self.tracks = out.with_suffix(".jsonl")
        kind = format.value if self.video else suffix[1:]
        self.recording = recording
        self.gathered = out.with_suffix(f".{kind}") if kind != "jsonl" else None
        if kind == "parquet":
            need_package("pyarrow", "report")
        if self.video:
            import_av()

    def only_gathers(self) -> bool:
        """Whether a stopped run left whole tracks and only did not gather them; then that is done."""
        from ..tracks import gather_tracks

        others = [path for path in (self.video, self.recording) if path]
        if not self.gathered or self.gathered.exists() or not all(p.exists() for p in [self.tracks, *others]):
            return False
        gather_tracks(self.tracks, self.gathered)
        note(f"{self.tracks} was whole already -> {self.gathered}")
        return True

    def all(self) -> list[Path]:
        """Every file, the one asked for first."""
        return [path for path in (self.video, self.gathered, self.tracks, self.recording) if path]


def _line(frame: "Frame", faces: "Faces") -> str:
    from ..tracks import frame_line

    return frame_line(frame.number, frame.timestamp, faces)


def _until(reader: "VideoReader", frames: int | None) -> "Iterator[Frame]":
    for frame in reader:
        if frames is not None and frame.number >= frames:
            return
        yield frame


def _write_tracks(
    reader: "VideoReader",
    tracker: "Tracker",
    targets: _Targets,
    settings: dict[str, Any],
    frames: int | None,
    trails: bool,
    resume: bool,
    again: bool,
) -> int:
    """Writes all that is wanted; gives the number of frames."""
    from ..recording import Recording
    from ..tracks import TrackWriter, gather_tracks

    for path in targets.all():
        if path.exists() and not again:
            raise typer.BadParameter(f"{path} is there already; choose another --out, or add --again")
    with ExitStack() as stack:
        tracks = TrackWriter(targets.tracks, settings, tracker.predictor.scheme, resume, again)
        stack.enter_context(tracks)
        pictures: list[Any] = [stack.enter_context(_Drawing(targets.video, trails))] if targets.video else []
        pictures += [stack.enter_context(Recording(targets.recording))] if targets.recording else []
        total = min(filter(None, (reader.frames, frames)), default=None)
        step = stack.enter_context(progress_bar("frames", total, speed=True))
        try:
            _follow(reader, tracker, tracks, pictures, frames, step)
        except KeyboardInterrupt:
            # not saved here: the tracker may be in the middle of a frame
            note(f"stopped after {tracks.frames} frames; --resume goes on, from at most {SAVE_S:g} s before")
            raise
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
    kept, saved = tracks.kept(), time.monotonic()
    before = tracks.frames
    if tracks.state is not None:
        tracker.restore(tracks.state)
    else:
        tracks.save(tracker.state())
    for frame in _until(reader, frames):
        done = frame.number < before  # by the run that was stopped
        faces = next(kept) if done else tracker(frame.image, frame.timestamp)
        for picture in pictures:
            picture.add(frame.image, frame.timestamp, faces)
        if not done:
            tracks.write(frame.number, frame.timestamp, faces)
            if time.monotonic() - saved > SAVE_S:
                tracks.save(tracker.state())
                saved = time.monotonic()
        step()


class _Drawing:
    """A video with the faces drawn on it."""

    def __init__(self, path: Path, trails: bool) -> None:
        from ..video import VideoWriter

        self.writer: VideoWriter = VideoWriter(path)
        self.trails: dict[int, deque[Any]] | None = {} if trails else None
        self.start: float | None = None

    def add(self, image: "NDArray[np.uint8]", timestamp: float, faces: "Faces") -> None:
        """Draws one more frame."""
        from ..draw import draw_faces, draw_trails
        from ..geometry import box_center

        self.start = timestamp if self.start is None else self.start
        if self.trails is not None:
            present = {face.track_id: box_center(face.box) for face in faces if face.track_id is not None}
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


@app.command()
def stability(
    paths: Annotated[list[Path], typer.Argument(help="Videos, or .jsonl files of lineament track.", metavar="PATH")],
    reference: Annotated[
        Path | None, typer.Option(help="For a file of tracks: the same video tracked with --smooth none.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Tracks with the true numbers: counts switched, lost and ghost faces.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="For videos: a model by name, or an .onnx file.")] = "fast",
    smooth: Annotated[Smooth, typer.Option(help="For videos: the filter over time.")] = Smooth.one_euro,
    plot: Annotated[Path | None, typer.Option(help="A .png file: motion and jitter over time.")] = None,
) -> None:
    """Measure how steady and how late landmarks are in videos: jitter on still stretches, lag, gaps.

    A video is tracked without a filter and with one, and both are measured. Jitter is the root mean square of the
    second difference of the points, in percent of the distance between the outer eye corners.
    """
    from ..score.stability import compare_numbers, measure_tracks
    from ..tracks import read_tracks, smoothed

    if (reference or truth) and len(paths) != 1:
        raise typer.BadParameter("--reference and --truth are for one file of tracks or one video")
    if plot is not None:
        need_package("matplotlib", "report")
    rows, drawn, counted = [], [], []
    for path in paths:
        if path.suffix == ".jsonl":
            raw = read_tracks(reference) if reference else None
            pairs = [(path.name, read_tracks(path), raw)]
        else:
            raw = _measured(path, model)
            pairs = [(f"{path.name}, as measured", raw, None)]
            if smooth.filter:
                pairs.append((f"{path.name}, {smooth.value}", smoothed(raw, smooth.filter), raw))
        for name, tracks, raw in pairs:
            if truth:
                numbers = compare_numbers(tracks.faces, read_tracks(truth).faces)
                counted.append([name, *map(str, (numbers.frames, numbers.switches, numbers.lost, numbers.ghosts))])
            for number, found in measure_tracks(tracks, raw).items():
                shown = [str(found.frames), str(found.gaps), str(found.still_frames)]
                shown += [_number(100 * found.jitter, 3), _number(found.lag, 2)]
                rows.append([name, str(number), *shown])
            drawn.append((name, tracks, raw))
    head = ["track", "face", "frames", "gaps", "still frames", "jitter %", "lag frames"]
    show_table(head, rows or [["no face of 30 frames or more"]])
    if truth:
        show_table(["track", "true faces", "switches", "lost", "ghosts"], counted)
    if plot is not None:
        from ..score.stability_plot import draw_stability

        draw_stability(drawn, plot)
        note(f"motion and jitter over time -> {plot}")


def _number(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:.{digits}f}"


def _measured(path: Path, model: str) -> "Tracks":
    """The tracks of a video without a filter."""
    from ..track import Tracker
    from ..tracks import track_all
    from ..video import VideoReader

    with VideoReader(str(path)) as reader, progress_bar("frames", reader.frames, speed=True) as step:
        return track_all(reader, Tracker(model, smooth=None), step)
