"""Command `models`: list the packaged models, with their size and speed."""

import json
from typing import Annotated, Any

import typer

from .app import app, note, show, show_table

HEAD = (
    *("name", "kind", "points", "crop px", "precision", "MB"),
    *("300W common NME %", "license"),
)
ERROR = "300w-common, truth boxes"
"""Result on the model card that is shown in the list."""
SIZE_HEAD = ("M parameters", "G multiply-adds", "GFLOPs (2 x)")


@app.command()
def models(
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help=(
                "Print parameters, multiply-adds, measured speed, and the sizes of "
                "backbones."
            ),
        ),
    ] = False,
    cards: Annotated[
        bool, typer.Option("--json", help="Print the complete model cards as JSON.")
    ] = False,
) -> None:
    """List the models that come with the package."""
    from ..inference.model_files import list_models

    cards_found = list_models()
    if profile:
        _show_profile(cards_found)
    elif cards:
        show(json.dumps(cards_found, indent=1, allow_nan=False))
    elif cards_found:
        show_table(HEAD, [_model_row(card) for card in cards_found])
        note(
            "full cards, with data, license, limits and figures: lineament models "
            "--json"
        )
    else:
        note("this installation of the package contains no model")


def _show_profile(listed: list[dict[str, Any]]) -> None:
    from ..inference.speed import time_model

    show_table(["model", *SIZE_HEAD], [_size_row(card) for card in listed])
    try:
        from ..models.profile import trainable_sizes
    except ImportError:
        note(
            "to list the sizes of backbones as well, type: pip install "
            "'lineament[train]'"
        )
    else:
        head = ["backbone, 256 x 256, 68 points", *SIZE_HEAD]
        show_table(head, [_size_row(card) for card in trainable_sizes()])
    rows = []
    for card in listed:
        for timing in time_model(card):
            times = [f"{timing.least_ms:.2f}", f"{timing.median_ms:.2f}"]
            times.append(f"{timing.per_second:.0f}")
            rows.append([timing.model, timing.workload, str(timing.threads), *times])
    show_table(
        ["model", "per call", "threads", "min ms", "median ms", "per second"], rows
    )


def _size_row(card: dict[str, Any]) -> list[str]:
    name, adds = str(card["name"]), card.get("multiply_adds")
    parameters = f"{card['parameters'] / 1e6:.3f}" if "parameters" in card else "-"
    if not adds:
        return [name, parameters, "-", "-"]
    return [name, parameters, f"{adds / 1e9:.3f}", f"{2 * adds / 1e9:.3f}"]


def _model_row(card: dict[str, Any]) -> list[str]:
    points = f"{card['points']} {card['scheme']}" if "scheme" in card else "-"
    size = f"{card['bytes'] / 1e6:.1f}" if "bytes" in card else "-"
    error = card.get("figures", {}).get(ERROR)
    percent = f"{100 * error['nme']:.2f}" if error else "-"
    license = str(card.get("license", "-")).partition(":")[0]
    values = [card.get(key) for key in ("size", "precision")]
    row = [card.get("name"), card.get("kind"), points, *values]
    cells = ["-" if cell is None else str(cell) for cell in row]
    return [*cells, size, percent, license]
