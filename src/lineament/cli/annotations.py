"""Commands `annotations read` and `annotations write`: convert face labels between formats."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, progress_bar, show
from .options import Category, Pictures, PointScheme, own_data

if TYPE_CHECKING:
    from ..data.sample import Sample

annotations = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Convert face labels between annotation formats.\n\n"
    "Formats: CVAT, Label Studio, COCO, YOLO pose, .pts, dlib, CSV.",
)
app.add_typer(annotations, name="annotations")


class LabelFormat(StrEnum):
    """Label formats that can be written, see io/label_formats.py, and .pts files."""

    cvat = "cvat"
    cvat_points = "cvat-points"
    label_studio = "label-studio"
    coco = "coco"
    yolo = "yolo"
    dlib = "dlib"
    dlib_whole = "dlib-whole"
    csv = "csv"
    pts = "pts"


Source = Annotated[
    Path,
    typer.Argument(
        metavar="FILE|DIR", help="A label file, or a folder of label files."
    ),
]
Reader = Annotated[
    str | None,
    typer.Option(
        help="Label format: coco, cvat, label-studio, yolo, dlib, csv, folder (.pts "
        "next to images), review, or a data set; default: detected from the "
        "files."
    ),
]
Part = Annotated[str, typer.Option(help="Part of a data set; needs --reader.")]
FirstPixel = Annotated[
    float | None,
    typer.Option(
        help="Coordinate of the center of the first pixel in the labels, if it "
        "differs from the convention of their format."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the files.")]


@annotations.command()
def read(
    source: Source,
    out: Out,
    reader: Reader = None,
    part: Part = "all",
    scheme: PointScheme = "",
    category: Category = "",
    pictures: Pictures = None,
    first_pixel: FirstPixel = None,
) -> None:
    """Convert labels to a folder of .pts files, one per face.

    A JSON file next to each states its image, box and occluded points. The folder works
    with `lineament review` and with the reader "review".
    """
    samples = read_labels(source, reader, part, scheme, category, pictures, first_pixel)
    _write(samples, "pts", out, pictures)


@annotations.command()
def write(
    source: Source,
    out: Out,
    format: Annotated[
        LabelFormat,
        typer.Option(help="Output format; see the table in docs/review.md."),
    ],
    reader: Reader = None,
    part: Part = "all",
    scheme: PointScheme = "",
    category: Category = "",
    pictures: Pictures = None,
    first_pixel: FirstPixel = None,
) -> None:
    """Convert labels to a file or folder of another format.

    The labels may also be a folder of `lineament review`. Image names are relative to
    --pictures or, without it, to the deepest folder that contains all images; in dlib files
    they are relative to the file.
    """
    samples = read_labels(source, reader, part, scheme, category, pictures, first_pixel)
    _write(samples, str(format), out, pictures)


def read_labels(
    source: Path,
    reader: str | None,
    part: str,
    scheme: str,
    category: str,
    pictures: Path | None,
    first_pixel: float | None = None,
    checked: bool = True,
) -> "list[Sample]":
    """Return the faces in a file or folder; without a reader, the format is detected.

    Args:
        checked: Refuse faces whose points cannot be right. Those without points are skipped.
    """
    from ..data.label_checks import check_labels, keep_annotated
    from ..data.readers.registry import data_set, detect_label_format, read_data

    own = own_data(scheme, category, pictures)
    own = replace(own, first_pixel=first_pixel, needs_images=True)
    name = reader or detect_label_format(source)
    samples = read_data(name, source, part, own)
    if not data_set(name).is_format:
        return samples
    check = check_labels if checked else keep_annotated
    return check(samples, str(source), own.note)


def _write(
    samples: "list[Sample]", kind: str, out: Path, pictures: Path | None
) -> None:
    from ..data.label_files import write_label_files

    with progress_bar("faces", len(samples)) as step:
        paths = write_label_files(samples, kind, out, pictures, step)
    for path in paths:
        show(f"{path}")
    images = len({sample.image for sample in samples})
    note(f"{len(samples)} faces in {images} images, scheme {samples[0].scheme}")
