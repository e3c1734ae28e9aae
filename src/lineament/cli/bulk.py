"""Commands `bulk run` and `bulk status`: find faces in millions of images."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .app import app, note, print_error, progress_bar, require_package, show, show_table
from .options import (
    DetectorName,
    Device,
    Flip,
    MinFace,
    MinPresence,
    ModelName,
    Printed,
    SchemeName,
    device_option,
    face_limits,
    make_predictor,
    prediction_settings,
)

if TYPE_CHECKING:
    from ..inference.predictor import Predictor
    from ..serving.bulk.job import JobStatus
    from ..serving.bulk.parts import PartWorker

CROPS_AT_ONCE = 2
"""Crops per model call: on one thread, more are not faster and need more memory."""


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Images, videos, tar files, folders of these, or patterns; Parquet "
        "files; .txt files that list paths or URIs. Each is a path, or an "
        "s3://, gs:// or file:// URI.",
    ),
]
Out = Annotated[
    str,
    typer.Option(
        metavar="URI", help="Folder for the plan and the parts: a path, s3:// or gs://."
    ),
]
Every = Annotated[
    int, typer.Option(min=1, metavar="N", help="Process every N-th frame of a video.")
]
Column = Annotated[
    str,
    typer.Option(
        help="Column of Parquet files that holds the images, or their paths or URIs."
    ),
]
PartImages = Annotated[int, typer.Option(min=1, help="Images per part of a new plan.")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster, such as auto or HOST:6379; local: Ray on this machine; "
        "default: local processes without Ray."
    ),
]


class BulkCommands(TyperGroup):
    """Treat `bulk INPUT...` as `bulk run INPUT...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command if none is named."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["run", *args]
        return list(super().parse_args(ctx, args))


bulk = typer.Typer(
    cls=BulkCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Find faces in millions of images, in resumable jobs.\n\n"
    "`bulk INPUT... --out URI` starts or resumes a job; `bulk status URI` prints its progress.",
)
app.add_typer(bulk, name="bulk")


@bulk.command("run")
def run_bulk(
    inputs: Inputs,
    out: Out,
    model: ModelName = "accurate",
    scheme: SchemeName = None,
    detector: DetectorName = "default",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
    every: Every = 10,
    column: Column = "image",
    part_images: PartImages = 500,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes or Ray actors; 0: one per core.")
    ] = 0,
    address: Address = None,
) -> None:
    """Find faces in any number of images and write them as Parquet.

    The first run writes a plan to --out: the list of images, the model and the options.
    Each part of the plan becomes one file. Parts that already exist are skipped, so after
    any interruption, rerun the same command. An image that cannot be used becomes a row
    with an error. The exit code is 1 if a part is missing at the end.
    """
    require_package("pyarrow", "bulk")
    if address is not None:
        require_package("ray", "bulk")
    from ..serving.bulk.folder import OutputFolder
    from ..serving.bulk.images import ReadOptions
    from ..serving.bulk.parts import PartWorker
    from ..serving.bulk.plan import open_plan

    predictor = make_predictor(
        model, scheme, detector, flip, min_face, min_presence, device, threads=1
    )
    _limit_memory(predictor)
    settings = prediction_settings(model, predictor.scheme, detector, flip, False)
    settings |= face_limits(min_face, min_presence) | device_option(device)
    settings |= {"every": every, "column": column}
    folder = OutputFolder(out)
    plan = open_plan(folder, inputs, settings, part_images)
    worker = PartWorker(folder.address, plan, predictor, ReadOptions(column, every))
    _run(worker, workers, address)


def _limit_memory(predictor: "Predictor") -> None:
    """Make an ONNX model on the CPU run on only a few crops at once."""
    from ..inference.device import CPU
    from ..inference.onnx_model import Model

    if isinstance(predictor.model, Model) and predictor.device == CPU:
        predictor.model.chunk = CROPS_AT_ONCE


def _run(worker: "PartWorker", workers: int, address: str | None) -> None:
    """Process the missing parts and report; exit with code 1 if one failed."""
    from ..serving.bulk.folder import OutputFolder
    from ..serving.bulk.job import read_status, run_missing

    plan = worker.plan
    kept = plan.parts - len(plan.missing(OutputFolder(worker.out)))
    failed = 0
    with progress_bar("parts", plan.parts, kept) as step:
        for number, counts in run_missing(worker, workers, address):
            step()
            if counts.failure:
                failed += 1
                print_error(f"part {number}: {counts.failure}")
    status = read_status(worker.out)
    earlier = f" ({kept} kept from an earlier run)" if kept else ""
    note(
        f"{status.images} images, {status.faces} faces, {status.errors} errors in "
        f"{status.parts} of {plan.parts} parts{earlier} -> {OutputFolder(worker.out)}"
    )
    if failed:
        print_error(f"{failed} parts failed; rerun the same command to retry them")
        raise typer.Exit(1)


@bulk.command("status")
def show_status(
    out: Annotated[str, typer.Argument(metavar="URI", help="Folder of a bulk job.")],
    format: Annotated[
        Printed, typer.Option("--format", help="Print a table or JSON.")
    ] = Printed.table,
) -> None:
    """Print the progress of a bulk job and its cost so far.

    Only reads the files in the folder, so it can run anywhere and at any time.
    """
    require_package("pyarrow", "bulk")
    from ..serving.bulk.job import read_status

    status = read_status(out)
    if format is Printed.json:
        more: dict[str, Any] = {"done": status.is_done}
        more |= {"cpu_hours_per_million": status.cpu_hours_per_million}
        show(json.dumps(asdict(status) | more, allow_nan=False))
        return
    show_table(("", ""), _status_rows(status))


def _status_rows(status: "JobStatus") -> list[list[str]]:
    hours = status.cpu_hours_per_million
    settings = [f"{name} {value}" for name, value in status.plan.settings.items()]
    rows = [
        ["plan", f"{status.plan.digest}, {status.plan.sources} images or files"],
        ["options", ", ".join(settings)],
        ["parts", f"{status.parts} of {status.plan.parts}"],
        ["images", f"{status.images}"],
        ["faces", f"{status.faces}"],
        ["errors", f"{status.errors}"],
    ]
    if hours is not None:
        rows.append(["processor time", f"{status.cpu_s / 3600:.2f} hours so far"])
        rows.append(["", f"{hours:.1f} hours per million images"])
    return rows
