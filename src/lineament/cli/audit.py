"""Command `audit`: find errors in a data set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, note, progress_bar, show, show_table
from .options import Category, Group, Pictures, PointScheme, own_data

if TYPE_CHECKING:
    from ..data.audit.audit import AuditReport, Predict
    from ..data.sample import Sample


DataReader = Annotated[
    str | None,
    typer.Option(
        help="Data set reader: 300w, coco, folder, ...; default: detected from the files."
    ),
]
ComparedModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Also compare with the landmarks of this model to find outliers and offsets.",
    ),
]


@app.command()
def audit(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Root folder of a data set.")
    ],
    out: Annotated[
        Path,
        typer.Option(help="HTML page to write, with images of the worst findings."),
    ] = Path("audit.html"),
    reader: DataReader = None,
    part: Annotated[
        str, typer.Option(help="Part of the data set; needs --reader.")
    ] = "all",
    scheme: PointScheme = "",
    category: Category = "",
    pictures: Pictures = None,
    group: Group = "",
    model: ComparedModel = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON.")
    ] = False,
) -> None:
    """Find errors in the annotations of a data set.

    Looks for offsets, swapped sides, duplicates, wrong counts and broken files. Prints
    a table and writes an HTML page with images. The exit code is 1 if a finding would
    distort evaluation results on the data.
    """
    from ..data.audit.audit import audit as find_faults
    from ..data.audit.report_html import write_audit_html
    from ..data.readers.registry import read_data

    if part != "all" and reader is None:
        raise typer.BadParameter("--part needs --reader, the data set it is a part of")
    own = own_data(scheme, category, pictures, group)
    # .pts files are read one at a time, so that a broken file does not hide the others
    by_file = reader is None or (reader == "folder" and part == "all")
    source: Path | list[Sample] = (
        folder if by_file else read_data(str(reader), folder, part, own)
    )
    with progress_bar("images", None) as step:
        predict = _predict_with(model) if model else None
        found = find_faults(source, predict, step, own)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_audit_html(found, out)
    _show(found, as_json)
    note(f"page of findings -> {out}")
    if found.count("error"):
        raise typer.Exit(1)


def _show(found: "AuditReport", as_json: bool) -> None:
    """Print the findings."""
    if as_json:
        show(json.dumps(found.to_dict(), indent=1))
    else:
        show_table(["severity", "kind", "file", "finding"], found.rows())
        show(found.summary())


def _predict_with(model: str) -> "Predict":
    """Return a function from an image and its sample to landmarks in the sample's scheme."""
    from ..inference.predictor import Predictor

    predictors: dict[str, Predictor] = {}

    def predict(image: Any, sample: "Sample") -> Any:
        predictor = predictors.setdefault(
            sample.scheme, Predictor(model, scheme=sample.scheme)
        )
        return predictor(image, sample.face_box()).landmarks[0]

    return predict
