"""State of the server over its life: warming up, ready, draining."""

import asyncio
import logging
import time

from .served_models import ServedModels
from .work_queue import Job, WorkQueue, outcome_of

LOG = logging.getLogger("lineament.serve")
POLL_S = 0.05


class Lifecycle:
    """Readiness of the server, and the work that it has begun."""

    def __init__(self, queue: WorkQueue, models: ServedModels) -> None:
        self.queue, self.models = queue, models
        self.active = 0
        """Requests and tracks that are not yet answered or closed."""
        self.tracks = 0
        """Connections of tracks."""
        self.draining = asyncio.Event()
        self._is_warm = False

    @property
    def is_ready(self) -> bool:
        """True if the models are warm and the server is not ending."""
        return self._is_warm and not self.draining.is_set()

    async def warm_up(self) -> None:
        """Run every model once, then be ready."""
        start = time.monotonic()
        await outcome_of(self.queue.submit(Job("warm up", _warm_up, self.models)))
        self._is_warm = True
        LOG.info("ready after %.1f s", time.monotonic() - start)

    async def drain(self, seconds: float) -> None:
        """Refuse new work, and return when all begun work has ended or `seconds` are over."""
        self.draining.set()
        LOG.info("draining: %d requests are open", self.active)
        end = time.monotonic() + seconds
        while self.active and time.monotonic() < end:
            await asyncio.sleep(POLL_S)


def _warm_up(items: list[ServedModels]) -> list[None]:
    for models in items:
        models.warm_up()
    return [None] * len(items)
