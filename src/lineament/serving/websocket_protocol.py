"""WebSocket connections whose incomplete messages count towards the memory limit."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

from .held_bytes import HeldBytes
from .refusals import Refusal
from .send_limit import SendLimit

TOO_LARGE, TRY_AGAIN_LATER = 1009, 1013
"""WebSocket close codes."""


class CountedWebSocket(SendLimit, WebSocketsSansIOProtocol):
    """uvicorn's protocol, counting the bytes received since the last complete message."""

    held: HeldBytes
    max_bytes = 10_000_000
    """Maximum size of a message."""
    _received = 0

    def data_received(self, data: bytes) -> None:
        """Count the data; close the connection if the server has no memory for it."""
        super().data_received(data)
        if self.close_sent or self.transport.is_closing():
            return
        if self._received + len(data) > 2 * self.max_bytes:
            self._fail(TOO_LARGE, "the message has too many fragments")
            return
        try:
            # the spare lets a frame arrive, so that its refusal need not end the connection
            self.held.add(len(data), spare=self.max_bytes)
        except Refusal as refusal:
            self._fail(TRY_AGAIN_LATER, refusal.message)
            return
        self._received += len(data)

    async def receive(self) -> Any:
        """Return the next complete message, which its receiver counts."""
        message = await super().receive()
        self._release()
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._release()
        super().connection_lost(exc)

    def _release(self) -> None:
        self.held.release(self._received)
        self._received = 0

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()


def counted_websocket(
    held: HeldBytes, max_bytes: int, send_timeout_s: float
) -> type[CountedWebSocket]:
    """Return a protocol class with these limits."""
    limits: dict[str, Any] = {
        "held": held,
        "max_bytes": max_bytes,
        "send_timeout_s": send_timeout_s,
    }
    return type("CountedWebSocket", (CountedWebSocket,), limits)
