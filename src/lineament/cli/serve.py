"""Command `serve`: serve requests over HTTP and WebSocket."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, require_package

if TYPE_CHECKING:
    from ..serving.settings import ServerSettings

ALL_INTERFACES = ("0.0.0.0", "::")
GPU_BATCH = 16
"""Maximum number of images per model call on a GPU."""
MOST_MB, MOST_S = 1_000_000, 86_400
"""Largest value of options in megabytes and seconds, so that none is infinite."""


Host = Annotated[
    str,
    typer.Option(envvar="LINEAMENT_HOST", help="Address to listen on."),
]
Port = Annotated[
    int,
    typer.Option(
        envvar="LINEAMENT_PORT",
        min=0,
        max=65535,
        help="Port to listen on; 0: any free one.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        envvar="LINEAMENT_MODEL",
        metavar="NAME|FILE",
        help=(
            "Model to serve, repeatable; requests that name no model use the first "
            "one. Default: accurate, fast."
        ),
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        envvar="LINEAMENT_WORKERS",
        min=0,
        max=256,
        help="Number of threads; 0: one per core.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_WAIT_S",
        min=0.01,
        max=MOST_S,
        help="Refuse requests (503) that would wait longer than this, in seconds.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="LINEAMENT_TOKEN",
        help="Bearer token that requests must send; safer as an environment variable.",
    ),
]
MaxBody = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_MAX_MB",
        min=0.001,
        max=MOST_MB,
        help="Largest request body or video frame, in megabytes.",
    ),
]
MaxImage = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_MAX_MPX",
        min=0.001,
        max=128,
        help="Largest image, in megapixels.",
    ),
]
MaxFiles = Annotated[
    int,
    typer.Option(
        envvar="LINEAMENT_MAX_FILES",
        min=1,
        max=10_000,
        help="Maximum number of files per form.",
    ),
]
MaxBoxes = Annotated[
    int,
    typer.Option(
        envvar="LINEAMENT_MAX_BOXES",
        min=1,
        max=10_000,
        help="Maximum number of boxes per request.",
    ),
]
MaxPending = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_MAX_PENDING_MB",
        min=0.001,
        max=MOST_MB,
        help="Maximum memory for all request bodies and video frames, in megabytes; "
        "those beyond it are rejected (503).",
    ),
]
MaxTracks = Annotated[
    int,
    typer.Option(
        envvar="LINEAMENT_MAX_TRACKS",
        min=0,
        max=10_000,
        help="Maximum number of open /v1/track connections.",
    ),
]
MaxConnections = Annotated[
    int,
    typer.Option(
        envvar="LINEAMENT_MAX_CONNECTIONS",
        min=1,
        max=100_000,
        help="Maximum number of open connections.",
    ),
]
BodyTime = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_BODY_TIMEOUT_S",
        min=0.01,
        max=MOST_S,
        help="Time limit for receiving a request body, in seconds.",
    ),
]
HeadTime = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_HEADER_TIMEOUT_S",
        min=0.01,
        max=MOST_S,
        help="Time limit for receiving request headers, in seconds.",
    ),
]
SendTime = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_SEND_TIMEOUT_S",
        min=0.01,
        max=MOST_S,
        help="Time limit for a client to receive a response, in seconds.",
    ),
]
DrainTime = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_DRAIN_TIMEOUT_S",
        min=0,
        max=MOST_S,
        help="Time limit for open requests after SIGTERM, in seconds.",
    ),
]
MaxBatch = Annotated[
    int,
    typer.Option(
        envvar="LINEAMENT_MAX_BATCH",
        min=0,
        max=1024,
        help=f"Maximum number of images per model call; 0: {GPU_BATCH} on a GPU, else 1.",
    ),
]
ServedOn = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="LINEAMENT_DEVICE",
        metavar="auto|cpu|cuda|...",
        help="Device to run models on, as in detect. On a GPU, images of several "
        "requests are batched.",
    ),
]
Page = Annotated[
    Path | None,
    typer.Option(
        envvar="LINEAMENT_PAGE",
        help="Folder of static files to serve at /, as written by `lineament page`.",
    ),
]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    model: Models = None,
    workers: Workers = 0,
    wait_s: Wait = 2.0,
    token: Token = None,
    max_mb: MaxBody = 10.0,
    max_mpx: MaxImage = 40.0,
    max_files: MaxFiles = 100,
    max_boxes: MaxBoxes = 256,
    max_pending_mb: MaxPending = 256.0,
    max_tracks: MaxTracks = 64,
    max_connections: MaxConnections = 512,
    max_batch: MaxBatch = 0,
    body_timeout_s: BodyTime = 20.0,
    header_timeout_s: HeadTime = 10.0,
    send_timeout_s: SendTime = 60.0,
    drain_timeout_s: DrainTime = 8.0,
    device: ServedOn = "cpu",
    page: Page = None,
) -> None:
    """Serve face and landmark detection over HTTP and WebSocket.

    Each option can also be set by an environment variable such as LINEAMENT_PORT. On
    SIGTERM, the server finishes open requests and exits within 10 seconds (--drain-timeout-s + 2).
    """
    for package in ("fastapi", "uvicorn", "websockets"):
        require_package(package, "serve")
    from ..inference.device import check_device
    from ..serving.settings import ServerSettings

    _check_memory(max_mb, max_pending_mb)
    device = check_device(device)
    settings = ServerSettings(
        models=tuple(model or ("accurate", "fast")),
        device=device,
        workers=_threads(workers),
        wait_s=wait_s,
        token=_checked_token(token),
        max_bytes=round(max_mb * 1e6),
        max_pixels=round(max_mpx * 1e6),
        max_files=max_files,
        max_boxes=max_boxes,
        max_pending_bytes=round(max_pending_mb * 1e6),
        max_tracks=max_tracks,
        max_connections=max_connections,
        body_timeout_s=body_timeout_s,
        header_timeout_s=header_timeout_s,
        send_timeout_s=send_timeout_s,
        drain_timeout_s=drain_timeout_s,
        max_batch=max_batch or _default_batch(device),
        page=page,
    )
    _run(settings, host, port)


def _checked_token(token: str | None) -> str | None:
    """Return the token without spaces and line breaks at its ends.

    Raises:
        BadParameter: If it is empty; the server would be open.
    """
    # an empty variable is no value for the parser of options
    if token is None and "LINEAMENT_TOKEN" in os.environ:
        raise typer.BadParameter(
            "LINEAMENT_TOKEN is empty; give it a token, or unset it"
        )
    if token is not None and not token.strip():
        raise typer.BadParameter("--token is empty; give a token, or omit the option")
    # a header has no space or line break at its ends, but a variable read from a file may
    return token.strip() if token is not None else None


def _check_memory(max_mb: float, max_pending_mb: float) -> None:
    if max_pending_mb < max_mb:
        raise typer.BadParameter(
            f"--max-pending-mb is {max_pending_mb:g}, less than --max-mb {max_mb:g}, so the "
            "largest bodies could never be received; raise --max-pending-mb or lower --max-mb"
        )


def _threads(workers: int) -> int:
    from ..inference.processors import usable_cores
    from ..serving.settings import MAX_WORKERS

    return workers or min(usable_cores(), MAX_WORKERS)


def _default_batch(device: str) -> int:
    from ..inference.device import CPU

    return 1 if device == CPU else GPU_BATCH


def _run(settings: "ServerSettings", host: str, port: int) -> None:
    from ..serving.server import serve as run_server

    if host in ALL_INTERFACES and settings.token is None:
        note(
            f"warning: {host} accepts connections from any machine, and no --token is "
            "set"
        )
    _log_to_stderr()
    run_server(settings, host, port, lambda address: note(f"serving at {address}"))


def _log_to_stderr() -> None:
    """Log one line per request, without image, name or address."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger("lineament.serve")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
