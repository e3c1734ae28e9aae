"""evaluate: measures a model under a fixed protocol."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, progress_bar
from .evaluate_detection import evaluate_detection
from .options import (
    Data,
    DataScheme,
    DetectorName,
    Flip,
    ModelName,
    Partial,
    Printed,
    ProtocolId,
    ReportFolder,
    ReportFormat,
    Smooth,
    make_predictor,
)
from .reports import missing_list, need_plots, show_report

if TYPE_CHECKING:
    from ..evaluation.protocol_data import ProtocolData
    from ..evaluation.report import Report


class BoxSource(StrEnum):
    """Sources of the boxes that a model is given."""

    truth = "truth"
    detected = "detected"
    tracked = "tracked"


@app.command()
def evaluate(
    protocol: ProtocolId,
    model: ModelName = "accurate",
    data: Data = None,
    scheme: DataScheme = None,
    boxes: Annotated[
        BoxSource,
        typer.Option(
            help="Source of the face boxes: annotations, the detector, or the tracker."
        ),
    ] = BoxSource.truth,
    detector: DetectorName = "default",
    flip: Flip = False,
    smooth: Annotated[
        Smooth, typer.Option(help="Filter over time; needs --boxes tracked.")
    ] = Smooth.one_euro,
    format: ReportFormat = Printed.table,
    report: ReportFolder = None,
    perturb: Annotated[
        bool,
        typer.Option(
            "--perturb", help="Also measure with boxes shifted, scaled and rotated."
        ),
    ] = False,
    partial: Partial = False,
) -> None:
    """Evaluate a model under a fixed protocol.

    Prints NME, failure rate and AUC, and the error per part, subset and landmark. The
    protocols detection-val and detection-300w-common score the face detector instead:
    recall and false positives.
    """
    from ..evaluation.detection import DETECTION_PROTOCOLS

    if protocol in DETECTION_PROTOCOLS:
        predictor = make_predictor(model, detector=detector, flip=flip)
        evaluate_detection(protocol, predictor, model, data, format is Printed.json)
        return
    need_plots(report)
    if perturb and boxes is BoxSource.tracked:
        raise typer.BadParameter(
            "--perturb changes boxes of single images; leave --boxes tracked out"
        )
    from ..evaluation.protocol_data import read_protocol

    missing_file = missing_list(report)
    found_data = read_protocol(
        protocol, data, scheme, partial=partial, missing_file=missing_file
    )
    predict: Any = make_predictor(model, detector=detector, flip=flip)
    if boxes is BoxSource.tracked:
        predict = _tracker(predict, smooth)
    called = _described(model, boxes, detector, flip, smooth)
    found = _measure(predict, found_data, boxes, called)
    if perturb:
        found = _with_perturbed_boxes(found, predict, found_data)
    show_report(found, format, report)


def _tracker(predictor: Any, smooth: Smooth) -> Any:
    from ..tracking.tracker import Tracker

    return Tracker(predictor, smooth=smooth.filter)


def _measure(
    predict: Any, data: "ProtocolData", boxes: BoxSource, called: str
) -> "Report":
    """Score `predict` on the faces of a protocol."""
    from ..evaluation.evaluate import evaluate as measure

    with progress_bar("faces", len(data.samples)) as step:
        return measure(
            predict,
            data.protocol,
            data.samples,
            boxes=boxes.value,
            model=called,
            notes=data.notes(),
            progress=lambda done: step(),
        )


def _with_perturbed_boxes(
    report: "Report", predict: Any, data: "ProtocolData"
) -> "Report":
    """Add the errors with changed boxes to a report."""
    from ..evaluation.perturb import perturb

    with progress_bar("perturbed boxes", min(200, len(data.samples))) as step:
        changed = perturb(
            predict, data.protocol, data.samples, progress=lambda done: step()
        )
    return report.model_copy(update={"perturbation": changed})


def _described(
    model: str, boxes: BoxSource, detector: str, flip: bool, smooth: Smooth
) -> str:
    """Return what the report calls the model, with the options that change its landmarks."""
    text = f"{model} with flip" if flip else model
    if boxes is BoxSource.tracked:
        text += f", smooth {smooth.value}"
    if boxes is BoxSource.detected and detector != "default":
        text += f", detector {detector}"
    return text
