"""Faces -> NumPy, JSON, CSV, Parquet, .pts, COCO, supervision; JSON and .pts -> faces.

Coordinates are in the image's frame (geometry.py), except in .pts, which counts pixels
from 1.
"""

import csv
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..atomic import atomic_path
from ..errors import DataError, InputError, SchemeError, missing_extra
from ..face import Face, Faces
from ..geometry import Array, as_points
from ..schemes import scheme as scheme_called

FACE_KEYS = ("box", "score", "landmarks", "scores", "sigma_px")
ROWS_AT_ONCE = 4096  # faces held in memory before they go to a Parquet file


def faces_to_numpy(faces: Faces) -> dict[str, NDArray[Any]]:
    """Return F faces with N landmarks as arrays, ready for numpy.savez.

    Returns:
        landmarks (F, N, 2), scores and sigma_px (F, N), boxes (F, 4), box_scores (F,),
        track_ids (F,) with -1 for none, scheme as text of shape ().
    """
    return {
        "landmarks": faces.landmarks,
        "scores": faces.scores,
        "sigma_px": faces.sigma_px,
        "boxes": faces.boxes,
        "box_scores": faces.box_scores,
        "track_ids": np.array(
            [-1 if f.track_id is None else f.track_id for f in faces], dtype=np.int64
        ),
        "scheme": np.array(faces.scheme),
    }


def _numbers(array: Array, decimals: int | None) -> list[Any]:
    """Return nested lists; a value that is not finite becomes None, which JSON can write."""
    rounded = array if decimals is None else array.round(decimals)
    if np.isfinite(rounded).all():
        return list(rounded.tolist())
    mixed = rounded.astype(object)
    mixed[~np.isfinite(rounded)] = None
    return list(mixed.tolist())


def faces_to_dict(
    faces: Faces, image: str = "", decimals: int | None = None
) -> dict[str, Any]:
    """Return faces as plain lists and numbers: {"image", "faces", "scheme"}.

    Each face is {"box", "score", "landmarks", "scores", "sigma_px"}, with "track_id" if
    it is tracked; units are those of Face.

    Args:
        image: Path or name of the image.
        decimals: Digits after the decimal point; None keeps all.
    """
    listed = []
    for face in faces:
        entry: dict[str, Any] = {
            "box": _numbers(face.box, decimals),
            "score": face.score if decimals is None else round(face.score, decimals),
            "landmarks": _numbers(face.landmarks, decimals),
            "scores": _numbers(face.scores, decimals),
            "sigma_px": _numbers(face.sigma_px, decimals),
        }
        if face.track_id is not None:
            entry["track_id"] = face.track_id
        listed.append(entry)
    return {"image": image, "faces": listed, "scheme": faces.scheme}


def faces_to_json(faces: Faces, image: str = "", decimals: int | None = None) -> str:
    """Return faces_to_dict(...) as one line of strict JSON, without NaN."""
    return json.dumps(
        faces_to_dict(faces, image, decimals), allow_nan=False, ensure_ascii=False
    )


def _face_from(entry: Any, number: int, scheme: str) -> Face:
    if not isinstance(entry, Mapping) or (
        absent := [key for key in FACE_KEYS if key not in entry]
    ):
        what = (
            f"has no {', '.join(absent)}"
            if isinstance(entry, Mapping)
            else f"is a {type(entry).__name__}"
        )
        raise DataError(
            f"face {number} {what}; wanted an object with {', '.join(FACE_KEYS)}"
        )
    try:
        arrays = {key: np.array(entry[key], dtype=np.float64) for key in FACE_KEYS}
        face = Face(
            landmarks=arrays["landmarks"],
            scores=arrays["scores"],
            sigma_px=arrays["sigma_px"],
            box=arrays["box"],
            score=float(arrays["score"]),
            scheme=scheme,
            track_id=entry.get("track_id"),
        )
    except (InputError, ValueError, TypeError, IndexError) as error:
        raise DataError(
            f"face {number}: {error}; correct that face or write the file again"
        ) from error
    wanted = len(scheme_called(scheme))
    if len(face) != wanted:
        raise DataError(
            f"face {number} has {len(face)} landmarks; wanted {wanted} of scheme {scheme}"
        )
    return face


