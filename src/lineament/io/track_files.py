"""The faces of a video, written frame by frame as JSON lines, read back, and gone on with after a stop.

The first line says what the rest depends on; every other is a frame. A second file beside keeps the tracker's state.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..atomic import AtomicWriter, atomic_path, partial_path
from ..errors import DataError, InputError
from ..face import Faces
from ..geometry import Array
from ..schemes import scheme
from .formats import VIDEO, faces_from_dict, faces_to_dict, write_csv, write_parquet

SUFFIXES = (".jsonl", ".csv", ".parquet")
DECIMALS = 4
KIND = "lineament tracks"


def frame_line(number: int, timestamp: float, faces: Faces) -> str:
    """The JSON line of one frame, without its end."""
    record = {
        "frame": number,
        "time": round(timestamp, 6),
        "faces": faces_to_dict(faces, "", DECIMALS)["faces"],
    }
    return json.dumps(record, allow_nan=False)


def state_path(path: Path) -> Path:
    """Where the tracker's state lies while the tracks at `path` are being written, or were when the run was stopped."""
    return path.with_name(path.name + ".state")


def unfinished(path: Path) -> bool:
    """Whether a run that writes the tracks at `path` was stopped before its end."""
    return state_path(path).exists() and partial_path(path).exists()


def rounded(faces: Faces) -> Faces:
    """`faces` with as many digits as are written."""
    return faces_from_dict(faces_to_dict(faces, "", DECIMALS))


def head_line(settings: Mapping[str, Any], scheme_name: str) -> str:
    """The JSON line that a file of tracks begins with, without its end.    settings: what the tracks depend on."""
    return json.dumps(
        {"kind": KIND, "scheme": scheme_name, "settings": dict(settings)}, allow_nan=False
    )


class TrackWriter(AtomicWriter):
    """Writes tracks to `path`.part as they come, and gives the file its name when all is done.

    path: a .jsonl file.    settings: what the tracks depend on.    resume: go on with what a stopped run left.
    again: replace a finished file.
    After a resume `frames` is the number of frames kept and `state` the tracker's state behind them.
    Raises: DataError where the file, or what a stopped run left, is there already, nothing was left to go on with, or
    other settings made it.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        scheme_name: str,
        resume: bool = False,
        again: bool = False,
    ) -> None:
        self.path, self.part = path, partial_path(path)
        self.saved = state_path(path)
        self.head = head_line(settings, scheme_name)
        self.scheme = scheme_name
        self.frames, self.state = 0, None
        if path.exists() and not again and not (resume and unfinished(path)):
            raise DataError(
                f"{path} is there already; choose another --out, or add --again to make it anew"
            )
        if unfinished(path) and not resume and not again:
            raise DataError(
                f"{self.part} is there, of a run that was stopped; add --resume to go on with it, or --again to make "
                "it anew"
            )
        if resume:
            self._file = self._left()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.saved.unlink(missing_ok=True)
            self._file = self.part.open("w+b")
            self._file.write(self.head.encode() + b"\n")

    def _left(self) -> IO[bytes]:
        """The file that a stopped run left, cut behind the last frame whose tracker's state is known."""
        try:
            saved = json.loads(self.saved.read_text(encoding="utf-8"))
            self.frames, self.state, length = (
                int(saved["frames"]),
                saved["state"],
                int(saved["length"]),
            )
            file = self.part.open("r+b")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.part}: no stopped run to go on with; start without --resume"
            ) from error
        if file.readline().decode().rstrip("\n") != self.head or self.part.stat().st_size < length:
            file.close()
            raise DataError(
                f"{self.part} was made of another video or with other settings; go on with those, or start "
                "without --resume"
            )
        file.truncate(length)
        file.seek(length)
        return file

    def write(self, number: int, timestamp: float, faces: Faces) -> None:
        """Adds one frame."""
        self._file.write(frame_line(number, timestamp, faces).encode() + b"\n")
        self.frames += 1

    def save(self, state: Mapping[str, Any]) -> None:
        """Makes all frames so far safe, with the tracker's state behind them."""
        self._file.flush()
        os.fsync(self._file.fileno())
        saved = {"frames": self.frames, "length": self._file.tell(), "state": dict(state)}
        with atomic_path(self.saved) as beside:
            beside.write_text(json.dumps(saved), encoding="utf-8")

    def kept(self) -> Iterator[Faces]:
        """The faces of the frames kept, in order; read before the first frame is written."""
        end = self._file.tell()
        with self.part.open("rb") as file:
            file.readline()
            while file.tell() < end:
                yield _frame(json.loads(file.readline()), self.scheme)[2]

    def close(self) -> None:
        """Gives the file its name."""
        self._file.close()
        self.part.replace(self.path)
        self.saved.unlink(missing_ok=True)

    def discard(self) -> None:
        """Lets go of the file; what was made safe can be gone on with. Without a frame nothing stays."""
        self._file.close()
        if not self.frames:
            self.part.unlink(missing_ok=True)
            self.saved.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class Tracks:
    """The faces of a video."""

    scheme: str
    settings: Mapping[str, Any]
    """What the tracks depend on, as stated when they were made."""
    times: Array
    """(T,): seconds."""
    faces: tuple[Faces, ...]
    """The faces of each of the T frames."""

    def ids(self) -> list[int]:
        """The track ids, in order."""
        return sorted(
            {face.track_id for faces in self.faces for face in faces if face.track_id is not None}
        )

    def landmarks(self, track_id: int) -> Array:
        """(T, N, 2), pixels: the points of one face, nan where it is not there."""
        path = np.full((len(self.faces), len(scheme(self.scheme)), 2), np.nan)
        for number, faces in enumerate(self.faces):
            for face in faces:
                if face.track_id == track_id:
                    path[number] = face.landmarks
        return path


