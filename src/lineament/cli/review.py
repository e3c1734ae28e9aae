"""Commands `review faces` (web page for correcting landmarks) and `review stats`."""

import getpass
import json
import secrets
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import InputError
from .annotations import Part, read_labels
from .app import (
    app,
    note,
    print_error,
    progress_bar,
    report_failures,
    require_package,
    show,
    show_table,
)
from .options import (
    Category,
    DetectorName,
    Device,
    MinFace,
    MinPresence,
    ModelName,
    Pictures,
    device_option,
    folder_path,
    make_predictor,
    with_digest,
)

if TYPE_CHECKING:
    from ..io.review_files import FaceRecord
    from ..serving.review.candidate import Candidate
    from ..serving.review.collect import Comparison
    from ..serving.review.queue import QueuedFace

DEFAULT = "faces"
"""Command that `lineament review` runs by default."""


class ReviewCommands(TyperGroup):
    """Treat `review PATH` as `review faces PATH`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command if the first argument is not a command."""
        if args and args[0] not in (*self.commands, "--help"):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


review = typer.Typer(
    cls=ReviewCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Correct landmarks by hand on a local web page.\n\n"
    "`lineament review PHOTOS --out REVIEW` opens the page.",
)
app.add_typer(review, name="review")

ReviewFolder = Annotated[
    Path,
    typer.Option(help="Folder of the new or continued review.", callback=folder_path),
]
Order = Annotated[
    str,
    typer.Option(
        metavar="sigma|spread|disagree:MODEL|audit|random|name",
        help="Order of the faces. sigma: largest predicted uncertainty first; spread: largest "
        "spread over shifted boxes; disagree:MODEL: largest distance from that model's "
        "landmarks; audit: errors found by `lineament audit`; random; name.",
    ),
]


Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Images or folders of images; a folder written by `lineament detect "
        "--out`; or, with --reader, a file or folder of labels.",
    ),
]
Scheme = Annotated[
    str, typer.Option(help="Landmark scheme: a name, or the path of a .toml file.")
]
LabelReader = Annotated[
    str | None,
    typer.Option(
        help="Correct existing labels in this format, such as folder, coco or review."
    ),
]
Reviewer = Annotated[
    str,
    typer.Option(
        help=(
            "Name of the reviewer, stored with each decision; default: your user name."
        )
    ),
]
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port of the page; 0: any free one.")
]
Browser = Annotated[bool, typer.Option(help="Open the page in the browser.")]


@review.command(DEFAULT)
def faces(
    paths: Paths,
    out: ReviewFolder,
    order: Order = "sigma",
    model: ModelName = "accurate",
    scheme: Scheme = "",
    reader: LabelReader = None,
    part: Part = "all",
    category: Category = "",
    pictures: Pictures = None,
    detector: DetectorName = "default",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    device: Device = "cpu",
    reviewer: Reviewer = "",
    port: Port = 0,
    browser: Browser = True,
) -> None:
    """Correct landmarks on a web page that only this machine can open.

    The landmarks are predicted, and the least certain faces come first. Each decision is
    saved immediately: a .pts file with all landmarks, and a JSON file with the reviewer,
    the time, the time spent and the landmarks that are not visible. To train on the
    folder, use the reader "review". Stop with Ctrl+C; rerun the same command to continue.
    """
    require_package("fastapi", "serve")
    require_package("uvicorn", "serve")
    from ..serving.review.server import make_server
    from ..serving.review.session import Review

    labels = {"reader": reader, "part": part, "category": category}
    labels["pictures"] = str(pictures) if pictures else None
    search = {"detector": detector, "min_face": min_face, "min_presence": min_presence}
    search |= device_option(device)
    person = reviewer or _user_name()
    queue = _queue(paths, out, order, model, scheme, labels, search)
    session = Review(out, queue, person)

    def started(address: str) -> None:
        show(address)
        count = "1 face" if len(queue) == 1 else f"{len(queue)} faces"
        note(f"{count}, reviewer {person} -> {out}; stop with Ctrl+C")
        if browser:
            webbrowser.open(address)

    make_server(session, secrets.token_urlsafe(24), port, started).run()


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        # Windows without variables, or a container whose user has no entry
        raise typer.BadParameter(
            "your user name is unknown; give the name of the reviewer with --reviewer"
        ) from error


def _queue(
    paths: Sequence[str],
    out: Path,
    order: str,
    model: str,
    scheme: str,
    labels: dict[str, Any],
    search: dict[str, Any],
) -> "list[QueuedFace]":
    """Return the queue stored in `out` if its settings match, otherwise create a new one."""
    from ..schemes import check_scheme
    from ..serving.review.order import parse_order
    from ..serving.review.queue import make_queue, read_queue, write_queue

    rule, second = parse_order(order)
    scheme = check_scheme(scheme) if scheme else ""
    settings = {
        "paths": [str(Path(path).resolve()) for path in paths],
        "order": order,
        "model": with_digest(model),
        "second": with_digest(second) if second else "",
        "scheme": str(scheme),
        **labels,
        **search,
    }
    queue = read_queue(out, settings)
    if queue is None:
        found = _candidates(paths, rule, second, model, scheme, labels, search)
        queue = make_queue(found, rule)
        write_queue(out, queue, settings)
    return queue


