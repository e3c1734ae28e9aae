"""SendLimit: disconnects clients that do not take a response in time."""

import asyncio


class SendLimit(asyncio.Protocol):
    """Mixin of a protocol: aborts a connection whose data waits to be sent for too long.

    A client that reads nothing would otherwise keep the response in memory forever.
    """

    send_timeout_s = 60.0
    transport: asyncio.Transport
    _send_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Start the timer: more data waits than the connection's buffer should hold."""
        super().pause_writing()
        loop = asyncio.get_running_loop()
        self._send_timer = loop.call_later(self.send_timeout_s, self._abort)

    def resume_writing(self) -> None:
        """Stop the timer: the client has taken the data."""
        self._stop_send_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_send_timer()
        super().connection_lost(exc)

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _abort(self) -> None:
        # closing would wait until the client has taken the data
        self.transport.abort()
