"""models, doctor, audit, version: what is here, whether it works, and what is wrong with a data set."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, note, progress_bar, show, show_table

if TYPE_CHECKING:
    from ..data.audit.audit import Predict
    from ..data.sample import Sample


@app.command()
def version() -> None:
    """Print the version."""
    from .. import __version__

    show(f"lineament {__version__}")


@app.command()
def models(
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Measure how fast each is on this machine; how large those to train are, too.",
        ),
    ] = False,
    cards: Annotated[bool, typer.Option("--json", help="Print the whole cards as JSON.")] = False,
) -> None:
    """List the models that come with the package."""
    from ..inference.model_files import list_models

    listed = list_models()
    if profile:
        _show_speed(listed)
        return
    if cards:
        show(json.dumps(listed, indent=1))
    elif listed:
        show_table(
            ["name", "kind", "points", "crop px", "precision", "MB"],
            [_model_row(card) for card in listed],
        )
        note(
            "research-only training data: the whole cards, with terms and limits: lineament models --json"
        )
    else:
        note("no model is installed with this copy of the package")


def _show_speed(listed: list[dict[str, Any]]) -> None:
    from ..inference.speed import time_model

    head = ["M parameters", "G multiply-adds", "GFLOPs (twice as many)"]
    show_table(["model", *head], [[str(card["name"]), *_size(card)] for card in listed])
    try:
        from ..models.profile import trainable_sizes
    except ImportError:
        note(
            "the networks to train are counted too where the extra is: pip install 'lineament[train]'"
        )
    else:
        rows = [[str(card["name"]), *_size(card)] for card in trainable_sizes()]
        show_table(["backbone to train, 256 x 256, 68 points", *head], rows)
    timings = [timing for card in listed for timing in time_model(card)]
    rows = [
        [
            t.model,
            t.what,
            str(t.threads),
            f"{t.least_ms:.2f}",
            f"{t.median_ms:.2f}",
            f"{t.per_second:.0f}",
        ]
        for t in timings
    ]
    show_table(["model", "a call", "threads", "least ms", "median ms", "a second"], rows)


def _size(card: dict[str, Any]) -> list[str]:
    adds = card.get("multiply_adds")
    return [
        f"{card['parameters'] / 1e6:.3f}" if "parameters" in card else "-",
        f"{adds / 1e9:.3f}" if adds else "-",
        f"{2 * adds / 1e9:.3f}" if adds else "-",
    ]


def _model_row(card: dict[str, Any]) -> list[str]:
    points = f"{card['points']} {card['scheme']}" if "scheme" in card else "-"
    size = f"{card['bytes'] / 1e6:.1f}" if "bytes" in card else "-"
    row = [card.get("name"), card.get("kind"), points, card.get("size"), card.get("precision")]
    return ["-" if cell is None else str(cell) for cell in row] + [size]


@app.command()
def doctor(
    speed: Annotated[
        bool, typer.Option(help="Also time each model, about one second in all.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check this installation: versions, providers, extras, weights, speed. Exit code 1 where something is broken."""
    from ..doctor import diagnose, healthy

    checks = diagnose(speed)
    if as_json:
        show(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        show_table(["", "", "", ""], [[c.group, c.name, c.status, c.found] for c in checks])
        advised: dict[str, list[str]] = {}
        for check in checks:
            if check.advice:
                advised.setdefault(check.advice, []).append(check.name)
        for advice, names in advised.items():  # one line an extra, however many packages it lacks
            note(f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {advice}")
    if not healthy(checks):
        raise typer.Exit(1)


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The root of a data set.")],
    out: Annotated[Path, typer.Option(help="The sheet of the worst, one HTML file.")] = Path(
        "audit.html"
    ),
    reader: Annotated[
        str | None, typer.Option(help="Read it as this data set: 300w, folder, coco, ...")
    ] = None,
    part: Annotated[str, typer.Option(help="With --reader: the part of the data set.")] = "all",
    model: Annotated[
        str | None,
        typer.Option(
            help="Compare with this model too: finds faces far from it, splits moved a pixel."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find what is wrong with a data set: offsets, swapped sides, duplicates, wrong counts, broken files.

    Prints a table and writes a sheet with pictures. Exit code 1 where figures made with the data would be wrong.
    """
    from ..data.audit.audit import audit as look
    from ..data.audit.report_html import write_audit_html
    from ..data.readers.registry import read_data

    # a folder of .pts files is read file by file, so that one broken file does not hide the rest
    by_file = reader is None or (reader == "folder" and part == "all")
    source: Path | list[Sample] = folder if by_file else read_data(str(reader), folder, part)
    with progress_bar("pictures", None) as step:
        found = look(source, _predict_with(model) if model else None, step)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_audit_html(found, out)
    if as_json:
        show(json.dumps(found.to_dict(), indent=1))
    else:
        show_table(["severity", "kind", "file", "finding"], found.rows())
        show(found.summary())
    note(f"sheet -> {out}")
    if found.count("error"):
        raise typer.Exit(1)


def _predict_with(model: str) -> "Predict":
    from ..inference.predictor import Predictor

    predictors: dict[str, Predictor] = {}

    def predict(picture: Any, sample: "Sample") -> Any:
        predictor = predictors.setdefault(sample.scheme, Predictor(model, scheme=sample.scheme))
        return predictor(picture, sample.face_box()).landmarks[0]

    return predict