def _candidates(
    paths: Sequence[str],
    rule: str,
    second: str,
    model: str,
    scheme: str,
    labels: dict[str, Any],
    search: dict[str, Any],
) -> "list[Candidate]":
    """Return the faces to review: labels, results of detect, or faces found in images."""
    from ..io.input_images import find_inputs
    from ..serving.review.collect import (
        candidates_of_images,
        candidates_of_results,
        candidates_of_samples,
        is_result_folder,
    )

    if labels["reader"]:
        if len(paths) != 1:
            raise typer.BadParameter(
                "--reader needs exactly one file or folder of labels"
            )
        folder = labels["pictures"]
        samples = read_labels(
            Path(paths[0]),
            labels["reader"],
            labels["part"],
            scheme,
            labels["category"],
            Path(folder) if folder else None,
            # points far outside their images may be corrected in the review
            checked=False,
        )
        scheme_name = samples[0].scheme if samples else ""
        comparison = _comparison(
            rule, second, model, scheme_name, search, annotated=True
        )
        with progress_bar("faces", len(samples)) as step:
            return list(candidates_of_samples(samples, comparison, step))
    if len(paths) == 1 and is_result_folder(Path(paths[0])):
        kept = Path(paths[0])
        comparison = _comparison(rule, second, model, scheme, search)
        with progress_bar("files", None) as step:
            return candidates_of_results(kept, comparison, step)
    _check_second(second, model)
    predictor = make_predictor(model, scheme or None, **search)
    images, failures = find_inputs(paths)
    comparison = _comparison(rule, second, model, predictor.scheme, search)
    with progress_bar("images", len(images)) as step:
        found, broken = candidates_of_images(predictor, images, comparison, step)
    failed = [*failures, *broken]
    if not found:
        report_failures(failed, len(images) + len(failures))
    for failure in failed:
        print_error(failure.line())
    return found


def _check_second(second: str, model: str) -> None:
    """Raise InputError if the model of `disagree` is the one that finds the faces."""
    if second == model:
        raise InputError(
            f"--order disagree:{second} would compare {model} with itself; expected another "
            "model: name one, or choose --model"
        )


def _comparison(
    rule: str,
    second: str,
    model: str,
    scheme: str,
    search: dict[str, Any],
    annotated: bool = False,
) -> "Comparison":
    """Return the models for an order and, for labels, a model to compare them with if possible."""
    from ..errors import SchemeError
    from ..inference.predictor import Predictor
    from ..serving.review.collect import Comparison
    from ..serving.review.order import NEEDS_MODEL

    open_model = partial(
        Predictor, scheme=scheme or None, device=search.get("device", "cpu")
    )
    predictor = None
    try:
        if annotated or rule == "spread":
            predictor = open_model(model)
    except SchemeError as error:
        if rule in NEEDS_MODEL:
            raise
        note(f"the labels are not compared with {model}: {error}")
    other = open_model(second) if second else None
    return Comparison(predictor, other, rule == "spread")


@review.command()
def stats(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="REVIEW", help="Review folders of the same images."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON.")
    ] = False,
) -> None:
    """Print the pace, corrections and agreement of the reviewers.

    The sizes of corrections are compared with sigma_px; they equal the model's errors
    only if reviewers correct every wrong landmark.
    """
    from ..errors import DataError
    from ..io.review_files import face_names, read_face
    from ..serving.review import stats as figures

    read: list[list[FaceRecord]] = []
    for folder in folders:
        read.append([read_face(folder, name) for name in face_names(folder)])
    records = figures.merged(read)
    if not records:
        raise DataError(f"{folders[0]}: no reviewed faces; run lineament review first")
    schemes = sorted({str(record.scheme) for record in records})
    if len(schemes) > 1:
        raise DataError(
            f"the reviews are of {', '.join(schemes)}; give reviews of one scheme at a time"
        )
    parts: dict[str, Sequence[Any]] = {
        "reviewer_stats": figures.reviewer_stats(records),
        "calibration": figures.calibration(records),
        "agreements": figures.agreements(records),
    }
    if as_json:
        listed = {}
        for name, rows in parts.items():
            listed[name] = [_finite(asdict(row)) for row in rows]
        show(json.dumps(listed, allow_nan=False))
        return
    _show_stats(parts, records[0].scheme)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with nan replaced by None, because JSON has no nan."""
    return {key: None if value != value else value for key, value in values.items()}


def _show_stats(parts: dict[str, Sequence[Any]], scheme: str) -> None:
    from ..schemes import scheme as scheme_called

    rows = []
    for pace in parts["reviewer_stats"]:
        counts = [str(pace.faces), str(pace.corrected), str(pace.rejected)]
        times = [f"{pace.median_s:.1f}", f"{pace.faces_per_hour:.0f}"]
        rows.append([pace.reviewer or "-", *counts, *times])
    head = (
        "reviewer",
        "faces",
        "corrected",
        "not a face",
        "median s",
        "faces per hour",
    )
    show_table(head, rows)
    if parts["calibration"]:
        rows = []
        for part in parts["calibration"]:
            means = [f"{part.mean_sigma_px:.2f}", f"{part.mean_move_px:.2f}"]
            rows.append(
                [str(part.points), *means, f"{100 * part.within_two_sigma:.1f}"]
            )
        show(
            "\ncorrections by quartile of sigma; if sigma is calibrated, 95 % are "
            "within 2 sigma"
        )
        show_table(
            ("points", "mean sigma px", "mean move px", "% within 2 sigma"), rows
        )
    if parts["agreements"]:
        rows = []
        for both in parts["agreements"]:
            name = scheme_called(scheme).points[both.worst_point]
            apart = [f"{100 * both.mean:.2f}", f"{name} {100 * both.worst:.2f}"]
            seen = f"{100 * both.occlusion:.1f}"
            rows.append([" and ".join(both.people), str(both.faces), *apart, seen])
        show(
            "\nagreement between two reviewers; distances in % of the face's longer "
            "side"
        )
        show_table(
            ("people", "faces", "mean", "worst landmark", "% same visibility"), rows
        )
