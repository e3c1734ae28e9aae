"""The server's process: one event loop, the threads of the queue, and an orderly end."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import uvicorn

from ..errors import WorkError
from .app import make_app
from .protocol import limited_protocol
from .service import Service, make_service
from .settings import ServerSettings

CLOSE_S = 1
"""Time for closing connections after the work has drained, seconds."""


class Server(uvicorn.Server):
    """A server that, at its first signal, refuses new work and ends when the old is done.

    Args:
        service: Its parts.
        host: Address to listen at.
        port: Port; 0: any free one.
        started: Called with the address when requests are taken.
    """

    def __init__(
        self,
        service: Service,
        host: str,
        port: int,
        started: Callable[[str], None] = lambda address: None,
    ) -> None:
        settings = service.settings
        config = uvicorn.Config(
            make_app(service),
            host=host,
            port=port,
            http=limited_protocol(settings.head_s, settings.max_connections),
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSE_S,
            ws_max_size=settings.max_bytes,
            ws_max_queue=4,  # the newest frame wins, so none needs to wait
            ws_per_message_deflate=False,  # images do not get smaller
        )
        super().__init__(config)
        self.service, self._announce = service, started
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, and announce the address."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Drain at the first signal, end at the second."""
        if self._draining is not None or self._loop is None:
            super().handle_exit(sig, frame)
        else:
            self._loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """Refuse new work, and end the server when the old is done."""
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        await self.service.lifecycle.drain(self.service.settings.drain_s)
        self.should_exit = True

    def _log_started_message(self, listeners: Any) -> None:
        """Do nothing: `started` is called instead."""


def serve(
    settings: ServerSettings, host: str, port: int, started: Callable[[str], None]
) -> None:
    """Run a server until it is stopped.

    Raises:
        ModelError: If a model cannot be loaded.
        WorkError: If the address cannot be used.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = Server(make_service(settings), host, port, started)
    try:
        server.run()
    except SystemExit as error:
        raise WorkError(
            f"cannot listen on {host}:{port}; choose another --port or --host"
        ) from error
