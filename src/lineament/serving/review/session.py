"""Review session: one reviewer's decisions on a queue of faces, saved immediately."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import DataError, InputError
from ...geometry import Array, as_points, box_side, landmark_box
from ...io.formats import json_numbers
from ...io.image import read_image
from ...io.review_files import (
    ACCEPTED,
    STATUSES,
    SUFFIX,
    FaceRecord,
    Save,
    face_names,
    occluded_mask,
    read_face,
    write_face,
)
from ...opencv import cv2
from ...schemes import scheme as scheme_called
from .queue import QueuedFace

CONTEXT = 1.6
"""Side of the shown region as a multiple of the longer side of the landmark box."""
MAX_SHOWN_PX = 1600
"""Maximum side of the shown region in pixels; larger regions are downscaled."""
JPEG_QUALITY = 93
SAME_DISTANCE = 0.3
"""Maximum mean landmark distance between two models for the same face, relative to the longer
box side."""


class Review:
    """A review of faces with the same scheme by one reviewer.

    Args:
        folder: Receives a .pts and a JSON file per face; existing decisions are kept.
        faces: The faces, in the order of review.
        reviewer: Name of the reviewer, stored in each decision.

    Raises:
        DataError: If a file in the folder is broken or belongs to another face, or the faces
            have different schemes.
    """

    def __init__(
        self, folder: Path, faces: Sequence[QueuedFace], reviewer: str
    ) -> None:
        schemes = sorted({str(face.scheme) for face in faces})
        if len(schemes) != 1:
            raise DataError(
                f"faces of {', '.join(schemes) or 'no scheme'}; review one scheme at a time"
            )
        self.folder, self.faces, self.reviewer = folder, list(faces), reviewer
        self.scheme = faces[0].scheme
        self._lock = Lock()
        self._records: dict[str, FaceRecord] = {}
        if folder.is_dir():
            for name in face_names(folder):
                self._records[name] = read_face(folder, name)
        for face in self.faces:
            self._check_same(face)

    def _check_same(self, face: QueuedFace) -> None:
        """Raise DataError if the folder contains decisions on another face with this name."""
        record = self._records.get(face.name)
        if record is None:
            return
        same = record.scheme == face.scheme
        if same:
            apart = np.linalg.norm(face.start - record.start, axis=1).mean()
            same = apart < SAME_DISTANCE * max(box_side(landmark_box(face.start)), 1.0)
        if not same or record.image.resolve() != face.image.resolve():
            raise DataError(
                f"{self.folder} contains decisions on another face as {face.name} (of "
                f"{record.image.name}, {record.scheme}); choose another --out, or the model and "
                "images of that review"
            )

    def own_save(self, number: int) -> Save | None:
        """Return this reviewer's last decision on face `number`, or None."""
        record = self._records.get(self.faces[number].name)
        saves = (
            [save for save in record.saves if save.reviewer == self.reviewer]
            if record
            else []
        )
        return saves[-1] if saves else None

    def overview(self) -> dict[str, Any]:
        """Return the scheme, the reviewer and the status of each face, as JSON values."""
        landmark_scheme = scheme_called(self.scheme)
        faces = []
        for number, face in enumerate(self.faces):
            own_save = self.own_save(number)
            status = own_save.status if own_save else ""
            faces.append({"name": face.name, "status": status})
        return {
            "reviewer": self.reviewer,
            "scheme": str(self.scheme),
            "points": list(landmark_scheme.points),
            "mirror": landmark_scheme.mirror.tolist(),
            "edges": [list(edge) for edge in landmark_scheme.edges],
            "faces": faces,
        }

    def face(self, number: int) -> dict[str, Any]:
        """Return face `number` as JSON values: its current landmarks and those for comparison."""
        face, own_save = self.faces[number], self.own_save(number)
        landmarks, occluded = face.start, face.occluded
        if own_save is not None and own_save.status == ACCEPTED:
            landmarks = own_save.landmarks
            occluded = occluded_mask(own_save.occluded, face.scheme)
        second = None if face.second is None else json_numbers(face.second, 4)
        values = {
            "name": face.name,
            "image": face.image.name,
            "image_size": list(face.image_size),
            "landmarks": json_numbers(landmarks, 4),
            "start": json_numbers(face.start, 4),
            "occluded": occluded.tolist(),
            "sigma_px": json_numbers(face.sigma_px, 4),
            "second": second,
            "status": own_save.status if own_save else "",
            "region": list(shown_region(face)),
            "side": box_side(landmark_box(face.start)),
        }
        return values if face.doubt is None else values | {"doubt": face.doubt}

    def image(self, number: int) -> bytes:
        """Return the shown region of face `number` as a JPEG.

        Raises:
            ImageError: If the image cannot be read.
        """
        face = self.faces[number]
        x0, y0, x1, y1 = shown_region(face)
        region: NDArray[Any] = read_image(face.image)[y0:y1, x0:x1]
        scale = MAX_SHOWN_PX / max(region.shape[:2])
        if scale < 1:
            size = (round(scale * (x1 - x0)), round(scale * (y1 - y0)))
            region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        _, encoded = cv2.imencode(".jpg", region[:, :, ::-1], quality)
        return bytes(encoded)

    def _stored(self, name: str) -> FaceRecord | None:
        """Return the decisions on a face, including those of another running review."""
        if (self.folder / f"{name}{SUFFIX}").is_file():
            return read_face(self.folder, name)
        return self._records.get(name)

    def save(
        self,
        number: int,
        landmarks: ArrayLike,
        occluded: Sequence[bool],
        status: str = ACCEPTED,
        seconds: float = 0.0,
    ) -> FaceRecord:
        """Save a decision on face `number`: all of its landmarks, not only the corrected ones.

        Raises:
            InputError: If the decision does not match the face, or cannot be written.
        """
        face = self.faces[number]
        points = _checked_points(landmarks, face)
        names = np.array(scheme_called(face.scheme).points)
        if len(occluded) != len(names) or status not in STATUSES:
            raise DataError(
                f"{face.name}: {len(occluded)} flags and status {status!r}; expected "
                f"{len(names)} flags and one of {', '.join(STATUSES)}"
            )
        save = Save(
            reviewer=self.reviewer,
            when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=float(seconds),
            status=status,
            landmarks=points,
            occluded=tuple(names[np.asarray(occluded, np.bool_)].tolist()),
        )
        with self._lock:
            before = self._stored(face.name)
            record = FaceRecord(
                name=face.name,
                image=face.image,
                image_size=face.image_size,
                scheme=face.scheme,
                box=face.box,
                start=face.start,
                sigma_px=face.sigma_px,
                saves=(*(before.saves if before else ()), save),
            )
            write_face(self.folder, record)
            self._records[face.name] = record
        return record


def _checked_points(landmarks: ArrayLike, face: QueuedFace) -> Array:
    """Return valid landmarks (N, 2) of a face, which may be slightly outside the image."""
    try:
        points = as_points(landmarks)
    except InputError as error:
        raise DataError(f"{face.name}: {error}") from error
    size = np.array(face.image_size)
    inside = (points > -size) & (points < 2 * size)
    if points.shape != face.start.shape or not inside.all():
        raise DataError(
            f"{face.name}: {len(points)} points; "
            f"expected {len(face.start)} in the image or near it"
        )
    return points


def shown_region(face: QueuedFace) -> tuple[int, int, int, int]:
    """Return the part of the image that is shown, (x0, y0, x1, y1), in whole pixels.

    The pixels are `image[y0:y1, x0:x1]`.
    """
    box = landmark_box(face.start)
    center, half = (box[:2] + box[2:]) / 2, CONTEXT / 2 * max(box_side(box), 4.0)
    size: NDArray[np.int64] = np.array(face.image_size)
    low = np.clip(np.floor(center - half), 0, size - 1).astype(int)
    high = np.clip(np.ceil(center + half), low + 1, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
