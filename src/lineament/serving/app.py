"""The ASGI application: routes, the gate around them, and errors as JSON."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from .. import __version__
from . import detect_routes, status_routes, track_routes
from .gate import Gate
from .options import DetectOptions, invalid_options
from .refusals import UNKNOWN_ADDRESS, Refusal, refusal_response
from .service import Service
from .static_page import add_page

ABOUT = """Facial landmarks in images and live video.

`WS /v1/track` tracks the faces of a live video: connect, with `model`, `scheme`, `min_face`,
`head_pose`, `faces`, `smooth` and `token` as query parameters, and send frames as binary
messages. Each response is the JSON of /v1/detect with `frame`, `time` and `dropped`, the number of
frames that a newer one replaced.

If the server has a token, requests to `/v1/`, `/v2/models` and `/metrics` need the header
`Authorization: Bearer TOKEN`.
"""


def make_app(service: Service) -> FastAPI:
    """Return the ASGI application of a service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(service.lifecycle.warm_up())
        yield
        warming.cancel()
        service.queue.close()

    app = FastAPI(
        title="Lineament",
        description=ABOUT,
        version=__version__,
        lifespan=lifespan,
        # FastAPI's documentation pages load scripts from third-party servers
        docs_url=None,
        redoc_url=None,
        # a redirect would repeat the client's Host header, and curl does not follow it
        redirect_slashes=False,
    )
    app.state.service = service
    app.add_middleware(Gate, service=service)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for routes in (detect_routes, track_routes, status_routes):
        app.include_router(routes.router)
    add_page(app, service.settings.page)
    return app


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return refusal_response(invalid_options(error.errors(), DetectOptions))


async def _http_error(request: Request, error: Exception) -> Response:
    """Handle errors raised by the router, such as an unknown path."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    text = error.detail
    if error.status_code == 404:
        text = UNKNOWN_ADDRESS
    elif error.status_code == 405:
        allowed = headers.get("Allow", "GET or HEAD")
        text = f"this address does not support {request.method}; use {allowed}"
    return refusal_response(Refusal(error.status_code, text, None, headers))
