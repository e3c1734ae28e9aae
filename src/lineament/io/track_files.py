"""Track files: the faces of a video as JSON lines, one per frame, resumable.

The first line contains what the tracks depend on; each other line is a frame. While a file is
being written, `.part` is appended to its name and the tracker's state is stored next to it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..atomic import AtomicWriter, partial_path, replace_file, write_text
from ..errors import DataError, InputError
from ..face import Faces
from ..geometry import Array
from ..schemes import load_stored_scheme, scheme, scheme_entries
from .formats import faces_from_dict, faces_to_dict
from .tables import VIDEO, write_csv, write_parquet

SUFFIXES = (".jsonl", ".csv", ".parquet")
DECIMALS = 4
KIND = "lineament tracks"
PART_SUFFIX = partial_path(Path("x")).suffix


def frame_line(number: int, timestamp: float, faces: Faces) -> str:
    """Return the JSON line of one frame, without newline."""
    entries = faces_to_dict(faces, "", DECIMALS)["faces"]
    record = {"frame": number, "time": round(timestamp, 6), "faces": entries}
    return json.dumps(record, allow_nan=False)


def state_path(path: Path) -> Path:
    """Return the path of the tracker's state, which exists while the tracks are incomplete."""
    return path.with_name(path.name + ".state")


def is_partial(path: Path) -> bool:
    """Return True if a run writing the tracks at `path` was interrupted."""
    return state_path(path).exists() and partial_path(path).exists()


def rounded(faces: Faces) -> Faces:
    """Return `faces` rounded to the precision of the file."""
    return faces_from_dict(faces_to_dict(faces, "", DECIMALS))


def head_line(settings: Mapping[str, Any], scheme_name: str) -> str:
    """Return the first line of a track file, without newline.

    Args:
        settings: Everything that the tracks depend on.
    """
    head = {"kind": KIND} | scheme_entries(scheme_name) | {"settings": dict(settings)}
    return json.dumps(head, allow_nan=False)


