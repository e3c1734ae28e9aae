"""WebSocket /v1/track: one tracker per connection; only the newest frame is processed."""

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from ..io.image import read_image
from ..tracking.filters import DEFAULT
from ..tracking.tracker import Tracker
from .access import check_token
from .detect_work import record_of
from .held_bytes import HeldBytes
from .options import TRACK, TrackOptions, checked
from .refusals import Refusal, busy, draining, log_failure, refusal_response, to_refusal
from .service import Service, get_service
from .uploads import check_image
from .work_queue import Job, outcome_of

router = APIRouter()
TRACK_MODEL = "fast"
"""Default model, if the server offers it."""
SERVER_ENDS, UNSUPPORTED = 1012, 1003
"""WebSocket close codes."""


@dataclass(frozen=True)
class Frame:
    """One frame of a live video."""

    number: int
    seconds: float
    """Time since the connection opened."""
    data: bytes
    """The image file; empty for a refused frame."""
    refusal: Refusal | None = None
    """Reason why the frame is not kept in memory."""


class Track:
    """The tracker of one connection, and its newest unprocessed frame. Thread-safe.

    Args:
        tracker: The tracker.
        max_pixels: Maximum width x height of a frame.
        has_pose: Add the head pose of each face.
        held: Count of the bytes of all frames in memory.
    """

    def __init__(
        self, tracker: Tracker, max_pixels: int, has_pose: bool, held: HeldBytes
    ) -> None:
        self.tracker, self.max_pixels = tracker, max_pixels
        self.has_pose, self.held = has_pose, held
        self.start = time.monotonic()
        self.received = self.dropped = 0
        self._changed = threading.Lock()
        self._newest: Frame | None = None

    @property
    def has_frame(self) -> bool:
        """Return True if a frame is waiting."""
        return self._newest is not None

    def put(self, data: bytes) -> bool:
        """Store the next frame; return True if it replaced an unprocessed one.

        A frame for which the server has no memory is stored as its refusal.
        """
        refusal = None
        with self._changed:
            is_dropping = self._newest is not None
            self.dropped += is_dropping
            self._release(self._newest)
            try:
                self.held.add(len(data))
            except Refusal as error:
                data, refusal = b"", error
            seconds = time.monotonic() - self.start
            self._newest = Frame(self.received, seconds, data, refusal)
            self.received += 1
        return is_dropping

    def discard(self) -> None:
        """Forget the waiting frame, because the connection was closed."""
        self._release(self._take())

    def follow(self) -> dict[str, Any]:
        """Track the waiting frame; called in a thread of the queue."""
        frame = self._take()
        if frame is None:  # the connection was closed
            return {}
        try:
            return self._follow(frame)
        finally:
            self._release(frame)

    def _release(self, frame: Frame | None) -> None:
        if frame is not None:
            self.held.release(len(frame.data))

    def _take(self) -> Frame | None:
        with self._changed:
            frame, self._newest = self._newest, None
        return frame

    def _follow(self, frame: Frame) -> dict[str, Any]:
        record = {"frame": frame.number, "time": round(frame.seconds, 4)}
        try:
            if frame.refusal is not None:
                raise frame.refusal
            check_image(frame.data, self.max_pixels)
            faces = self.tracker(read_image(frame.data), frame.seconds)
        except Exception as error:
            refusal = to_refusal(error)
            if refusal is None:
                raise
            return record | refusal.body()
        size = faces.image_size or (0, 0)
        return record | record_of(faces, "", size, self.has_pose)


def follow_all(tracks: list[Track]) -> Sequence[Any]:
    """Track the waiting frame of each connection."""
    return [track.follow() for track in tracks]


@router.websocket(TRACK)
async def track(websocket: WebSocket) -> None:
    """Track faces in a live video: binary messages are frames, responses are JSON."""
    service = get_service(websocket)
    try:
        state = _open(service, websocket)
    except Exception as error:
        refusal = to_refusal(error)
        if refusal is None:
            log_failure(error)
            refusal = Refusal(500, "the server failed to open the track")
        await websocket.send_denial_response(refusal_response(refusal))
        return
    lifecycle = service.lifecycle
    # counted before the handshake, during which other connections may be opened
    lifecycle.active += 1
    lifecycle.tracks += 1
    try:
        await websocket.accept()
        await _run(service, websocket, state)
    finally:
        state.discard()
        lifecycle.active -= 1
        lifecycle.tracks -= 1


def _open(service: Service, websocket: WebSocket) -> Track:
    """Create the track of a new connection.

    Raises:
        Refusal: If the token or an option is invalid, or the server is busy or draining.
    """
    given = dict(websocket.query_params)
    headers = dict(websocket.scope["headers"])
    check_token(service.settings.token, headers, given.get("token"))
    options = checked(TrackOptions, given)
    if service.lifecycle.draining.is_set():
        raise draining()
    service.queue.check_wait()
    if service.lifecycle.tracks >= service.settings.max_tracks:
        raise busy(10)
    names = [model.name for model in service.models]
    model = options.model or (TRACK_MODEL if TRACK_MODEL in names else None)
    predictor = service.models.predictor(model, options.scheme, options.min_face)
    smooth = DEFAULT if options.smooth else None
    tracker = Tracker(predictor, max_faces=options.max_faces, smooth=smooth)
    limit, held = service.settings.max_pixels, service.bodies.held
    return Track(tracker, limit, options.head_pose, held)


async def _run(service: Service, websocket: WebSocket, state: Track) -> None:
    """Process frames until the client disconnects or the server drains."""
    arrived = asyncio.Event()
    draining = asyncio.create_task(service.lifecycle.draining.wait())
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(_receive(service, websocket, state, arrived)),
        asyncio.create_task(_respond(service, websocket, state, arrived)),
    ]
    try:
        await asyncio.wait([*tasks, draining], return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            await websocket.close(SERVER_ENDS)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the client disconnected at the same time
    finally:
        for task in (*tasks, draining):
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            _log(outcome)


def _log(outcome: BaseException | None) -> None:
    """Log the error of a task, unless the client disconnected or the task was cancelled."""
    expected = WebSocketDisconnect | RuntimeError | asyncio.CancelledError
    if outcome is not None and not isinstance(outcome, expected):
        log_failure(outcome)


async def _receive(
    service: Service, websocket: WebSocket, state: Track, arrived: asyncio.Event
) -> None:
    """Store the newest frame until the client disconnects."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data = message.get("bytes")
        if data is None:
            await websocket.close(UNSUPPORTED, "expected images as binary messages")
            return
        if state.put(data):
            service.metrics.frames.labels("dropped").inc()
        arrived.set()


async def _respond(
    service: Service, websocket: WebSocket, state: Track, arrived: asyncio.Event
) -> None:
    """Respond to the newest frame, in a loop."""
    while True:
        await arrived.wait()
        arrived.clear()
        if not state.has_frame:  # the previous job already processed it
            continue
        job = Job("track", follow_all, state)
        record = await outcome_of(service.queue.submit(job, always=True))
        record["dropped"] = state.dropped
        service.metrics.frames.labels("answered").inc()
        await websocket.send_text(json.dumps(record, allow_nan=False))
