"""Web page and API of a review, on this machine only, under an address with a secret token.

Depends on fastapi and uvicorn.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ...errors import ImageError, InputError
from ..exchange import DiscardBody
from .session import Review

HOST = "127.0.0.1"
STATIC = {
    "": ("index.html", "text/html; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
    "review.js": ("review.js", "text/javascript; charset=utf-8"),
    "canvas.js": ("canvas.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""The address contains the token, so: no referrer, and no access from or to other origins."""
MAX_BODY = 1_000_000
"""Maximum request body, bytes; 478 points need 20,000."""


class Decision(BaseModel):
    """A decision on a face, as sent by the page."""

    model_config = ConfigDict(extra="forbid")

    landmarks: list[tuple[float, float]]
    occluded: list[bool]
    status: str
    seconds: float = Field(ge=0, le=86400)


def make_app(review: Review, token: str) -> FastAPI:
    """Return the application of a review; all paths begin with the token."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_router(review), prefix=f"/{token}")
    # protects against DNS rebinding by pages of other origins
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @app.middleware("http")
    async def guard(
        request: Request, call: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        # a body without a content length could be endless
        length = request.headers.get("content-length", "")
        if request.method == "PUT" and not (
            length.isdigit() and int(length) <= MAX_BODY
        ):
            return _error(413, "too large", f"a decision has at most {MAX_BODY} bytes")
        response = await call(request)
        response.headers.update(HEADERS)
        return response

    # outermost, because the guard rejects bodies that it has not read
    app.add_middleware(DiscardBody)

    @app.exception_handler(InputError)
    async def wrong_input(request: Request, error: InputError) -> JSONResponse:
        status = 404 if isinstance(error, ImageError) else 422
        return _error(status, type(error).__name__, str(error))

    @app.exception_handler(RequestValidationError)
    async def wrong_body(request: Request, error: RequestValidationError) -> Any:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return _error(422, "decision", f"{place}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, "refused", str(error.detail))

    return app


def _error(status: int, code: str, message: str) -> JSONResponse:
    content = {"error": {"code": code, "message": message}}
    return JSONResponse(content, status_code=status, headers=HEADERS)


def _router(review: Review) -> APIRouter:
    router = APIRouter()

    def known(number: int) -> int:
        if not 0 <= number < len(review.faces):
            raise HTTPException(404, f"no face {number} in this review")
        return number

    @router.get("/api/review")
    def overview() -> dict[str, Any]:
        return review.overview()

    @router.get("/api/faces/{number}")
    def face(number: int) -> dict[str, Any]:
        return review.face(known(number))

    @router.get("/api/faces/{number}/image")
    def image(number: int) -> Response:
        return Response(review.image(known(number)), media_type="image/jpeg")

    @router.put("/api/faces/{number}")
    def save(number: int, decision: Decision) -> dict[str, Any]:
        record = review.save(
            known(number),
            decision.landmarks,
            decision.occluded,
            decision.status,
            decision.seconds,
        )
        assert record.last is not None
        return {"name": record.name, "when": record.last.when}

    @router.get("/{name:path}")
    def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404, "no such page")
        file, kind = STATIC[name]
        path = files("lineament").joinpath(f"serving/static_review/{file}")
        return Response(path.read_bytes(), media_type=kind)

    return router


class _Server(uvicorn.Server):
    """A server that reports its port once it is listening."""

    def __init__(self, config: uvicorn.Config, started: Callable[[int], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started(self.servers[0].sockets[0].getsockname()[1])


def make_server(
    review: Review, token: str, port: int, started: Callable[[str], None]
) -> uvicorn.Server:
    """Return the server of a review on this machine; `run` serves until interrupted.

    Args:
        review: The review.
        token: Unguessable part of the address.
        port: Port; 0: any free port.
        started: Called with the address of the page.
    """
    config = uvicorn.Config(
        make_app(review, token), host=HOST, port=port, log_level="warning"
    )
    return _Server(config, lambda at: started(f"http://{HOST}:{at}/{token}/"))
