"""Command `score`: score another system's predictions under a fixed protocol."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import (
    AllowMissing,
    DataScheme,
    EvaluationData,
    Printed,
    ProtocolId,
    ReportFolder,
    ReportFormat,
)
from .reports import missing_list, require_matplotlib, show_report


@app.command()
def score(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.json",
            help='JSON list of {"image": NAME, "pred": [[x, y], ...]}, points in pixels; '
            '"pred" is null for a missed face. "truth" may also be given.',
        ),
    ],
    protocol: ProtocolId,
    data: EvaluationData = None,
    scheme: DataScheme = None,
    allow_missing: AllowMissing = False,
    format: ReportFormat = Printed.table,
    report: ReportFolder = None,
) -> None:
    """Score the predictions of another system under a protocol.

    Ground truth missing from the file is read from the protocol's data.
    """
    require_matplotlib(report)
    from ..evaluation.predictions import needs_samples, score_predictions
    from ..evaluation.protocol_data import read_protocol
    from ..evaluation.protocols import protocol as known_protocol

    given = known_protocol(protocol)
    fixed, samples, notes = given.for_scheme(scheme) if scheme else given, None, []
    if data is not None or needs_samples(fixed, file):
        missing_file = missing_list(report)
        found = read_protocol(
            given, data, scheme, allow_missing=allow_missing, missing_file=missing_file
        )
        fixed, samples, notes = found.protocol, found.samples, found.notes()
    scored = score_predictions(
        fixed, file, samples, allow_missing=allow_missing, notes=notes
    )
    show_report(scored, format, report)
