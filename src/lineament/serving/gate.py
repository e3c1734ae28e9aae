"""ASGI middleware for all requests: token, draining, errors as JSON, log and metrics."""

import logging
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from .access import check_token
from .exchange import Exchange
from .options import TRACK
from .refusals import (
    UNKNOWN_ADDRESS,
    Refusal,
    draining,
    log_failure,
    refusal_response,
    to_refusal,
)
from .service import Service
from .work_queue import ClientGoneError

LOG = logging.getLogger("lineament.serve")
WORK = "/v1/"
"""Path prefix of requests that are refused while the server drains."""
TOKEN_PATHS = ("/v1/", "/v2/models", "/metrics")
"""Path prefixes that require the token; the page, health and description do not."""
HEADERS = ((b"x-content-type-options", b"nosniff"),)
CLIENT_GONE = 499
"""Status in log and metrics of a request whose client disconnected."""
INTERNAL = "the server failed on this request; it is logged without the image"


class Gate:
    """ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] == "websocket" and scope["path"] != TRACK:
            await refusal_response(Refusal(404, UNKNOWN_ADDRESS))(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.monotonic()
        exchange = Exchange(scope, receive, send, HEADERS)
        is_work = scope["path"].startswith(WORK)
        self.service.lifecycle.active += is_work
        try:
            await self._respond(scope, exchange)
        except (ClientGoneError, ClientDisconnect):
            exchange.status = CLIENT_GONE
        except Exception as error:
            await self._fail(exchange, error)
        finally:
            self.service.lifecycle.active -= is_work
            self.service.bodies.release(scope)
            self._record(scope, exchange.status, time.monotonic() - start)

    async def _respond(self, scope: Scope, exchange: Exchange) -> None:
        path = scope["path"]
        if path.startswith(TOKEN_PATHS):
            check_token(self.service.settings.token, exchange.headers)
        if path.startswith(WORK) and self.service.lifecycle.draining.is_set():
            raise draining()
        await self.app(scope, exchange.receive, exchange.send)

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        refusal = to_refusal(error)
        if refusal is None or refusal.status == 500:
            log_failure(error)
        refusal = refusal or Refusal(500, INTERNAL)
        if not exchange.status:
            await refusal_response(refusal)(
                exchange.scope, exchange.receive, exchange.send
            )
        else:
            raise ClientDisconnect from None  # closes the connection in the middle of the response

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        metrics = self.service.metrics
        metrics.requests.labels(route, status).inc()
        metrics.seconds.labels(route).observe(seconds)
        LOG.info("%s %s %d %.0f ms", scope["method"], route, status, 1000 * seconds)