def faces_from_dict(given: Mapping[str, Any]) -> Faces:
    """Return the Faces that faces_to_dict wrote.

    Raises:
        DataError: If a key is missing or an array has the wrong shape.
    """
    if (
        not isinstance(given, Mapping)
        or not isinstance(given.get("faces"), list)
        or "scheme" not in given
    ):
        keys = (
            ", ".join(map(str, given))
            if isinstance(given, Mapping)
            else type(given).__name__
        )
        raise DataError(
            f"these are not faces ({keys}); wanted an object with image, faces and scheme"
        )
    try:
        points = len(scheme_called(given["scheme"]))
    except SchemeError as error:
        raise DataError(f"the faces' scheme is unknown: {error}") from error
    faces = [
        _face_from(entry, number, given["scheme"])
        for number, entry in enumerate(given["faces"])
    ]
    return Faces(tuple(faces), given["scheme"], points)


def faces_from_json(text: str) -> tuple[str, Faces]:
    """Return the image's name and its Faces from the text of faces_to_json.

    Raises:
        DataError: If the text is not that.
    """
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"not JSON ({error}); wanted the text that faces_to_json writes"
        ) from error
    faces = faces_from_dict(given)
    return str(given.get("image", "")), faces


IMAGE = ("image",)
VIDEO = ("frame", "time")
"""Names of the first columns of a table of faces: in images, and in the frames of a video."""
Where = str | tuple[int, float]
"""Values of those columns: an image's name, or a frame's number and time in seconds."""


def csv_columns(scheme: str, lead: tuple[str, ...] = IMAGE) -> list[str]:
    """Return the header of a CSV: the face, its box, then x, y, score, sigma_px per landmark."""
    points = range(len(scheme_called(scheme)))
    box = ["box_x0", "box_y0", "box_x1", "box_y1"]
    of_points = [
        f"{what}_{i}" for i in points for what in ("x", "y", "score", "sigma_px")
    ]
    return [*lead, "face", "scheme", "track_id", "score", *box, *of_points]


def csv_rows(faces: Faces, where: Where = "") -> list[list[str | int | float]]:
    """Return one row per face, in the order of csv_columns; track_id is empty if there is none."""
    rows: list[list[str | int | float]] = []
    for number, face in enumerate(faces):
        of_points = (
            np.column_stack([face.landmarks, face.scores, face.sigma_px])
            .ravel()
            .tolist()
        )
        track = "" if face.track_id is None else face.track_id
        rows.append(
            [
                *_lead(where),
                number,
                face.scheme,
                track,
                face.score,
                *face.box.tolist(),
                *of_points,
            ]
        )
    return rows


def _lead(where: Where) -> tuple[str | int | float, ...]:
    return (where,) if isinstance(where, str) else where


def _of_scheme(
    results: Iterable[tuple[Any, Faces]], scheme: str
) -> Iterable[tuple[Any, Faces]]:
    for image, faces in results:
        if faces.scheme != scheme:
            raise SchemeError(
                f"the faces of {image!r} are {faces.scheme}, not {scheme}; "
                "write one file per scheme"
            )
        yield image, faces


def write_csv(
    path: str | os.PathLike[str],
    results: Iterable[tuple[str, Faces]] | Iterable[tuple[tuple[int, float], Faces]],
    scheme: str,
    lead: tuple[str, ...] = IMAGE,
) -> None:
    """Write (image, faces) pairs as CSV, one row per face; the file appears when complete.

    Args:
        lead: Names of the first columns; with frame and time, results are ((frame,
            time), faces) pairs.

    Raises:
        SchemeError: If faces are of another scheme.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open(
            "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(csv_columns(scheme, lead))
        for where, faces in _of_scheme(results, scheme):
            writer.writerows(csv_rows(faces, where))


def write_parquet(
    path: str | os.PathLike[str],
    results: Iterable[tuple[str, Faces]] | Iterable[tuple[tuple[int, float], Faces]],
    scheme: str,
    lead: tuple[str, ...] = IMAGE,
) -> None:
    """Write (image, faces) pairs as Parquet, one row per face; the file appears when complete.

    Columns: image, face, scheme, track_id, score, box [4], x [N], y [N], scores [N],
        sigma_px [N].

    Args:
        lead: As in write_csv.

    Raises:
        ExtraError: If pyarrow is not installed.
        SchemeError: If faces are of another scheme.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise missing_extra("pyarrow", "report") from error
    text, number, values = (
        pyarrow.string(),
        pyarrow.float64(),
        pyarrow.list_(pyarrow.float64()),
    )
    columns = dict(
        zip(lead, (text,) if lead == IMAGE else (pyarrow.int64(), number), strict=True)
    )
    columns |= {
        "face": pyarrow.int32(),
        "scheme": text,
        "track_id": pyarrow.int64(),
        "score": number,
    }
    columns |= dict.fromkeys(("box", "x", "y", "scores", "sigma_px"), values)
    schema = pyarrow.schema(list(columns.items()))
    with (
        atomic_path(path) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema) as writer,
    ):
        rows: list[dict[str, Any]] = []
        for where, faces in _of_scheme(results, scheme):
            first: dict[str, Any] = dict(zip(lead, _lead(where), strict=True))
            if isinstance(where, str):  # a file name may hold bytes that are not text
                first[lead[0]] = where.encode("utf-8", "backslashreplace").decode()
            rows += [first | _parquet_row(i, face) for i, face in enumerate(faces)]
            if len(rows) >= ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _parquet_row(number: int, face: Face) -> dict[str, Any]:
    return {
        "face": number,
        "scheme": face.scheme,
        "track_id": face.track_id,
        "score": face.score,
        "box": face.box.tolist(),
        "x": face.landmarks[:, 0].tolist(),
        "y": face.landmarks[:, 1].tolist(),
        "scores": face.scores.tolist(),
        "sigma_px": face.sigma_px.tolist(),
    }


