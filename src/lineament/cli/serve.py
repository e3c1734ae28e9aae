"""Command `serve`: serve requests over HTTP and WebSocket."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import app, need_package, note

EVERYWHERE = ("0.0.0.0", "::")
GPU_BATCH = 16
"""Maximum number of images per model call on a GPU."""


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
        help="Threads; 0: one per core.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_WAIT_S",
        min=0.01,
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
        help="Largest request body, in megabytes.",
    ),
]
MaxImage = Annotated[
    float,
    typer.Option(
        envvar="LINEAMENT_MAX_MPX", min=0.001, help="Largest image, in megapixels."
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
    device: ServedOn = "cpu",
    page: Page = None,
) -> None:
    """Serve face and landmark detection over HTTP and WebSocket.

    Each option can also be set by an environment variable such as LINEAMENT_PORT. On
    SIGTERM, the server finishes open requests and exits within 10 seconds.
    """
    need_package("fastapi", "serve")
    need_package("uvicorn", "serve")
    from ..inference.device import CPU, check_device
    from ..inference.processors import usable_cores
    from ..serving.server import serve as run_server
    from ..serving.settings import MAX_WORKERS, ServerSettings

    if token is not None and not token.strip():
        raise typer.BadParameter("--token is empty; give a token, or omit the option")
    # a header has no space or line break at its ends, but a variable read from a file may
    token = token.strip() if token is not None else None
    device = check_device(device)
    settings = ServerSettings(
        models=tuple(model or ("accurate", "fast")),
        device=device,
        workers=workers or min(usable_cores(), MAX_WORKERS),
        wait_s=wait_s,
        token=token,
        max_bytes=round(max_mb * 1e6),
        max_pixels=round(max_mpx * 1e6),
        max_batch=1 if device == CPU else GPU_BATCH,
        page=page,
    )
    if host in EVERYWHERE and token is None:
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
