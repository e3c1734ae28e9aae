"""Routes that find faces in images: /v1/detect and /v1/landmarks."""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from .detect_work import DetectRequest, DetectResult, detect_batch
from .options import DetectOptions, DetectQuery, merge_form, parse_boxes
from .refusals import Refusal, log_failure, to_refusal
from .responses import ErrorResponse, FacesResponse
from .service import Service, get_service
from .uploads import MULTIPART, Form
from .work_queue import Job, outcome_of

router = APIRouter()
JPEG, NDJSON = "image/jpeg", "application/x-ndjson"
ZERO = re.compile(r"q=0(\.0*)?")
FILE = {"type": "string", "format": "binary"}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": FILE},
            "application/octet-stream": {"schema": FILE},
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "array", "items": FILE},
                        **DetectOptions.model_json_schema()["properties"],
                    },
                    "required": ["file"],
                }
            },
        },
    }
}
REFUSED: dict[str, Any] = {"model": ErrorResponse}
REFUSALS: dict[int | str, dict[str, Any]] = dict.fromkeys(
    (400, 401, 408, 413, 415, 422, 500, 503), REFUSED
)
DRAWN: dict[str, Any] = {JPEG: {"schema": FILE}}
DETECT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": FacesResponse, "content": {**DRAWN, NDJSON: {}}},
    **REFUSALS,
}
LANDMARKS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": FacesResponse, "content": DRAWN},
    **REFUSALS,
}


@router.post("/v1/detect", responses=DETECT_RESPONSES, openapi_extra=BODY)
async def detect(request: Request, options: DetectQuery) -> Response:
    """Find the faces of an image and their landmarks.

    The body is an image, or a form with files. For several files, the response has one line of
    JSON per file, in order. With `Accept: image/jpeg` or `draw`, it is the drawn image.
    """
    return await _respond(request, options)


@router.post("/v1/landmarks", responses=LANDMARKS_RESPONSES, openapi_extra=BODY)
async def landmarks(request: Request, options: DetectQuery) -> Response:
    """Find the landmarks of faces in given boxes, without running a detector."""
    return await _respond(request, options, need_boxes=True)


async def _respond(
    request: Request, options: DetectOptions, need_boxes: bool = False
) -> Response:
    service = get_service(request)
    service.queue.check_wait()  # reject before reading the body
    form = await service.bodies.read(request)
    options = merge_form(options, form.fields)
    if _wants_jpeg(request):
        options = options.model_copy(update={"draw": True})
    detect_request = _detect_request(service, form, options, need_boxes)
    if len(form.uploads) > 1:
        service.queue.check_wait()
        lines = _lines(service, form, detect_request, options)
        return StreamingResponse(lines, media_type=NDJSON)
    gone = asyncio.create_task(_wait_until_gone(request))
    try:
        job = service.queue.submit(_job(detect_request, options))
        result = await outcome_of(job, gone, service.settings.wait_s)
    finally:
        gone.cancel()
    service.metrics.faces.inc(result.faces)
    return Response(result.content, media_type=result.media_type)


def _wants_jpeg(request: Request) -> bool:
    """Return True if an Accept header names JPEG, unless with the weight 0."""
    for header in request.headers.getlist("accept"):
        for part in header.lower().split(","):
            kind, *parameters = part.replace(" ", "").split(";")
            if kind == JPEG and not any(map(ZERO.fullmatch, parameters)):
                return True
    return False


def _detect_request(
    service: Service, form: Form, options: DetectOptions, need_boxes: bool
) -> DetectRequest:
    """Return the request for the first file."""
    predictor = service.models.predictor(
        options.model, options.scheme, options.min_face
    )
    boxes = None
    if options.boxes:
        boxes = parse_boxes(options.boxes, service.settings.max_boxes)
    elif need_boxes:
        raise Refusal(
            422, "no boxes; expected at least one, as boxes=x0,y0,x1,y1 in pixels"
        )
    if len(form.uploads) > 1 and (boxes or options.draw):
        raise Refusal(422, "boxes and drawing are for one file; send one at a time")
    limit = service.settings.max_pixels
    extras = (options.head_pose, options.draw, limit)
    return DetectRequest(form.uploads[0], predictor, boxes, *extras)


def _job(detect_request: DetectRequest, options: DetectOptions) -> Job:
    stage = "detect" if detect_request.boxes is None else "landmarks"
    kind = f"{stage} {options.model}"
    if options.min_face is not None:
        kind += " min_face"
    batch_key = (id(detect_request.predictor), stage)
    return Job(kind, detect_batch, detect_request, batch_key)


async def _wait_until_gone(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _lines(
    service: Service, form: Form, detect_request: DetectRequest, options: DetectOptions
) -> AsyncIterator[bytes]:
    """Yield one line per file, in order, processing as many files at once as there are workers."""
    jobs: deque[tuple[str, Job]] = deque()
    try:
        for upload in form.uploads:
            job = _job(replace(detect_request, upload=upload), options)
            jobs.append((upload.name, service.queue.submit(job, always=True)))
            if len(jobs) > service.settings.workers:
                yield await _line(service, *jobs.popleft())
        while jobs:
            yield await _line(service, *jobs.popleft())
    finally:
        for _, job in jobs:
            job.future.cancel()


async def _line(service: Service, name: str, job: Job) -> bytes:
    try:
        result: DetectResult = await outcome_of(job)
    except Exception as error:
        refusal = to_refusal(error)
        if refusal is None:
            log_failure(error)
            refusal = Refusal(500, "the server failed on this image")
        return json.dumps({"image": name} | refusal.body()).encode() + b"\n"
    service.metrics.faces.inc(result.faces)
    return result.content + b"\n"
