"""Prometheus metrics of the server, without any data about images or clients."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
GAUGES = {
    "tracks": "Open /v1/track connections.",
    "jobs": "Jobs waiting or running.",
    "expected_wait_seconds": "Expected wait of a new request.",
    "held_bytes": "Total size of the bodies of open requests.",
}


class Metrics:
    """Metrics of one server."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, current: Mapping[str, Callable[[], float]]) -> None:
        """Create the metrics.

        Args:
            current: Functions that return the current value, by the keys of GAUGES.
        """
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "lineament_requests",
            "Requests answered.",
            ("route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "lineament_request_seconds",
            "Time from the headers of a request to the end of its response.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.faces = Counter("lineament_faces", "Faces found.", registry=self.registry)
        self.frames = Counter(
            "lineament_track_frames",
            "Video frames, answered or dropped for a newer one.",
            ("outcome",),
            registry=self.registry,
        )
        for name, text in GAUGES.items():
            gauge = Gauge(f"lineament_{name}", text, registry=self.registry)
            gauge.set_function(current[name])

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
