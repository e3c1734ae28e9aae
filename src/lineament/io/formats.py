"""Faces as NumPy arrays, JSON and supervision keypoints; faces from JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError, SchemeError, missing_extra
from ..face import Face, Faces
from ..geometry import Array
from ..schemes import load_stored_scheme, scheme_entries
from ..schemes import scheme as scheme_called

FACE_KEYS = ("box", "score", "landmarks", "scores", "sigma_px")
OPTIONAL_KEYS = ("presence", "visible")
"""Keys of a face that are omitted if the model does not predict them."""


def faces_to_numpy(faces: Faces) -> dict[str, NDArray[Any]]:
    """Return F faces with N landmarks as a dict of arrays, ready for numpy.savez.

    Returns:
        landmarks (F, N, 2), scores, sigma_px and visible (F, N), boxes (F, 4),
        box_scores and presence (F,), track_ids (F,) with -1 for none, scheme as a string
        array of shape (). Units are those of Face.
    """
    return {
        "landmarks": faces.landmarks,
        "scores": faces.scores,
        "sigma_px": faces.sigma_px,
        "boxes": faces.boxes,
        "box_scores": faces.box_scores,
        "presence": faces.presence,
        "visible": faces.visible,
        "track_ids": np.array(
            [-1 if f.track_id is None else f.track_id for f in faces], dtype=np.int64
        ),
        "scheme": np.array(faces.scheme),
    }


def json_numbers(array: Array, decimals: int | None) -> list[Any]:
    """Return nested lists; non-finite values become None, because JSON cannot represent them."""
    rounded = array if decimals is None else array.round(decimals)
    if np.isfinite(rounded).all():
        return list(rounded.tolist())
    mixed = rounded.astype(object)
    mixed[~np.isfinite(rounded)] = None
    return list(mixed.tolist())


def to_dict(result: Any) -> dict[str, Any]:
    """Return a result as a dict of JSON values, like `dataclasses.asdict`.

    Arrays become lists; numbers that are not finite become None.

    Args:
        result: Any dataclass of this package, such as Face, HeadPose or Tracks.
    """
    return dict(asdict(result, dict_factory=_json_fields))


def _json_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        values[name] = value
        if isinstance(value, np.ndarray):
            is_number = value.dtype.kind == "f"
            values[name] = json_numbers(value, None) if is_number else value.tolist()
        elif isinstance(value, float) and not math.isfinite(value):
            values[name] = None
    return values


def _rounded(value: float, decimals: int | None) -> float:
    return value if decimals is None else round(value, decimals)


def faces_to_dict(
    faces: Faces, image: str = "", decimals: int | None = None
) -> dict[str, Any]:
    """Return faces as plain lists and numbers: {"image", "faces", "scheme"}.

    The definition of a user's own scheme is included as "own_scheme".

    Each face is {"box", "score", "landmarks", "scores", "sigma_px"}, with "presence" and
    "visible" if known, "attributes" if the model predicts any, and "track_id" if the face is
    tracked; units are those of Face.

    Args:
        image: Path or name of the image.
        decimals: Digits after the decimal point; None: all.
    """
    entries = []
    for face in faces:
        entry: dict[str, Any] = {
            "box": json_numbers(face.box, decimals),
            "score": _rounded(face.score, decimals),
            "landmarks": json_numbers(face.landmarks, decimals),
            "scores": json_numbers(face.scores, decimals),
            "sigma_px": json_numbers(face.sigma_px, decimals),
        }
        if not np.isnan(face.presence):
            entry |= {"presence": _rounded(face.presence, decimals)}
        if not np.isnan(face.visible).all():
            entry |= {"visible": json_numbers(face.visible, decimals)}
        if face.attributes:
            entry["attributes"] = {
                name: _rounded(value, decimals)
                for name, value in face.attributes.items()
            }
        if face.track_id is not None:
            entry["track_id"] = face.track_id
        entries.append(entry)
    return {"image": image, "faces": entries} | scheme_entries(faces.scheme)


def faces_to_json(faces: Faces, image: str = "", decimals: int | None = None) -> str:
    """Return faces as one line of strict ASCII JSON, in which null stands for nan.

    Args:
        image: Path or name of the image.
        decimals: Digits after the decimal point; None: all.
    """
    return json.dumps(faces_to_dict(faces, image, decimals), allow_nan=False)


def _face_from(entry: Any, number: int, scheme: str) -> Face:
    problem = ""
    if not isinstance(entry, Mapping):
        problem = f"is of type {type(entry).__name__}"
    elif absent := [key for key in FACE_KEYS if key not in entry]:
        problem = f"has no {', '.join(absent)}"
    if problem:
        keys = ", ".join(FACE_KEYS)
        raise DataError(f"face {number} {problem}; expected an object with {keys}")
    try:
        parts: dict[str, Any] = {}
        for key in (*FACE_KEYS, *OPTIONAL_KEYS):
            if key in entry:
                parts[key] = np.array(entry[key], dtype=np.float64)
        parts["score"] = float(parts["score"])
        parts["attributes"] = dict(entry.get("attributes", {}))
        face = Face(**parts, scheme=scheme, track_id=entry.get("track_id"))
    except (InputError, ValueError, TypeError, IndexError) as error:
        raise DataError(
            f"face {number}: {error}; correct that face or write the file again"
        ) from error
    expected = len(scheme_called(scheme))
    if len(face) != expected:
        raise DataError(
            f"face {number} has {len(face)} landmarks; "
            f"expected {expected} of scheme {scheme}"
        )
    return face


def faces_from_dict(given: Mapping[str, Any]) -> Faces:
    """Return the Faces stored by `faces_to_dict`.

    Raises:
        DataError: If a key is missing or an array has the wrong shape.
    """
    is_object = isinstance(given, Mapping)
    is_valid = is_object and isinstance(given.get("faces"), list) and "scheme" in given
    if not is_valid:
        keys = ", ".join(map(str, given)) if is_object else type(given).__name__
        raise DataError(
            f"these are not faces ({keys}); "
            "expected an object with image, faces and scheme"
        )
    try:
        name = load_stored_scheme(given)
        points = len(scheme_called(name))
    except SchemeError as error:
        raise DataError(f"the scheme of the faces: {error}") from error
    faces = []
    for number, entry in enumerate(given["faces"]):
        faces.append(_face_from(entry, number, name))
    return Faces(tuple(faces), name, points)


def faces_from_json(text: str) -> tuple[str, Faces]:
    """Return the image name and Faces from text written by `faces_to_json`.

    Raises:
        DataError: If the text has another format, or its scheme is unknown.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(
            f"not JSON ({error}); expected the text that faces_to_json writes"
        ) from error
    faces = faces_from_dict(data)
    return str(data.get("image", "")), faces


def faces_to_supervision(faces: Faces) -> Any:
    """Return faces as `supervision.KeyPoints`.

    The keys of its `data` are xyxy, score, presence and visible.

    Raises:
        ExtraError: If supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise missing_extra("supervision", "supervision") from error
    # passed by position, because the argument's name differs between supervision versions
    return supervision.KeyPoints(
        faces.landmarks.astype(np.float32),
        np.zeros(len(faces), dtype=np.int_),
        faces.scores.astype(np.float32),
        data={
            "xyxy": faces.boxes.astype(np.float32),
            "score": faces.box_scores.astype(np.float32),
            "presence": faces.presence.astype(np.float32),
            "visible": faces.visible.astype(np.float32),
        },
    )
