"""Command `detect`: find faces and landmarks in images; print them or write a folder."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import (
    app,
    note,
    progress_bar,
    report_failures,
    require_package,
    show,
    show_table,
)
from .options import (
    Boxes,
    DetectorName,
    Device,
    EmptyRows,
    Flip,
    ImagePaths,
    MinFace,
    MinPresence,
    ModelName,
    Occluded,
    Overwrite,
    SchemeName,
    Workers,
    device_option,
    face_limits,
    folder_path,
    known_boxes,
    make_predictor,
    prediction_settings,
)

if TYPE_CHECKING:
    from ..face import Faces
    from ..inference.predictor import Predictor
    from ..io.input_images import FailedInput, InputImage, Predicted
    from ..io.result_folder import ResultFolder

    PredictImages = Callable[[Sequence[InputImage]], Iterator[Predicted]]


class Format(StrEnum):
    """Formats for printing or writing faces."""

    json = "json"
    csv = "csv"
    table = "table"
    parquet = "parquet"
    pts = "pts"
    coco = "coco"
    cvat = "cvat"
    label_studio = "label-studio"


ResultFormat = Annotated[
    Format,
    typer.Option(
        help="Format of the results; all except json, csv and table need --out."
    ),
]
PRINTED = (Format.json, Format.csv, Format.table)
TABLE_HEAD = (
    "image",
    "face",
    "score",
    "box x0, y0, x1, y1",
    "points",
    "mean score",
    "sigma px",
    "presence",
)

ResultsOut = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the results; default: print them.", callback=folder_path
    ),
]
Draw = Annotated[
    bool,
    typer.Option(
        "--draw",
        help="Also write a copy of each image, with its landmarks drawn, to --out.",
    ),
]


@app.command()
def detect(
    paths: ImagePaths,
    out: ResultsOut = None,
    format: ResultFormat = Format.json,
    draw: Draw = False,
    occluded: Occluded = True,
    empty_rows: EmptyRows = False,
    model: ModelName = "accurate",
    scheme: SchemeName = None,
    boxes: Boxes = None,
    detector: DetectorName = "default",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
    workers: Workers = 1,
    overwrite: Overwrite = False,
) -> None:
    """Find faces and their landmarks in images.

    Without --out, prints one line of JSON per image. With --out, writes one JSON file
    per image to that folder and, from those, the other formats. Results that are up to
    date are kept, so an interrupted run continues where it stopped. Only the first
    frame of an animated image is read. If images fail, they are listed at the end, and
    the exit code is 1.
    """
    _check_format(out, format, draw, occluded, empty_rows)
    from ..io.input_images import find_inputs
    from ..io.result_folder import ResultFolder

    images, failures = find_inputs(paths, out)
    total = len(images) + len(failures)
    if images:
        image_boxes = known_boxes(boxes, images)
        threads = 0 if workers == 1 else 1
        predictor = make_predictor(
            model, scheme, detector, flip, min_face, min_presence, device, threads
        )
        predict = _image_predictor(predictor, image_boxes, workers)
        if out is None:
            printed = (images, predictor.scheme, format, empty_rows)
            failures += _print_results(predict, *printed)
        else:
            settings = prediction_settings(
                model, predictor.scheme, detector, flip, bool(boxes)
            )
            settings |= face_limits(min_face, min_presence) | device_option(device)
            settings |= {} if occluded else {"occluded": False}
            folder = ResultFolder(out, settings, overwrite, images, image_boxes)
            chosen = (folder, format, draw, empty_rows)
            scheme = predictor.scheme
            failures += _write_results(predict, images, scheme, *chosen)
    report_failures(failures, total)


def _image_predictor(
    predictor: "Predictor", boxes: Any, workers: int
) -> "PredictImages":
    """Return a function that yields the faces in images, using one or more processes."""
    from ..inference.processors import usable_cores
    from ..io.input_images import predict_images
    from ..serving.bulk.ordered import predict_in_processes

    if workers == 1:
        return lambda images: predict_images(predictor, images, boxes)
    count = workers or usable_cores()
    return lambda images: predict_in_processes(predictor, images, boxes, count)


def _check_format(
    out: Path | None, format: Format, draw: bool, occluded: bool, empty_rows: bool
) -> None:
    """Raise BadParameter if options conflict, ExtraError if a required package is missing."""
    if empty_rows and format not in (Format.csv, Format.parquet):
        raise typer.BadParameter("--empty-rows needs --format csv or parquet")
    if not occluded and not draw:
        raise typer.BadParameter(
            "--no-occluded has an effect only with --draw; add --draw"
        )
    if out is None and (draw or format not in PRINTED):
        option = "--draw" if draw else f"--format {format}"
        raise typer.BadParameter(f"{option} needs --out, the folder for the results")
    if out is not None and format is Format.table:
        raise typer.BadParameter(
            "--format table can only be printed; omit --out, or choose another format"
        )
    if format is Format.parquet:
        require_package("pyarrow", "report")


def _print_results(
    predict: "PredictImages",
    images: "Sequence[InputImage]",
    scheme: str,
    format: Format,
    empty_rows: bool,
) -> "list[FailedInput]":
    from ..errors import InputError
    from ..io.input_images import FailedInput
    from ..io.tables import csv_columns

    failures, rows = [], []
    if format is Format.csv:
        show(_csv_line(csv_columns(scheme)))
    # on the same terminal, a progress bar would mix with the results
    with progress_bar("images", 0 if sys.stdout.isatty() else len(images)) as step:
        for image, _, faces in predict(images):
            step()
            if isinstance(faces, InputError):
                failures.append(FailedInput(str(image.path), str(faces)))
            elif format is Format.table:
                rows += _table_rows(image, faces)
            else:
                _print_faces(image, faces, format, empty_rows)
    if format is Format.table:
        show_table(TABLE_HEAD, rows)
    return failures


def _print_faces(
    image: "InputImage", faces: "Faces", format: Format, empty_rows: bool
) -> None:
    """Print the faces in an image as a line of JSON, or as a line of CSV per face."""
    from ..io.result_folder import DECIMALS, to_record
    from ..io.tables import csv_rows

    if format is Format.json:
        show(json.dumps(to_record(image, faces), allow_nan=False))
        return
    for row in csv_rows(faces, str(image.path), empty_rows):
        cells = [
            round(cell, DECIMALS) if isinstance(cell, float) else cell for cell in row
        ]
        show(_csv_line(cells))


def _csv_line(row: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def _table_rows(image: "InputImage", faces: "Faces") -> list[list[str]]:
    rows = []
    for number, face in enumerate(faces, 1):
        row = [
            str(image.path),
            str(number),
            f"{face.score:.3f}",
            ", ".join(f"{value:.1f}" for value in face.box),
            f"{len(face)} {face.scheme}",
            f"{face.scores.mean():.3f}",
            f"{face.sigma_px.mean():.2f}",
            f"{face.presence:.3f}".replace("nan", "-"),
        ]
        rows.append(row)
    return rows or [[str(image.path), "no face"]]


def _write_results(
    predict: "PredictImages",
    images: "Sequence[InputImage]",
    scheme: str,
    folder: "ResultFolder",
    format: Format,
    draw: bool,
    empty_rows: bool,
) -> "list[FailedInput]":
    from ..errors import InputError
    from ..io.image import read_image
    from ..io.input_images import FailedInput

    failures, missing = [], []
    for image in images:
        try:
            if not folder.has(image, draw):
                missing.append(image)
        except InputError as error:
            failures.append(FailedInput(str(image.path), str(error)))
    kept = len(images) - len(missing) - len(failures)
    with progress_bar("images", len(images), kept) as step:
        for image, pixels, faces in predict(missing):
            try:
                if isinstance(faces, InputError):
                    raise faces
                if draw and pixels is None:  # the image was read in another process
                    pixels = read_image(image.path)
                _write_result(folder, image, pixels if draw else None, faces)
            except (InputError, OSError) as error:
                failures.append(FailedInput(str(image.path), str(error)))
            step()
    failed = {failure.path for failure in failures}
    done = [image for image in images if str(image.path) not in failed]
    path = folder.export(done, format.value, scheme, empty_rows)
    earlier = f" ({kept} kept from an earlier run)" if kept else ""
    note(f"{len(done)} of {len(images)} images{earlier} -> {path}")
    return failures


def _write_result(
    folder: "ResultFolder", image: "InputImage", pixels: Any, faces: "Faces"
) -> None:
    """Write the drawing if `pixels` are given, then the record of the image."""
    from ..analysis.draw import draw_faces, save_image

    if pixels is not None:
        target = folder.drawn_path(image)
        target.parent.mkdir(parents=True, exist_ok=True)
        occluded = folder.settings.get("occluded", True)
        save_image(target, draw_faces(pixels, faces, occluded=occluded))
    folder.write(image, faces, drawn=pixels is not None)
