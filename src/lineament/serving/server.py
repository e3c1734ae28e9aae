"""The server process: one event loop, the worker threads of the queue, graceful shutdown."""

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
from .websocket_protocol import counted_websocket

CLOSE_S = 1
"""Time for closing connections after draining, seconds."""


class Server(uvicorn.Server):
    """A server that drains on the first signal: it refuses new work and exits after open work.

    Args:
        service: Components of the server.
        host: Address to listen on.
        port: Port; 0: any free port.
        started: Called with the address once requests are accepted.
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
            http=limited_protocol(
                settings.header_timeout_s,
                settings.send_timeout_s,
                settings.max_connections,
            ),
            ws=counted_websocket(
                service.bodies.held, settings.max_bytes, settings.send_timeout_s
            ),
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSE_S,
            ws_max_size=settings.max_bytes,
            ws_per_message_deflate=False,  # compressing images does not make them smaller
        )
        super().__init__(config)
        self.service, self._announce = service, started
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start listening, and report the address."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Drain on the first signal, exit on the second."""
        if self._draining is not None or self._loop is None:
            super().handle_exit(sig, frame)
        else:
            self._loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """Refuse new work, and exit when open work has finished."""
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        await self.service.lifecycle.drain(self.service.settings.drain_timeout_s)
        self.should_exit = True

    def _log_started_message(self, listeners: Any) -> None:
        """Do nothing; `started` is called instead."""


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
