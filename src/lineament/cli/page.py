"""Command `page`: write a web page that finds faces in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app, note, show

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        help="A model listed by `lineament models`, or an .onnx file; repeatable. The "
        "page starts with the first one; default: fast.",
    ),
]
Runtime = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the npm package onnxruntime-web; default: download it once with npm."
    ),
]


@app.command()
def page(
    out: Annotated[Path, typer.Argument(help="Folder for the page.", metavar="OUT")],
    model: Models = None,
    detector: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Face detector, an .onnx file; default: the packaged one.",
            show_default=False,
        ),
    ] = "detector",
    runtime: Runtime = None,
) -> None:
    """Write a web page that finds faces in the browser.

    The page and its JavaScript module, lineament.js, are static files for any web server.
    Images never leave the visitor's computer.
    """
    from ..serving.page import DEFAULT_MODELS, write_page

    written = write_page(out, model or DEFAULT_MODELS, detector, runtime)
    if not written.converted:
        note(
            "onnx is not installed, so int8 models are used unchanged, which run more "
            "slowly in browsers; type: pip install 'lineament[page]', then rerun this "
            "command"
        )
    show(f"{out}  {written.size / 1e6:.1f} MB")
    note(f"to open it: python -m http.server --bind 127.0.0.1 --directory {out}")
