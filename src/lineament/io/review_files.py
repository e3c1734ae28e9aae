"""Review folder: per corrected face, a .pts file and a JSON file with the history of decisions."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import write_text
from ..errors import DataError, InputError
from ..geometry import Array
from ..schemes import load_stored_scheme, scheme_entries
from ..schemes import scheme as scheme_called
from .formats import json_numbers
from .pts import format_pts

ACCEPTED, NOT_A_FACE = "accepted", "not a face"
STATUSES = (ACCEPTED, NOT_A_FACE)
SUFFIX = ".face.json"
"""Suffix of a face's JSON file, after the stem of the .pts file."""
DECIMALS = 4


@dataclass(frozen=True, eq=False)
class Save:
    """One reviewer's decision on a face."""

    reviewer: str
    when: str
    """Time in UTC, as 2026-11-29T12:34:56Z."""
    seconds: float
    """Time that the reviewer spent on the face."""
    status: str
    """"accepted", or "not a face"."""
    landmarks: Array
    """(N, 2), pixels of the image; nan if not annotated."""
    occluded: tuple[str, ...] = ()
    """Names of the points that are not visible."""


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """A face with all decisions on it, the latest last."""

    name: str
    """Path of its files relative to the folder, without suffix."""
    image: Path
    image_size: tuple[int, int]
    """Width and height of the image, pixels."""
    scheme: str
    box: Array
    """(4,), pixels of the image."""
    start: Array
    """Landmarks before any correction, (N, 2), pixels of the image."""
    sigma_px: Array
    """Predicted uncertainty of these landmarks, (N,), pixels; nan if unknown."""
    saves: tuple[Save, ...] = ()

    @property
    def last(self) -> Save | None:
        """Return the latest decision, which is the valid one; None if there is none."""
        return self.saves[-1] if self.saves else None


def write_face(folder: Path, face: FaceRecord) -> None:
    """Write the latest decision on a face: its JSON file, and a .pts file if it is a face.

    Both are written atomically; the JSON file is last, because readers look for it.

    Raises:
        DataError: If there is no decision, or a file cannot be written.
    """
    if face.last is None:
        raise DataError(f"{face.name}: no decision to write; accept or reject the face")
    pts = folder / f"{face.name}.pts"
    path = folder / f"{face.name}{SUFFIX}"
    try:
        if face.last.status == NOT_A_FACE:
            pts.unlink(missing_ok=True)
        else:
            write_text(pts, format_pts(face.last.landmarks))
        record = _to_record(face, path.parent)
        text = json.dumps(record, allow_nan=False) + "\n"
        write_text(path, text, errors="backslashreplace")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def relative_name(image: Path, folder: Path) -> str:
    """Return the path of an image relative to a folder, with slashes; absolute on another drive."""
    try:
        return Path(os.path.relpath(image.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return image.resolve().as_posix()


def _to_record(face: FaceRecord, folder: Path) -> dict[str, Any]:
    saves = []
    for save in face.saves:
        saves.append(
            {
                "reviewer": save.reviewer,
                "when": save.when,
                "seconds": round(save.seconds, 2),
                "status": save.status,
                "occluded": list(save.occluded),
                "landmarks": json_numbers(save.landmarks, DECIMALS),
            }
        )
    return {
        "image": relative_name(face.image, folder),
        "image_size": list(face.image_size),
        **scheme_entries(face.scheme),
        "box": json_numbers(face.box, DECIMALS),
        "start": json_numbers(face.start, DECIMALS),
        "sigma_px": json_numbers(face.sigma_px, DECIMALS),
        "saves": saves,
    }


def read_face(folder: Path, name: str) -> FaceRecord:
    """Read the decisions on the face `name`.

    Raises:
        DataError: If the file is missing or broken.
    """
    path = folder / f"{name}{SUFFIX}"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        scheme = load_stored_scheme(record)
        width, height = map(int, record["image_size"])
        return FaceRecord(
            name=name,
            image=_image_at(path.parent, str(record["image"])),
            image_size=(width, height),
            scheme=scheme,
            box=_numbers(record["box"], (4,)),
            start=_numbers(record["start"], (len(scheme_called(scheme)), 2)),
            sigma_px=_numbers(record["sigma_px"], (len(scheme_called(scheme)),)),
            saves=tuple(_save(each, scheme) for each in record["saves"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (
            error
            if isinstance(error, InputError)
            else f"{type(error).__name__}: {error}"
        )
        raise DataError(
            f"{path}: not a reviewed face ({reason}); "
            "expected a file of lineament review"
        ) from error


def _image_at(folder: Path, name: str) -> Path:
    """Return the path of an image named in a record in `folder`."""
    return Path(os.path.normpath(folder / name.replace("\\", "/")))


def _save(record: dict[str, Any], scheme: str) -> Save:
    if record["status"] not in STATUSES:
        raise ValueError(f"status {record['status']!r}")
    points = scheme_called(scheme).points
    unknown = set(record["occluded"]) - set(points)
    if unknown:
        raise ValueError(f"{min(unknown)!r} is not a point of {scheme}")
    return Save(
        reviewer=str(record["reviewer"]),
        when=str(record["when"]),
        seconds=float(record["seconds"]),
        status=record["status"],
        landmarks=_numbers(record["landmarks"], (len(points), 2)),
        occluded=tuple(record["occluded"]),
    )


def _numbers(values: Any, shape: tuple[int, ...]) -> Array:
    array = np.array(values, dtype=np.float64)  # None becomes nan
    if array.shape != shape:
        raise ValueError(f"an array of shape {array.shape}; expected {shape}")
    return array


def face_names(folder: Path) -> Sequence[str]:
    """Return the names of all faces with a decision in a folder and its subfolders, sorted."""
    names = []
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        below = path.relative_to(folder).as_posix()
        names.append(below.removesuffix(SUFFIX))
    return names


def occluded_mask(names: Sequence[str], scheme: str) -> Any:
    """Return a mask (N,) of the points of `scheme` that are in `names`."""
    return np.isin(scheme_called(scheme).points, list(names))
