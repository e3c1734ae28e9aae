"""evaluate: measures a model under a fixed protocol."""

from enum import StrEnum
from typing import Annotated, Any

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
    from ..evaluation.evaluate import evaluate as measure
    from ..evaluation.perturb import perturb as measure_perturbed
    from ..evaluation.protocol_data import read_protocol

    missing_file = missing_list(report)
    found_data = read_protocol(
        protocol, data, scheme, partial=partial, missing_file=missing_file
    )
    fixed, samples = found_data.protocol, found_data.samples
    predict: Any = make_predictor(model, detector=detector, flip=flip)
    if boxes is BoxSource.tracked:
        from ..tracking.tracker import Tracker

        predict = Tracker(predict, smooth=smooth.filter)
    called = _described(model, boxes, detector, flip, smooth)
    with progress_bar("faces", len(samples)) as step:
        found = measure(
            predict,
            fixed,
            samples,
            boxes=boxes.value,
            model=called,
            notes=found_data.notes(),
            progress=lambda done: step(),
        )
    if perturb:
        with progress_bar("perturbed boxes", min(200, len(samples))) as step:
            changed = measure_perturbed(
                predict, fixed, samples, progress=lambda done: step()
            )
        found = found.model_copy(update={"perturbation": changed})
    show_report(found, format, report)


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