def read_lines(path: Path) -> Iterator[tuple[int, float, Faces]]:
    """Frame number, time and faces of each frame of a .jsonl file of tracks, one at a time.

    Raises: DataError where the file is none, or a line is broken.
    """
    with _opened(path) as file:
        head = _head(path, file.readline())
        for row, line in enumerate(file, 2):
            try:
                yield _frame(json.loads(line), head["scheme"])
            except (ValueError, KeyError, TypeError, InputError) as error:
                raise DataError(
                    f"{path}:{row}: a broken line ({error}); make the file again"
                ) from error


def read_tracks(path: str | os.PathLike[str]) -> Tracks:
    """The tracks in a .jsonl file of `lineament track`; also an unfinished one.    Raises: DataError."""
    file = Path(path)
    with _opened(file) as lines:
        head = _head(file, lines.readline())
    rows = list(read_lines(file))
    times = np.array([time for _, time, _ in rows], np.float64)
    return Tracks(head["scheme"], head["settings"], times, tuple(faces for _, _, faces in rows))


def gather_tracks(source: Path, target: Path) -> None:
    """Writes the tracks of a .jsonl file as .csv or .parquet, one row a face, by the target's suffix.

    Raises: ExtraError for parquet without pyarrow; DataError.
    """
    with _opened(source) as lines:
        name = _head(source, lines.readline())["scheme"]
    write = write_parquet if target.suffix == ".parquet" else write_csv
    write(
        target, (((number, time), faces) for number, time, faces in read_lines(source)), name, VIDEO
    )


def _opened(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); wanted tracks that lineament track wrote"
        ) from error


def _head(path: Path, line: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
        known = (
            isinstance(head, dict)
            and head.get("kind") == KIND
            and {"scheme", "settings"} <= head.keys()
        )
    except ValueError:
        known = False
    if not known:
        raise DataError(
            f"{path}: not a file of tracks; wanted the .jsonl file that lineament track writes"
        )
    return dict(head)


def _frame(record: Mapping[str, Any], scheme_name: str) -> tuple[int, float, Faces]:
    faces = faces_from_dict({"faces": record["faces"], "scheme": scheme_name})
    return int(record["frame"]), float(record["time"]), faces
