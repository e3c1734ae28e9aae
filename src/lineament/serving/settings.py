"""Settings of the HTTP server."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ServerSettings(BaseModel):
    """Every setting of the server. `lineament serve` makes it from options and variables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = ("accurate", "fast")
    """Names or files of the models to serve; the first is the default."""
    device: str = "cpu"
    """Device that they run on."""
    workers: int = Field(default=1, ge=1, le=256)
    """Threads that decode images and run models."""
    wait_s: float = Field(default=2.0, gt=0)
    """Expected wait above which a request is refused, seconds."""
    token: str | None = None
    """Bearer token that requests have to carry; None: everybody may use the server."""
    max_bytes: int = Field(default=10_000_000, ge=1)
    """Size of the largest body."""
    max_pixels: int = Field(default=40_000_000, ge=1)
    """Width x height of the largest image, and pixels that a search may cover."""
    max_files: int = Field(default=100, ge=1)
    """Files of one request."""
    max_boxes: int = Field(default=256, ge=1)
    """Boxes of one request."""
    max_held_bytes: int = Field(default=256_000_000, ge=1)
    """Bodies of all requests together, above which one is refused."""
    max_tracks: int = Field(default=64, ge=0)
    """Connections of /v1/track at the same time."""
    max_connections: int = Field(default=512, ge=1)
    """Connections at the same time."""
    body_s: float = Field(default=20.0, gt=0)
    """Time within which a body has to arrive, seconds."""
    head_s: float = Field(default=10.0, gt=0)
    """Time within which the head of a request has to arrive, seconds."""
    drain_s: float = Field(default=8.0, ge=0)
    """Time that begun work has to end in after SIGTERM, seconds; closing takes 2 more."""
    max_batch: int = Field(default=1, ge=1)
    """Images of several requests that share a call of the model; above 1 for GPUs."""
    page: Path | None = None
    """Folder of static files for `/`; None: a plain page."""
