"""Service: the components of a server, shared by its routes."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from .lifecycle import Lifecycle
from .metrics import Metrics
from .served_models import ServedModels
from .settings import ServerSettings
from .uploads import BodyReader
from .work_queue import WorkQueue


@dataclass(frozen=True)
class Service:
    """The components of one server."""

    settings: ServerSettings
    models: ServedModels
    queue: WorkQueue
    lifecycle: Lifecycle
    bodies: BodyReader
    metrics: Metrics


def make_service(settings: ServerSettings) -> Service:
    """Load the models and start the worker threads.

    Raises:
        ModelError: If a model cannot be loaded.
    """
    models = ServedModels(settings.models, settings.max_pixels, settings.device)
    queue = WorkQueue(settings.workers, settings.wait_s, settings.max_batch)
    lifecycle = Lifecycle(queue, models)
    bodies = BodyReader(settings)
    metrics = Metrics(
        {
            "tracks": lambda: lifecycle.tracks,
            "jobs": lambda: len(queue),
            "expected_wait_seconds": queue.expected_wait_s,
            "held_bytes": lambda: bodies.held.count,
        }
    )
    return Service(settings, models, queue, lifecycle, bodies, metrics)


def get_service(connection: HTTPConnection) -> Service:
    """Return the service of the server that received a request."""
    return cast(Service, connection.app.state.service)
