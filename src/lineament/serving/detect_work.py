"""The computation for /v1/detect and /v1/landmarks: image bytes to response bytes."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image as PILImage

from ..analysis.draw import draw_faces
from ..analysis.head_pose import head_pose
from ..errors import ShapeError
from ..face import Faces
from ..geometry import Image
from ..inference.predictor import Predictor
from ..io.formats import faces_to_dict, to_dict
from ..io.image import read_image
from ..io.result_folder import DECIMALS
from .refusals import Refusal
from .uploads import Upload, check_image

JPEG_QUALITY = 90
MAX_JPEG_SIDE = 65_500
"""Maximum width and height that a JPEG encoder accepts, pixels."""


@dataclass(frozen=True)
class DetectRequest:
    """One image in which to find faces."""

    upload: Upload
    predictor: Predictor
    boxes: list[list[float]] | None
    head_pose: bool
    draw: bool
    max_pixels: int


@dataclass(frozen=True)
class DetectResult:
    """The response for one image."""

    content: bytes
    media_type: str
    faces: int


def detect_batch(requests: list[DetectRequest]) -> Sequence[Any]:
    """Return a DetectResult or an error for each request.

    All requests must have the same predictor, and either all or none have boxes.
    """
    images: dict[int, Image] = {}
    outcomes: list[Any] = [None] * len(requests)
    for number, request in enumerate(requests):
        try:
            check_image(request.upload.data, request.max_pixels)
            images[number] = read_image(request.upload.data)
        except Exception as error:
            outcomes[number] = error
    found = _predict([requests[number] for number in images], list(images.values()))
    for (number, image), faces in zip(images.items(), found, strict=True):
        outcomes[number] = faces
        if isinstance(faces, Faces):
            try:
                outcomes[number] = _result(requests[number], image, faces)
            except Exception as error:
                outcomes[number] = error
    return outcomes


def _predict(requests: list[DetectRequest], images: list[Image]) -> list[Any]:
    """Return the Faces in each image, or an error."""
    if not images:
        return []
    boxes = [request.boxes for request in requests if request.boxes is not None]
    try:
        return list(requests[0].predictor(images, boxes or None))
    except Exception as error:
        if len(images) == 1:
            return [error]
    # retry one at a time, so that only the faulty request fails
    found = []
    for request, image in zip(requests, images, strict=True):
        found += _predict([request], [image])
    return found


def _result(request: DetectRequest, image: Image, faces: Faces) -> DetectResult:
    if request.draw:
        return DetectResult(_drawn(image, faces), "image/jpeg", len(faces))
    record = record_of(
        faces, request.upload.name, image.shape[1::-1], request.head_pose
    )
    text = json.dumps(record, allow_nan=False)
    return DetectResult(text.encode(), "application/json", len(faces))


def _drawn(image: Image, faces: Faces) -> bytes:
    """Return the image with its faces drawn, as JPEG."""
    longest = max(image.shape[:2])
    if longest > MAX_JPEG_SIDE:
        raise Refusal(
            422,
            f"the image has a side of {longest} pixels, but a drawn JPEG at most "
            f"{MAX_JPEG_SIDE}; shrink it, or request JSON",
        )
    file = io.BytesIO()
    drawing = PILImage.fromarray(draw_faces(image, faces))
    drawing.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def record_of(
    faces: Faces, name: str, size: tuple[int, ...], has_pose: bool
) -> dict[str, Any]:
    """Return the faces of an image as JSON values.

    Args:
        faces: The faces.
        name: Name of the image.
        size: Width and height of the image.
        has_pose: Add the head pose of each face.
    """
    width, height = size
    record = faces_to_dict(faces, name, DECIMALS) | {"image_size": [width, height]}
    if has_pose:
        for face, entry in zip(faces, record["faces"], strict=True):
            entry["head_pose"] = _pose(face, (width, height))
    return record


def _pose(face: Any, size: tuple[int, int]) -> dict[str, Any] | None:
    """Return the head pose as JSON values; None if it cannot be estimated."""
    try:
        return to_dict(head_pose(face, size))
    except ShapeError:
        return None
