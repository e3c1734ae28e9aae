"""One HTTP request and its response, as seen by ASGI middleware."""

import asyncio
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

DISCARD_S, DISCARD_BYTES = 5.0, 64_000_000
"""Limits for reading the rest of a refused body; otherwise clients may miss the response."""
REQUEST_TIMEOUT = 408
"""Status for a body that did not arrive in time."""


class Exchange:
    """One request and its response; records the status and discards the rest of a refused body."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        added: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self._added = added
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.status = 0
        self._is_read = False

    async def receive(self) -> Message:
        """Receive the next message from the client."""
        message = await self._receive()
        self._is_read = self._is_read or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a message to the client."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self._added]
            is_refused = self.status >= 400 and not self._is_read
            if is_refused and not await self._discard():
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def _discard(self) -> bool:
        """Read the rest of the body; return True if it ended within the limits."""
        if b"expect" in self.headers:  # client waits for the server's consent
            return False
        if self.status == REQUEST_TIMEOUT:
            return False
        size = 0
        try:
            async with asyncio.timeout(DISCARD_S):
                while not self._is_read and size < DISCARD_BYTES:
                    message = await self.receive()
                    size += len(message.get("body", b""))
        except TimeoutError:
            return False
        return self._is_read


class DiscardBody:
    """ASGI middleware that discards the rest of refused bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        await self.app(scope, exchange.receive, exchange.send)
