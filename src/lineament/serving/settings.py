"""Settings of the HTTP server."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

MAX_WORKERS = 256
"""Maximum number of threads of a server."""


class ServerSettings(BaseModel):
    """Settings of the server. `lineament serve` creates them from options and variables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = ("accurate", "fast")
    """Names or files of the models to serve; the first is the default."""
    device: str = "cpu"
    """Device to run the models on."""
    workers: int = Field(default=1, ge=1, le=MAX_WORKERS)
    """Number of threads that decode images and run models."""
    wait_s: float = Field(default=2.0, gt=0)
    """Maximum expected wait, seconds; requests that would wait longer are rejected."""
    token: str | None = None
    """Bearer token required in requests; None: no authentication."""
    max_bytes: int = Field(default=10_000_000, ge=1)
    """Maximum size of a request body, bytes."""
    max_pixels: int = Field(default=40_000_000, ge=1)
    """Maximum width x height of an image, and pixels processed in a search for small faces."""
    max_files: int = Field(default=100, ge=1)
    """Maximum number of files per request."""
    max_boxes: int = Field(default=256, ge=1)
    """Maximum number of boxes per request."""
    max_pending_bytes: int = Field(default=256_000_000, ge=1)
    """Maximum total size of the bodies of all open requests and of the frames of all tracks."""
    max_tracks: int = Field(default=64, ge=0)
    """Maximum number of simultaneous /v1/track connections."""
    max_connections: int = Field(default=512, ge=1)
    """Maximum number of simultaneous connections."""
    body_timeout_s: float = Field(default=20.0, gt=0)
    """Time limit for receiving a request body, seconds."""
    header_timeout_s: float = Field(default=10.0, gt=0)
    """Time limit for receiving request headers, seconds."""
    send_timeout_s: float = Field(default=60.0, gt=0)
    """Time limit for a client to take a response that waits to be sent, seconds."""
    drain_timeout_s: float = Field(default=8.0, ge=0)
    """Time limit for open work after SIGTERM, seconds; closing takes up to 2 more."""
    max_batch: int = Field(default=1, ge=1)
    """Maximum number of images batched across requests; use more than 1 for GPUs."""
    page: Path | None = None
    """Folder of static files served at `/`; None: a plain page."""
