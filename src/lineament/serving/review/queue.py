"""The faces of a review in order, stored in a file so that a restart need not predict again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import write_text
from ...data.label_files import common_folder, unique_face_names
from ...errors import DataError
from ...geometry import Array
from ...io.formats import json_numbers
from ...schemes import load_stored_scheme, scheme_entries
from .candidate import Candidate
from .order import DOUBTS, doubts

FILE = "queue.json"
DECIMALS = 4


@dataclass(frozen=True, eq=False)
class QueuedFace:
    """A face to review."""

    name: str
    """Path of its files relative to the review folder, without suffix."""
    image: Path
    image_size: tuple[int, int]
    """Width and height, pixels."""
    scheme: str
    box: Array
    """(4,), pixels of the image."""
    start: Array
    """Landmarks to correct, (N, 2), pixels of the image."""
    occluded: NDArray[np.bool_]
    """Mask (N,) of landmarks that are probably not visible."""
    sigma_px: Array
    """Predicted uncertainty, (N,), pixels; nan if unknown."""
    second: Array | None
    """Landmarks shown for comparison, (N, 2), or None."""
    doubt: float | None
    """Ranking score: a higher doubt is reviewed first; None in an order without a score."""


def make_queue(faces: Sequence[Candidate], order: str) -> list[QueuedFace]:
    """Sort faces into the order of review, most doubtful first.

    Raises:
        DataError: If there are no faces.
    """
    if not faces:
        raise DataError("no faces to review; check the images, or --min-presence")
    images = [face.image for face in faces]
    names = unique_face_names(images, common_folder(images))
    ranks = doubts(faces, order)
    queue = []
    for face, name, rank in zip(faces, names, ranks, strict=True):
        queue.append(
            QueuedFace(
                name=name,
                image=face.image,
                image_size=face.image_size,
                scheme=face.scheme,
                box=face.box,
                start=face.start(),
                occluded=face.occluded,
                sigma_px=face.sigma_px,
                second=face.compared_landmarks(),
                doubt=rank if order in DOUBTS else None,
            )
        )
    in_order = sorted(range(len(queue)), key=lambda number: -ranks[number])
    return [queue[number] for number in in_order]


def write_queue(
    folder: Path, queue: Sequence[QueuedFace], settings: Mapping[str, Any]
) -> None:
    """Write a review's queue and the settings it depends on, atomically.

    Raises:
        DataError: If the file cannot be written.
    """
    faces = [_to_dict(face) for face in queue]
    text = json.dumps({"settings": dict(settings), "faces": faces}, allow_nan=False)
    try:
        write_text(folder / FILE, text + "\n")
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror}); choose another --out"
        ) from error


def read_queue(folder: Path, settings: Mapping[str, Any]) -> list[QueuedFace] | None:
    """Return the queue stored in a folder if its settings match, otherwise None."""
    try:
        stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if stored["settings"] != json.loads(json.dumps(dict(settings))):
            return None
        return [_from_dict(entry) for entry in stored["faces"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _to_dict(face: QueuedFace) -> dict[str, Any]:
    second = None if face.second is None else json_numbers(face.second, DECIMALS)
    entry = {
        "name": face.name,
        "image": str(face.image.resolve()),
        "image_size": list(face.image_size),
        **scheme_entries(face.scheme),
        "box": json_numbers(face.box, DECIMALS),
        "start": json_numbers(face.start, DECIMALS),
        "occluded": face.occluded.tolist(),
        "sigma_px": json_numbers(face.sigma_px, DECIMALS),
        "second": second,
    }
    return entry if face.doubt is None else entry | {"doubt": face.doubt}


def _from_dict(entry: Mapping[str, Any]) -> QueuedFace:
    width, height = entry["image_size"]
    second = entry["second"]
    return QueuedFace(
        name=entry["name"],
        image=Path(entry["image"]),
        image_size=(width, height),
        scheme=load_stored_scheme(entry),
        box=np.array(entry["box"], np.float64),
        start=np.array(entry["start"], np.float64),
        occluded=np.array(entry["occluded"], np.bool_),
        sigma_px=np.array(entry["sigma_px"], np.float64),
        second=None if second is None else np.array(second, np.float64),
        doubt=entry.get("doubt"),
    )
