"""HTTP connections with a time limit for request headers, and errors as JSON."""

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .refusals import Refusal, busy
from .send_limit import SendLimit


class LimitedProtocol(SendLimit, H11Protocol):
    """uvicorn's protocol, closing connections whose next request does not arrive in time."""

    header_timeout_s = 10.0
    max_connections = 512

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request."""
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.max_connections:
            transport.write(_response(busy(1)))
            transport.close()
            return
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Stop the timer while a request is being processed."""
        super().data_received(data)
        is_left = self.transport.get_protocol() is not self  # upgraded to a WebSocket
        if self._is_answering() or is_left:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse data that is not a valid HTTP request."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            refusal = Refusal(400, "not an HTTP request, or its head is too large")
            self.transport.write(_response(refusal))
        self._stop_timer()
        self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.header_timeout_s, self._end)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end(self) -> None:
        self._head_timer = None
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.write(_response(Refusal(408, "no request arrived in time")))
            self.transport.close()


def limited_protocol(
    header_timeout_s: float, send_timeout_s: float, max_connections: int
) -> type[LimitedProtocol]:
    """Return a protocol class with these limits."""
    limits: dict[str, Any] = {
        "header_timeout_s": header_timeout_s,
        "send_timeout_s": send_timeout_s,
    }
    limits["max_connections"] = max_connections
    return type("LimitedProtocol", (LimitedProtocol,), limits)


def _response(refusal: Refusal) -> bytes:
    """Return a complete HTTP response."""
    body = json.dumps(refusal.body()).encode()
    lines = [
        f"HTTP/1.1 {refusal.status} {refusal.code.replace('_', ' ')}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    lines += [f"{name}: {value}" for name, value in refusal.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
