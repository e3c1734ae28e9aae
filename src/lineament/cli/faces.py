"""detect: pictures -> faces, printed or written down."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, complain, identity, need_package, note, progress_bar, show, show_table

if TYPE_CHECKING:
    from ..inference.predictor import Predictor
    from ..io.result_folder import Failure, Job, ResultFolder

Paths = Annotated[
    list[str],
    typer.Argument(help="Pictures, folders (searched through) or patterns.", metavar="PATH"),
]
ModelName = Annotated[
    str, typer.Option("--model", help="A model by name (see `lineament models`), or an .onnx file.")
]
SchemeName = Annotated[
    str | None, typer.Option("--scheme", help="The points wanted; the model's own by default.")
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--boxes",
        metavar="X0,Y0,X1,Y1|FILE",
        help="Where the faces are: a box (repeatable, for one picture), or a JSON file of boxes by picture.",
    ),
]


Flip = Annotated[
    bool, typer.Option("--flip", help="EMA each crop with its mirror image: twice the work.")
]
DetectorName = Annotated[
    str,
    typer.Option(
        "--detector",
        help="default, mediapipe (if installed), or an .onnx file of lineament export or YuNet.",
    ),
]


class Smooth(StrEnum):
    """Filters over time."""

    one_euro = "one-euro"
    kalman = "kalman"
    none = "none"

    @property
    def filter(self) -> str | None:
        """What Tracker takes."""
        return None if self is Smooth.none else self.value


class Format(StrEnum):
    """How results are printed or written."""

    json = "json"
    csv = "csv"
    table = "table"
    parquet = "parquet"
    pts = "pts"
    coco = "coco"


PRINTED = (Format.json, Format.csv, Format.table)


@app.command()
def detect(
    paths: Paths,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the results; without it they are printed.")
    ] = None,
    format: Annotated[
        Format, typer.Option(help="json, csv, table are printed; others need --out.")
    ] = Format.json,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw the landmarks of each picture, in --out.")
    ] = False,
    model: ModelName = "accurate",
    scheme: SchemeName = None,
    boxes: Boxes = None,
    detector: DetectorName = "default",
    flip: Flip = False,
    again: Annotated[
        bool, typer.Option("--again", help="Make results anew that --out already holds.")
    ] = False,
) -> None:
    """Find the faces of pictures and their landmarks.

    Without --out, each picture is one line of JSON on standard output. With it, each is a JSON file in that folder,
    from which the other formats are gathered; results it already holds are kept, so that an interrupted run goes on
    where it stopped. Pictures that fail are listed at the end, and the exit code is 1.
    """
    if out is None and (draw or format not in PRINTED):
        what = "--draw" if draw else f"--format {format}"
        raise typer.BadParameter(f"{what} needs --out, the folder for the results")
    if out is not None and format is Format.table:
        raise typer.BadParameter(
            "--format table is printed only; leave --out out, or choose another format"
        )
    from ..io.result_folder import ResultFolder, find_jobs

    if format is Format.parquet:
        need_package("pyarrow", "report")
    jobs, failures = find_jobs(paths, out)
    total = len(jobs) + len(failures)
    if jobs:
        known, predictor = known_boxes(boxes, jobs), make_predictor(model, scheme, detector, flip)
        if out is None:
            failures += _print_results(predictor, jobs, known, format)
        else:
            settings: dict[str, Any] = {
                "model": identity(model),
                "scheme": predictor.scheme,
                "boxes": "given" if boxes else "detected",
            }
            settings |= {"detector": identity(detector)} if detector != "default" else {}
            settings |= {"flip": True} if flip else {}
            folder = ResultFolder(out, settings, again, jobs, known)
            failures += _write_results(predictor, jobs, known, folder, format, draw)
    list_failures(failures, total)


def make_predictor(
    model: str, scheme: str | None = None, detector: str = "default", flip: bool = False
) -> "Predictor":
    """The predictor that the options ask for."""
    from ..inference.predictor import Predictor

    return Predictor(model, named_detector(detector), scheme, flip=flip)


def named_detector(name: str) -> Any:
    """What Predictor takes for the detector called `name`."""
    if name == "default":
        return "default"
    if name == "mediapipe":
        from ..inference.detector_adapters import mediapipe

        return mediapipe()
    if name.endswith(".onnx"):
        from ..inference.detector_adapters import detector_of_file

        return detector_of_file(name)
    raise typer.BadParameter(
        f"--detector {name!r}; wanted default, mediapipe, or the path of an .onnx file of "
        "lineament export or of YuNet"
    )


def known_boxes(boxes: list[str] | None, jobs: "Sequence[Job]") -> dict[str, Any] | None:
    """The boxes of --boxes by picture, or None where it was not given."""
    from ..io.result_folder import read_boxes

    if not boxes:
        return None
    if len(boxes) == 1 and boxes[0].endswith(".json"):
        return read_boxes(Path(boxes[0]))
    if len(jobs) != 1:
        raise typer.BadParameter(
            f"--boxes as numbers are for one picture, not {len(jobs)}; give a JSON file of boxes"
        )
    try:
        return {str(jobs[0].image): [[float(number) for number in box.split(",")] for box in boxes]}
    except ValueError as error:
        raise typer.BadParameter(
            f"--boxes {' '.join(boxes)!r}; wanted x0,y0,x1,y1 or a .json file"
        ) from error


def _print_results(
    predictor: "Predictor", jobs: "Sequence[Job]", boxes: Any, format: Format
) -> "list[Failure]":
    from ..errors import InputError
    from ..io.formats import csv_columns, csv_rows
    from ..io.result_folder import DECIMALS, Failure, predict_jobs, record_of

    failures, rows = [], []
    if format is Format.csv:
        show(_csv_line(csv_columns(predictor.scheme)))
    # on one terminal a bar would run through the results
    with progress_bar("pictures", 0 if sys.stdout.isatty() else len(jobs)) as step:
        for job, _, faces in predict_jobs(predictor, jobs, boxes):
            step()
            if isinstance(faces, InputError):
                failures.append(Failure(str(job.image), str(faces)))
            elif format is Format.json:
                show(json.dumps(record_of(job, faces), allow_nan=False, ensure_ascii=False))
            elif format is Format.csv:
                for row in csv_rows(faces, str(job.image)):
                    show(
                        _csv_line(
                            [
                                round(value, DECIMALS) if isinstance(value, float) else value
                                for value in row
                            ]
                        )
                    )
            else:
                rows += [[str(job.image), *row] for row in _face_rows(faces)] or [
                    [str(job.image), "no face"]
                ]
    if format is Format.table:
        show_table(
            [
                "picture",
                "face",
                "score",
                "box x0, y0, x1, y1",
                "points",
                "mean score",
                "mean sigma px",
            ],
            rows,
        )
    return failures


def _csv_line(row: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def _face_rows(faces: Any) -> list[list[str]]:
    return [
        [
            str(number),
            f"{face.score:.3f}",
            ", ".join(f"{value:.1f}" for value in face.box),
            f"{len(face)} {face.scheme}",
            f"{face.scores.mean():.3f}",
            f"{face.sigma_px.mean():.2f}",
        ]
        for number, face in enumerate(faces, 1)
    ]


def _write_results(
    predictor: "Predictor",
    jobs: "Sequence[Job]",
    boxes: Any,
    folder: "ResultFolder",
    format: Format,
    draw: bool,
) -> "list[Failure]":
    from ..analysis.draw import draw_faces, save_image
    from ..errors import InputError
    from ..io.result_folder import Failure, predict_jobs

    failures, todo = [], []
    for job in jobs:
        try:
            todo += [] if folder.has(job, draw) else [job]
        except InputError as error:
            failures.append(Failure(str(job.image), str(error)))
    kept = len(jobs) - len(todo) - len(failures)
    with progress_bar("pictures", len(jobs), kept) as step:
        for job, picture, faces in predict_jobs(predictor, todo, boxes):
            if isinstance(faces, InputError):
                failures.append(Failure(str(job.image), str(faces)))
                step()
                continue
            try:
                if draw and picture is not None:
                    folder.drawn(job).parent.mkdir(parents=True, exist_ok=True)
                    save_image(folder.drawn(job), draw_faces(picture, faces))
                folder.write(job, faces)
            except (InputError, OSError) as error:
                failures.append(Failure(str(job.image), str(error)))
            step()
    failed = {failure.path for failure in failures}
    done = [job for job in jobs if str(job.image) not in failed]
    path = folder.gather(done, format.value, predictor.scheme)
    note(f"{len(done)} of {len(jobs)} pictures ({kept} kept from an earlier run) -> {path}")
    return failures


def list_failures(failures: "Sequence[Failure]", total: int) -> None:
    """Prints what failed, and ends with exit code 1 where anything did."""
    for failure in failures:
        complain(
            failure.reason
            if failure.path in failure.reason
            else f"{failure.path}: {failure.reason}"
        )
    if failures and total > 1:
        complain(f"{len(failures)} of {total} failed; they are listed above")
    if failures:
        raise typer.Exit(1)
