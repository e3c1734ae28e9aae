"""page: writes a web page that finds faces in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app, note, show

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        help="A model that `lineament models` lists, or an .onnx file; repeat it for several. "
        "The first one is the page's default. Default: fast.",
    ),
]
Runtime = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the npm package onnxruntime-web; default: npm fetches it once."
    ),
]


@app.command()
def page(
    out: Annotated[Path, typer.Argument(help="Folder for the page.", metavar="OUT")],
    model: Models = None,
    detector: Annotated[
        str, typer.Option(metavar="FILE", help="An .onnx file; default: the package's.")
    ] = "detector",
    runtime: Runtime = None,
) -> None:
    """Write a web page that finds faces in the browser, and its module lineament.js.

    The page is static files for any web server. Images stay on the visitor's computer.
    """
    from ..serving.page import DEFAULT_MODELS, write_page

    written = write_page(out, model or DEFAULT_MODELS, detector, runtime)
    if not written.converted:
        note(
            "onnx is not installed, so int8 models are used unchanged, which browsers run "
            "more slowly; type: pip install 'lineament[page]', then repeat"
        )
    show(f"{out}  {written.size / 1e6:.1f} MB")
    note(f"to open it: python -m http.server --bind 127.0.0.1 --directory {out}")
