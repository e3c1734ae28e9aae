"""score: measures the predictions of any other system under a fixed protocol."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import Data, DataScheme, Printed, ProtocolId, ReportFolder, ReportFormat
from .reports import need_plots, show_report


@app.command()
def score(
    file: Annotated[
        Path, typer.Argument(help='JSON file: a list of {"image", "pred"} with or without "truth".')
    ],
    protocol: ProtocolId,
    data: Data = None,
    scheme: DataScheme = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Accept a file that lacks faces; the report counts them."),
    ] = False,
    format: ReportFormat = Printed.table,
    report: ReportFolder = None,
) -> None:
    """Score the predictions of any other system under a protocol.

    Truth that the file lacks is read from the protocol's data.
    """
    need_plots(report)
    from ..evaluation.predictions import needs_samples, score_predictions
    from ..evaluation.protocol_data import read_protocol
    from ..evaluation.protocols import protocol as known_protocol

    fixed, samples = known_protocol(protocol), None
    called = fixed.for_scheme(scheme) if scheme else fixed
    if data is not None or needs_samples(called, file):
        fixed, samples = read_protocol(fixed, data, scheme)
    else:
        fixed = called
    show_report(score_predictions(fixed, file, samples, partial=partial), format, report)
