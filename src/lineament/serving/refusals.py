"""Refusal: an error response with a status, a code and a one-line message."""

import json
import logging
import traceback
from pathlib import Path
from typing import Any

from fastapi.responses import Response

from ..errors import ImageError, InputError, LineamentError, ModelError

LOG = logging.getLogger("lineament.serve")
CODES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    500: "internal",
    503: "busy",
}
"""Error code by status, unless the refusal specifies another one."""
UNKNOWN_ADDRESS = "unknown address; /openapi.json lists the addresses of this server"


class Refusal(Exception):
    """An error response.

    Args:
        status: HTTP status.
        message: What was given, what was expected and what to do.
        code: Machine-readable code; None: the default for the status.
        headers: Additional headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, " ".join(message.split())
        self.code = code or CODES.get(status, "error")
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return the response body as JSON values."""
        return {"error": {"code": self.code, "message": self.message}}


def busy(wait_s: float) -> Refusal:
    """Return the refusal of a job that would wait for `wait_s` seconds."""
    seconds = max(1, round(wait_s))
    return Refusal(
        503,
        f"the server is busy; try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def draining() -> Refusal:
    """Return the refusal of new work while the server drains."""
    headers = {"Retry-After": "1", "Connection": "close"}
    return Refusal(503, "the server is shutting down; try again", "draining", headers)


def to_refusal(error: BaseException) -> Refusal | None:
    """Return the refusal for an error of this package; None for any other error."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ImageError):
        return Refusal(400, str(error))
    if isinstance(error, InputError | ModelError):
        return Refusal(422, str(error))
    if isinstance(error, MemoryError):
        return busy(1)
    if isinstance(error, LineamentError):
        return Refusal(500, "the server failed on this request")
    return None


def refusal_response(refusal: Refusal) -> Response:
    """Return the HTTP response for a refusal."""
    return Response(
        json.dumps(refusal.body()),
        refusal.status,
        refusal.headers,
        "application/json",
    )


def log_failure(error: BaseException) -> None:
    """Log class and location of an unexpected error, but not its text, which may quote input."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)[-3:]
    locations = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    LOG.error("%s at %s", type(error).__name__, " > ".join(locations))
