"""Lifecycle of the server: warming up, ready, draining."""

import asyncio
import logging
import time

from .refusals import log_failure
from .served_models import ServedModels
from .work_queue import Job, WorkQueue, outcome_of

LOG = logging.getLogger("lineament.serve")
POLL_S = 0.05


class Lifecycle:
    """Readiness of the server, and the number of active requests."""

    def __init__(self, queue: WorkQueue, models: ServedModels) -> None:
        self.queue, self.models = queue, models
        self.active = 0
        """Number of unanswered requests and open tracking connections."""
        self.tracks = 0
        """Number of open tracking connections."""
        self.draining = asyncio.Event()
        self._is_warm = False

    @property
    def is_ready(self) -> bool:
        """Return True if the models are warmed up and the server is not draining."""
        return self._is_warm and not self.draining.is_set()

    async def warm_up(self) -> None:
        """Run every model once, then become ready."""
        start = time.monotonic()
        job = Job("warm up", _warm_up, self.models)
        try:
            await outcome_of(self.queue.submit(job))
        except Exception as error:  # otherwise it would stay unready without a word
            log_failure(error)
            LOG.error("a model failed in the warm-up; the server will not be ready")
            return
        self._is_warm = True
        LOG.info("ready after %.1f s", time.monotonic() - start)

    async def drain(self, seconds: float) -> None:
        """Refuse new work; return when all active work has finished or after `seconds`."""
        self.draining.set()
        LOG.info("draining: %d requests are open", self.active)
        end = time.monotonic() + seconds
        while self.active and time.monotonic() < end:
            await asyncio.sleep(POLL_S)


def _warm_up(items: list[ServedModels]) -> list[None]:
    for models in items:
        models.warm_up()
    return [None] * len(items)
