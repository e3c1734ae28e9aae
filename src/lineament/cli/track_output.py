"""Output files of `track`: tracks, drawn video and rerun recording, resumable frame by frame."""

import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .app import note, progress_bar, require_package

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..face import Faces
    from ..io.track_files import TrackWriter
    from ..io.video_reader import Frame, VideoReader
    from ..tracking.tracker import Tracker

SAVE_S = 2.0
"""Interval in seconds at which files are flushed and the tracker's state is saved."""
TRAIL_FRAMES = 45
NOT_RESUMABLE = (
    "--resume is for videos that can be read again; a camera or a live stream cannot "
    "be resumed"
)


class TracksFormat(StrEnum):
    """Formats of track files."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class TrackTargets:
    """The output files requested by --out, --format and --rerun.

    Raises:
        BadParameter: If the options conflict or a target is the source.
        ExtraError: If a package needed for a target is not installed.
    """

    def __init__(
        self,
        source: str,
        out: Path,
        format: TracksFormat | None,
        rerun: Path | None,
        trails: bool,
        empty_rows: bool = False,
    ) -> None:
        from ..analysis.rerun_file import import_rerun
        from ..io.track_files import SUFFIXES
        from ..io.video_decoders import import_av
        from ..io.video_writer import ENCODERS

        suffix = out.suffix.lower()
        if suffix not in ENCODERS and suffix not in SUFFIXES:
            suffixes = ", ".join([*ENCODERS, *SUFFIXES])
            raise typer.BadParameter(
                f"--out {out}: unsupported suffix {suffix!r}; expected {suffixes}"
            )
        self.video = out if suffix in ENCODERS else None
        if trails and not self.video:
            raise typer.BadParameter(
                f"--draw-trails needs a video as --out; {out} is a track file"
            )
        if format and not self.video and format != suffix[1:]:
            raise typer.BadParameter(
                f"--format {format} and --out {out} name different formats; omit "
                "--format"
            )
        self.tracks, self.trails, self.rerun = out.with_suffix(".jsonl"), trails, rerun
        self.empty_rows = empty_rows
        kind = (format or TracksFormat.jsonl).value if self.video else suffix[1:]
        if empty_rows and kind == "jsonl":
            raise typer.BadParameter(
                "--empty-rows is for csv and parquet; a .jsonl file has every frame"
            )
        self.converted = out.with_suffix(f".{kind}") if kind != "jsonl" else None
        if rerun:
            import_rerun(rerun)
        if kind == "parquet":
            require_package("pyarrow", "report")
        if self.video:
            import_av()
        for path in self.all():
            if path.exists() and Path(source).exists() and path.samefile(source):
                raise typer.BadParameter(
                    f"{path} is the source and would be overwritten; choose another --out"
                )

    def all(self) -> list[Path]:
        """Return all output files, the requested one first."""
        paths = (self.video, self.converted, self.tracks, self.rerun)
        return [path for path in paths if path]

    def finish_conversion(self, settings: dict[str, Any], scheme: str) -> bool:
        """Convert the tracks if only this step is missing from an interrupted run.

        Returns:
            True if that was the case, so everything is done.

        Raises:
            BadParameter: If the tracks are of another video or have other settings.
        """
        from ..io.track_files import convert_tracks, head_line, is_partial

        complete = [path for path in (self.tracks, self.video, self.rerun) if path]
        if not self.converted or self.converted.exists() or is_partial(self.tracks):
            return False
        if not all(path.exists() for path in complete):
            return False
        with self.tracks.open(encoding="utf-8") as lines:
            if lines.readline().rstrip("\n") != head_line(settings, scheme):
                raise typer.BadParameter(
                    f"{self.tracks} was made from another video or with other "
                    "settings; add --overwrite to replace it"
                )
        convert_tracks(self.tracks, self.converted, self.empty_rows)
        note(f"{self.tracks} was already complete -> {self.converted}")
        return True


def until(reader: "VideoReader", frames: int | None) -> "Iterator[Frame]":
    """Yield the first `frames` frames of a reader; None: all frames."""
    for frame in reader:
        if frames is not None and frame.number >= frames:
            return
        yield frame


def write_tracks(
    reader: "VideoReader",
    tracker: "Tracker",
    targets: TrackTargets,
    settings: dict[str, Any],
    frames: int | None,
    resume: bool,
    overwrite: bool,
) -> int:
    """Track the faces in a video, write all targets, and return the number of frames."""
    from ..analysis.rerun_file import RerunWriter
    from ..io.track_files import TrackWriter, convert_tracks

    _refuse_existing(targets, resume, overwrite)
    with ExitStack() as stack:
        stack.enter_context(_stopped_by_signals(reader))  # until all files are closed
        scheme = tracker.predictor.scheme
        tracks = TrackWriter(targets.tracks, settings, scheme, resume, overwrite)
        stack.enter_context(tracks)
        drawings: list[Any] = []
        if targets.video:
            video = _DrawnVideo(targets.video, targets.trails, reader)
            drawings.append(stack.enter_context(video))
        if targets.rerun:
            drawings.append(stack.enter_context(RerunWriter(targets.rerun)))
        total = min(filter(None, (reader.frames, frames)), default=None)
        step = stack.enter_context(progress_bar("frames", total, speed=True))
        try:
            _track(reader, tracker, tracks, drawings, frames, step)
        except KeyboardInterrupt:
            # the state is not saved here, because the tracker may be in the middle of a frame
            hint = ""
            if tracks.frames and not reader.live:
                hint = f"; --resume continues from at most {SAVE_S:g} s earlier"
            note(f"stopped after {tracks.frames} frames{hint}")
            raise
        if targets.converted:
            targets.converted.unlink(
                missing_ok=True
            )  # of the old tracks, to be replaced
    if targets.converted:
        convert_tracks(targets.tracks, targets.converted, targets.empty_rows)
    return tracks.frames


def _refuse_existing(targets: TrackTargets, resume: bool, overwrite: bool) -> None:
    """Raise BadParameter if a target exists and must not be replaced."""
    from ..io.track_files import is_partial

    if overwrite or (resume and is_partial(targets.tracks)):
        return
    for path in targets.all():
        if path.exists():
            raise typer.BadParameter(
                f"{path} exists; choose another --out, or add --overwrite"
            )


@contextmanager
def _stopped_by_signals(reader: "VideoReader") -> Iterator[None]:
    """Stop a live reader on Ctrl-C or SIGTERM; a second Ctrl-C interrupts."""
    is_interrupted = False

    def stop(number: int, frame: Any) -> None:
        nonlocal is_interrupted
        if is_interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        is_interrupted = True
        reader.stop()

    before = {}
    if reader.live:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _track(
    reader: "VideoReader",
    tracker: "Tracker",
    tracks: "TrackWriter",
    drawings: list[Any],
    frames: int | None,
    step: Any,
) -> None:
    """Track and write each frame; frames written by an interrupted run are only drawn."""
    from ..errors import DataError
    from ..io.track_files import rounded

    written, saved = tracks.written(), time.monotonic()
    before, read = tracks.frames, 0
    if tracks.state is not None:
        tracker.restore(tracks.state)
    else:
        tracks.save(tracker.state())
    for frame in until(reader, frames):
        read += 1
        done = frame.number < before  # written by the interrupted run
        faces = next(written) if done else tracker(frame.image, frame.timestamp)
        shown = (
            rounded(faces) if drawings and not done else faces
        )  # with the precision of the file, as after a resume
        for drawing in drawings:
            drawing.add(frame.image, frame.timestamp, shown)
        if not done:
            tracks.write(frame.number, frame.timestamp, faces)
            if time.monotonic() - saved > SAVE_S:
                tracks.save(tracker.state())
                saved = time.monotonic()
        step()
    if read < before:
        raise DataError(
            f"{reader.name}: {read} frames, but the interrupted run already has "
            f"{before}; resume with the same video and at least as many --max-frames, or "
            "start over with --overwrite"
        )


class _DrawnVideo:
    """Copy of a reader's video with the faces drawn on it."""

    def __init__(self, path: Path, trails: bool, reader: "VideoReader") -> None:
        from ..io.video_writer import VideoWriter

        self.writer, self.reader = VideoWriter(path), reader
        self.trails: dict[int, deque[Any]] | None = {} if trails else None
        self.start: float | None = None

    def add(self, image: "NDArray[np.uint8]", timestamp: float, faces: "Faces") -> None:
        """Draw and write the next frame."""
        from ..analysis.draw import draw_faces, draw_trails

        if self.start is None:
            self.start, self.writer.pixel_aspect = timestamp, self.reader.pixel_aspect
        if self.trails is not None:
            self.trails = _extended(self.trails, faces)
            image = image.copy()
            draw_trails(image, [list(trail) for trail in self.trails.values()])
        self.writer.write(draw_faces(image, faces), timestamp - self.start)

    def __enter__(self) -> "_DrawnVideo":
        self.writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.writer.__exit__(*error)


def _extended(trails: dict[int, deque[Any]], faces: "Faces") -> dict[int, deque[Any]]:
    """Return the trails of the present faces, with their current box centers appended."""
    from ..geometry import box_center

    present: dict[int, deque[Any]] = {}
    for face in faces:
        if face.track_id is not None:
            present[face.track_id] = trails.get(face.track_id) or deque(
                maxlen=TRAIL_FRAMES
            )
            present[face.track_id].append(box_center(face.box))
    return present