class TrackWriter(AtomicWriter):
    """Write tracks frame by frame to `path`.part, renamed to `path` when complete.

    After resuming, `frames` is the number of frames already written and `state` the tracker's
    state after them.

    Args:
        path: A .jsonl file.
        settings: Everything that the tracks depend on.
        resume: Continue an interrupted run.
        overwrite: Replace a complete file, or the output of an interrupted run.

    Raises:
        DataError: If the file exists and may not be replaced, if there is nothing to
            resume, or if it was written with other settings.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        scheme_name: str,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path, self.part = path, partial_path(path)
        self._state_path = state_path(path)
        self.head = head_line(settings, scheme_name)
        self.scheme = scheme_name
        self.frames, self.state = 0, None
        if path.exists() and not overwrite and not (resume and is_partial(path)):
            raise DataError(f"{path} exists; choose another --out, or add --overwrite")
        if is_partial(path) and not resume and not overwrite:
            raise DataError(
                f"{self.part} is left over from an interrupted run; add --resume to "
                "continue it, or --overwrite to start over"
            )
        if resume:
            self._file = self._reopened()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._state_path.unlink(missing_ok=True)
            self._file = self.part.open("w+b")
            self._file.write(self.head.encode() + b"\n")

    def _reopened(self) -> IO[bytes]:
        """Open the file of an interrupted run, truncated after the last saved frame."""
        try:
            saved = json.loads(self._state_path.read_text(encoding="utf-8"))
            self.frames, self.state = int(saved["frames"]), saved["state"]
            length = int(saved["length"])
            file = self.part.open("r+b")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.part}: no interrupted run to resume; start without --resume"
            ) from error
        head = file.readline().decode().rstrip("\n")
        if head != self.head or self.part.stat().st_size < length:
            file.close()
            raise DataError(
                f"{self.part} is from another video or other settings; resume with "
                "those, or start without --resume"
            )
        file.truncate(length)
        file.seek(length)
        return file

    def write(self, number: int, timestamp: float, faces: Faces) -> None:
        """Add one frame."""
        self._file.write(frame_line(number, timestamp, faces).encode() + b"\n")
        self.frames += 1

    def save(self, state: Mapping[str, Any]) -> None:
        """Flush all frames so far to disk, with the tracker's state after them."""
        self._file.flush()
        os.fsync(self._file.fileno())
        length = self._file.tell()
        saved = {"frames": self.frames, "length": length, "state": dict(state)}
        write_text(self._state_path, json.dumps(saved))

    def written(self) -> Iterator[Faces]:
        """Yield the faces of the frames already written; call before writing another frame."""
        end = self._file.tell()
        with self.part.open("rb") as file:
            file.readline()
            while file.tell() < end:
                yield _frame(json.loads(file.readline()), self.scheme)[2]

    def close(self) -> None:
        """Rename the complete file to its final name."""
        self._file.close()
        replace_file(self.part, self.path)
        self._state_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Close the partial file so that it can be resumed; delete it if it has no frames."""
        self._file.close()
        if not self.frames:
            self.part.unlink(missing_ok=True)
            self._state_path.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class Tracks:
    """The tracked faces of a video."""

    scheme: str
    """Scheme of all faces."""
    settings: Mapping[str, Any]
    """Everything that the tracks depend on, recorded when they were made."""
    times: Array
    """Time of each frame, (T,), seconds."""
    faces: tuple[Faces, ...]
    """The faces of each of the T frames."""

    def ids(self) -> list[int]:
        """Return the track ids, sorted."""
        found = set()
        for faces in self.faces:
            found |= {face.track_id for face in faces}
        return sorted(track_id for track_id in found if track_id is not None)

    def landmarks(self, track_id: int) -> Array:
        """Return the landmarks of one face, (T, N, 2), image pixels; nan in frames without it."""
        path = np.full((len(self.faces), len(scheme(self.scheme)), 2), np.nan)
        for number, faces in enumerate(self.faces):
            for face in faces:
                if face.track_id == track_id:
                    path[number] = face.landmarks
        return path


def read_lines(path: Path) -> Iterator[tuple[int, float, Faces]]:
    """Yield number, time and faces of each frame in a .jsonl track file.

    In the .part file of an interrupted run, an incomplete last line is ignored.

    Raises:
        DataError: If the file contains no tracks, or a line is broken.
    """
    with _opened(path) as file:
        head = _head(path, file.readline())
        for row, line in enumerate(file, 2):
            if path.suffix == PART_SUFFIX and not line.endswith("\n"):
                return  # an interrupted run may end in the middle of a line
            try:
                yield _frame(json.loads(line), head["scheme"])
            except (ValueError, KeyError, TypeError, InputError) as error:
                raise DataError(
                    f"{path}:{row}: a broken line ({error}); track the video again"
                ) from error


def read_tracks(path: str | os.PathLike[str]) -> Tracks:
    """Read a .jsonl file written by `lineament track`, complete or partial.

    Raises:
        DataError: If the file contains no tracks, or a line is broken.
    """
    file = Path(path)
    with _opened(file) as lines:
        head = _head(file, lines.readline())
    rows = list(read_lines(file))
    times = np.array([time for _, time, _ in rows], np.float64)
    faces = tuple(faces for _, _, faces in rows)
    return Tracks(head["scheme"], head["settings"], times, faces)


def convert_tracks(source: Path, target: Path, empty_rows: bool = False) -> None:
    """Convert a .jsonl track file to .csv or .parquet, one row per face.

    Args:
        empty_rows: Whether frames without a face have a row.

    Raises:
        ExtraError: If the target is parquet and pyarrow is not installed.
        DataError: If the source is not a track file.
    """
    with _opened(source) as lines:
        scheme_name = _head(source, lines.readline())["scheme"]
    write = write_parquet if target.suffix == ".parquet" else write_csv
    rows = (((number, time), faces) for number, time, faces in read_lines(source))
    write(target, rows, scheme_name, VIDEO, empty_rows)


def _opened(path: Path) -> IO[str]:
    try:
        # bytes of another kind of file are then no JSON, which is reported
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); "
            "expected tracks that lineament track wrote"
        ) from error


def _head(path: Path, line: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except ValueError:
        head = None
    is_valid = isinstance(head, dict) and head.get("kind") == KIND
    if not is_valid or not {"scheme", "settings"} <= head.keys():
        raise DataError(
            f"{path}: not a track file; "
            "expected the .jsonl file that lineament track writes"
        )
    return dict(head) | {"scheme": load_stored_scheme(head)}


def _frame(record: Mapping[str, Any], scheme_name: str) -> tuple[int, float, Faces]:
    faces = faces_from_dict({"faces": record["faces"], "scheme": scheme_name})
    return int(record["frame"]), float(record["time"]), faces
