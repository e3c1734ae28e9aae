"""models, version: what is here."""

import json
from typing import Annotated, Any

import typer

from .app import app, note, show, show_table


@app.command()
def version() -> None:
    """Print the version."""
    from .. import __version__

    show(f"lineament {__version__}")


@app.command()
def models(
    cards: Annotated[bool, typer.Option("--json", help="Print the whole cards as JSON.")] = False,
) -> None:
    """List the models that come with the package."""
    from ..runtime import list_models

    listed = list_models()
    if cards:
        show(json.dumps(listed, indent=1))
    elif listed:
        show_table(["name", "kind", "points", "crop px", "precision", "MB"], [_model_row(card) for card in listed])
        note("research-only training data: the whole cards, with terms and limits: lineament models --json")
    else:
        note("no model is installed with this copy of the package")


def _model_row(card: dict[str, Any]) -> list[str]:
    points = f"{card['points']} {card['scheme']}" if "scheme" in card else "-"
    size = f"{card['bytes'] / 1e6:.1f}" if "bytes" in card else "-"
    row = [card.get("name"), card.get("kind"), points, card.get("size"), card.get("precision")]
    return ["-" if cell is None else str(cell) for cell in row] + [size]