def format_pts(landmarks: ArrayLike) -> str:
    """Return `landmarks` (N, 2) as the text of a .pts file, which counts from 1."""
    lines = [f"{x + 1:.3f} {y + 1:.3f}" for x, y in as_points(landmarks)]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""])


def parse_pts(text: str, name: str = "this text") -> Array:
    """Return the points (N, 2) of a .pts file's text, with or without header, as 0-based pixels.

    Args:
        name: How errors call the file.

    Raises:
        DataError: If a line or the stated count is wrong.
    """
    stated = None
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0] in "{}" or words[0].startswith("version"):
            continue
        if words[0].startswith("n_points"):
            stated = words[-1].removeprefix("n_points:")
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 2:
            raise DataError(
                f"{name}:{number}: {line.strip()[:60]!r}; "
                "wanted two numbers, x and y, counted from 1"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{name}: no points; wanted one line of x and y per point")
    if stated is not None and stated.isdigit() and int(stated) != len(rows):
        raise DataError(
            f"{name}: the header says {stated} points, {len(rows)} follow; "
            "correct the header or the points"
        )
    return np.array(rows) - 1.0


def faces_to_pts(faces: Faces, stem: str) -> dict[str, str]:
    """Return file name -> .pts text: `stem`.pts of one face; `stem`_1.pts, ... of several."""
    if len(faces) == 1:
        return {f"{stem}.pts": format_pts(faces[0].landmarks)}
    return {
        f"{stem}_{number}.pts": format_pts(face.landmarks)
        for number, face in enumerate(faces, 1)
    }


def faces_to_coco(results: Iterable[tuple[str, Faces]], scheme: str) -> dict[str, Any]:
    """Return (image, faces) pairs as a COCO keypoints data set, ready for json.dumps.

    Ids count from 1, as do the points in "skeleton"; bbox is x, y, width, height; every
    keypoint has v = 2 and its score in "keypoint_scores". An image without a face is
    listed without annotations.

    Raises:
        SchemeError: If faces are of another scheme.
    """
    points = scheme_called(scheme)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, faces in _of_scheme(results, scheme):
        images.append({"id": len(images) + 1, "file_name": image})
        if faces.image_size is not None:
            images[-1] |= {"width": faces.image_size[0], "height": faces.image_size[1]}
        for face in faces:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    **_coco_face(face),
                }
            )
    category = {
        "id": 1,
        "name": "face",
        "supercategory": "person",
        "keypoints": list(points.points),
        "skeleton": [[a + 1, b + 1] for a, b in points.edges],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def _coco_face(face: Face) -> dict[str, Any]:
    x0, y0, x1, y1 = face.box.tolist()
    marked = np.column_stack([face.landmarks, np.full(len(face), 2.0)])
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "score": face.score,
        "num_keypoints": len(face),
        "keypoints": [
            int(v) if i % 3 == 2 else v for i, v in enumerate(marked.ravel().tolist())
        ],
        "keypoint_scores": _numbers(face.scores, None),
    }


def faces_to_supervision(faces: Faces) -> Any:
    """Return faces as supervision.KeyPoints; boxes and their scores are in `data`.

    Raises:
        ExtraError: If supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise missing_extra("supervision", "supervision") from error
    # by position: the argument's name changed between supervision's versions
    return supervision.KeyPoints(
        faces.landmarks.astype(np.float32),
        np.zeros(len(faces), dtype=np.int_),
        faces.scores.astype(np.float32),
        data={
            "xyxy": faces.boxes.astype(np.float32),
            "score": faces.box_scores.astype(np.float32),
        },
    )
