"""evaluate, score, compare: models, predictions and reports under fixed protocols."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, need_package, note, progress_bar, show
from .evaluate_detection import evaluate_detection
from .faces import DetectorName, Flip, ModelName, Smooth, make_predictor

if TYPE_CHECKING:
    from ..evaluation.report import Report

ProtocolId = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="ID",
        help="300w-common, wflw, folder, detection-val, ...; or a .toml file.",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="The data sets' folder; $LINEAMENT_DATA, else data.")
]


class Printed(StrEnum):
    """How a report is printed."""

    table = "table"
    json = "json"


class BoxSource(StrEnum):
    """Which boxes a model is given."""

    truth = "truth"
    detected = "detected"
    tracked = "tracked"


Format = Annotated[Printed, typer.Option(help="A table in percent, or JSON in fractions.")]
ReportFolder = Annotated[
    Path | None, typer.Option(help="A folder for report.json, report.html and report.png.")
]
SchemeName = Annotated[
    str | None, typer.Option(help="The points of --data, for the protocol 'folder'.")
]


@app.command()
def evaluate(
    protocol: ProtocolId,
    model: ModelName = "accurate",
    data: Data = None,
    scheme: SchemeName = None,
    boxes: Annotated[
        BoxSource,
        typer.Option(help="Boxes of the annotations, of the detector, or of a tracker (videos)."),
    ] = BoxSource.truth,
    detector: DetectorName = "default",
    flip: Flip = False,
    smooth: Annotated[
        Smooth, typer.Option(help="The tracker's filter over time.")
    ] = Smooth.one_euro,
    format: Format = Printed.table,
    report: ReportFolder = None,
    perturb: Annotated[
        bool, typer.Option("--perturb", help="Also measure shifted, scaled and rolled boxes.")
    ] = False,
) -> None:
    """Score a model under a protocol: NME, failures, AUC, by part, subset and landmark.

    detection-val and detection-300w-common score the face detector: recall and false positives.
    """
    _need_plots(report)
    if perturb and boxes is BoxSource.tracked:
        raise typer.BadParameter(
            "--perturb changes boxes of single pictures; leave --boxes tracked out"
        )
    from ..evaluation.detection import DETECTION_PROTOCOLS

    if protocol in DETECTION_PROTOCOLS:
        predictor = make_predictor(model, detector=detector, flip=flip)
        evaluate_detection(protocol, predictor, model, data, format is Printed.json)
        return
    from ..evaluation.evaluate import evaluate as measure
    from ..evaluation.perturb import perturb as measure_perturbed
    from ..evaluation.protocol_data import read_protocol

    fixed, samples = read_protocol(protocol, data, scheme)
    predict: Any = make_predictor(model, detector=detector, flip=flip)
    model += " with flip" if flip else ""
    if boxes is BoxSource.tracked:
        from ..tracking.tracker import Tracker

        predict = Tracker(predict, smooth=smooth.filter)
        model += f", smooth {smooth.value}"
    model += (
        f", detector {detector}" if boxes is BoxSource.detected and detector != "default" else ""
    )
    with progress_bar("faces", len(samples)) as step:
        found = measure(
            predict, fixed, samples, boxes=boxes.value, model=model, progress=lambda done: step()
        )
    if perturb:
        with progress_bar("boxes changed", min(200, len(samples))) as step:
            changed = measure_perturbed(predict, fixed, samples, progress=lambda done: step())
        found = found.model_copy(update={"perturbation": changed})
    _show_report(found, format, report)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help='A JSON list of {"image", "pred", "truth"}.')],
    protocol: ProtocolId,
    data: Data = None,
    scheme: SchemeName = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score a file that lacks faces, and say so.")
    ] = False,
    format: Format = Printed.table,
    report: ReportFolder = None,
) -> None:
    """Score the predictions of any other system; truth that the file lacks comes from the protocol's data."""
    _need_plots(report)
    from ..evaluation.predictions import needs_samples, score_predictions
    from ..evaluation.protocol_data import read_protocol
    from ..evaluation.protocols import protocol as known_protocol

    fixed, samples = known_protocol(protocol), None
    called = fixed.for_scheme(scheme) if scheme else fixed
    if data is not None or needs_samples(called, file):
        fixed, samples = read_protocol(fixed, data, scheme)
    else:
        fixed = called
    _show_report(score_predictions(fixed, file, samples, partial=partial), format, report)


@app.command()
def compare(
    reports: Annotated[
        list[Path], typer.Argument(help="Two reports or more, as evaluate and score write them.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="A .png file for the error curves in one chart.")
    ] = None,
) -> None:
    """Put reports of one protocol side by side; unlike protocols are refused."""
    _need_plots(out)
    from ..evaluation.report import compare as put_beside
    from ..evaluation.report import read_report

    found = [read_report(path / "report.json" if path.is_dir() else path) for path in reports]
    comparison = put_beside(found, _names(reports, found))
    show(comparison.table().rstrip())
    if out is not None:
        from ..evaluation.report_html import draw_comparison

        out.parent.mkdir(parents=True, exist_ok=True)
        draw_comparison(comparison.reports, comparison.names).savefig(out)
        note(f"curves -> {out}")


def _need_plots(wanted: Path | None) -> None:
    """Raises: ExtraError, before any work, where pictures are wanted and nothing can draw them."""
    if wanted is not None:
        need_package("matplotlib", "report")


def _names(paths: Sequence[Path], reports: "Sequence[Report]") -> list[str]:
    """What the reports are called: by their models where these differ, else by their files."""
    models = [report.model for report in reports]
    if all(models) and len(set(models)) == len(models):
        return models
    return [str(path) for path in paths]


def _show_report(found: "Report", format: Printed, folder: Path | None) -> None:
    from ..evaluation.report import format_report, write_report

    if folder is not None:
        write_report(found, folder / "report.json")
        from ..evaluation.report_html import write_html, write_png

        write_html(found, folder / "report.html")
        write_png(found, folder / "report.png")
        note(f"report -> {folder}/report.json, .html, .png")
    if format is Printed.json:
        show(found.model_dump_json(indent=1, exclude={"worst"}))
    else:
        show(format_report(found).rstrip())
