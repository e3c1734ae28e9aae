"""Command `evaluate`: evaluate a model under a fixed protocol."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, progress_bar
from .evaluate_detection import evaluate_detection
from .options import (
    AllowMissing,
    Category,
    DataScheme,
    DetectorName,
    Device,
    EvaluationData,
    Flip,
    MinFace,
    MinPresence,
    ModelName,
    Pictures,
    Printed,
    ProtocolId,
    ReportFolder,
    ReportFormat,
    Smooth,
    face_limits,
    make_predictor,
    own_data,
)
from .reports import missing_list, require_matplotlib, show_report

if TYPE_CHECKING:
    from ..evaluation.protocol_data import ProtocolData
    from ..evaluation.report import Report


class BoxSource(StrEnum):
    """Sources of the boxes given to the model."""

    truth = "truth"
    detected = "detected"
    tracked = "tracked"


BoxesFrom = Annotated[
    BoxSource,
    typer.Option(
        help="Source of the face boxes: annotations, the detector, or the tracker."
    ),
]
Filter = Annotated[
    Smooth, typer.Option(help="Temporal filter; only with --boxes tracked.")
]
Perturb = Annotated[
    bool,
    typer.Option(
        "--perturb",
        help="Also measure with boxes shifted and scaled, and with faces rotated, darkened, "
        "blurred, behind sunglasses and half covered.",
    ),
]


@app.command()
def evaluate(
    protocol: ProtocolId = "folder",
    model: ModelName = "accurate",
    data: EvaluationData = None,
    scheme: DataScheme = None,
    boxes: BoxesFrom = BoxSource.truth,
    detector: DetectorName = "default",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
    smooth: Filter = Smooth.one_euro,
    format: ReportFormat = Printed.table,
    report: ReportFolder = None,
    perturb: Perturb = False,
    allow_missing: AllowMissing = False,
    category: Category = "",
    pictures: Pictures = None,
) -> None:
    """Evaluate a model under a fixed protocol.

    Prints NME, failure rate and AUC, and the error per part, subset and landmark. Without
    --protocol, --data is a folder of annotated images, or a file of annotations: .pts,
    COCO, CSV, dlib XML, CVAT XML, Label Studio or YOLO pose.

    The protocols detection-val and detection-300w-common measure recall and false
    positives of the face detector instead, alone and with the model, which drops faces
    below --min-presence.
    """
    from ..evaluation.detection import DETECTION_PROTOCOLS
    from ..evaluation.protocol_data import read_protocol

    chosen = (model, None, detector, flip, min_face, min_presence, device)
    if protocol in DETECTION_PROTOCOLS:
        _refuse_ignored(report, scheme, perturb, allow_missing)
    require_matplotlib(report)
    if perturb and boxes is BoxSource.tracked:
        raise typer.BadParameter("--perturb is for single images; omit --boxes tracked")
    # loading a model also registers the user's scheme stored in it
    predict: Any = make_predictor(*chosen)
    if protocol in DETECTION_PROTOCOLS:
        evaluate_detection(protocol, predict, model, data, format is Printed.json)
        return
    found = read_protocol(
        protocol,
        data,
        scheme,
        allow_missing=allow_missing,
        missing_file=missing_list(report),
        wanted=predict.scheme,
        own=own_data("", category, pictures),
    )
    if boxes is BoxSource.tracked:
        from ..tracking.tracker import Tracker

        predict = Tracker(predict, smooth=smooth.filter)
    limits = face_limits(min_face, min_presence)
    name = _described(model, boxes, detector, flip, smooth, limits)
    show_report(_measure(predict, found, boxes, name, perturb), format, report)


def _refuse_ignored(*options: object) -> None:
    """Raise BadParameter if options are given that a detection protocol ignores."""
    if any(options):
        raise typer.BadParameter(
            "detection is measured without --report, --scheme, --perturb and --allow-missing; "
            "omit them"
        )


def _measure(
    predict: Any, data: "ProtocolData", boxes: BoxSource, name: str, perturb: bool
) -> "Report":
    from ..evaluation.evaluate import evaluate as measure
    from ..evaluation.perturb import perturb as measure_perturbed

    protocol, samples = data.protocol, data.samples
    with progress_bar("faces", len(samples)) as step:
        report = measure(
            predict,
            protocol,
            samples,
            boxes=boxes.value,
            model=name,
            notes=data.notes(),
            progress=lambda done: step(),
        )
    if not perturb:
        return report
    with progress_bar("perturbed faces", min(200, len(samples))) as step:
        changed = measure_perturbed(
            predict, protocol, samples, progress=lambda done: step()
        )
    return report.model_copy(update={"perturbation": changed})


def _described(
    model: str,
    boxes: BoxSource,
    detector: str,
    flip: bool,
    smooth: Smooth,
    limits: dict[str, Any],
) -> str:
    """Return the model's name in the report, with the options that affect its results."""
    text = f"{model} with flip" if flip else model
    if boxes is BoxSource.tracked:
        text += f", smooth {smooth.value}"
    if boxes is BoxSource.detected and detector != "default":
        text += f", detector {detector}"
    if boxes is not BoxSource.truth:
        for name, value in limits.items():
            text += f", {name} {value}"
    return text
