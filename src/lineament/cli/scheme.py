"""Command `scheme`: write a landmark scheme for the points of annotated faces."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, show, show_table
from .options import Pictures

if TYPE_CHECKING:
    from ..data.readers.own_data import OwnData
    from ..data.sample import Sample
    from ..scheme_file.table import Scheme


@app.command()
def scheme(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|DIR",
            help=(
                "Annotated faces in any format; or a COCO file with a category that "
                "lists keypoints and, optionally, a skeleton."
            ),
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The .toml file to write; its name becomes the name of the scheme."
        ),
    ],
    category: Annotated[
        str,
        typer.Option(
            help="Category of the faces, if several categories list keypoints."
        ),
    ] = "",
    pictures: Pictures = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="68-point model that places the scheme's points on the mean face.",
        ),
    ] = "accurate",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing --out.")
    ] = False,
) -> None:
    """Write a landmark scheme for the points of annotated faces.

    Prints what it inferred: mirrored pairs, parts, and the points that errors are normalized by.
    Also writes a drawing of one face next to the file, with numbered points and a line
    between mirrored pairs. Check both, and correct the file where needed.
    """
    from ..scheme_file.table import SUFFIX

    if out.suffix != SUFFIX:
        raise typer.BadParameter(
            f"--out {out}; expected a {SUFFIX} file such as my21.toml"
        )
    if out.exists() and not overwrite:
        raise typer.BadParameter(
            f"{out} exists; choose another --out, or add --overwrite"
        )
    _write(file, out, category, pictures, model)


def _write(
    file: Path, out: Path, category: str, pictures: Path | None, model: str
) -> None:
    """Write and print the scheme of `file`, and draw it if its images are available."""
    from ..atomic import write_text
    from ..data.readers.coco_scheme import lists_keypoints, scheme_from_coco
    from ..data.readers.own_data import OwnData
    from ..labeling.own_scheme import (
        save_drawing,
        scheme_from_labels,
        with_annotated_norms,
        with_mean_shape,
    )
    from ..scheme_file.table import scheme_text
    from ..schemes import add_scheme

    own = OwnData(category=category, pictures=pictures, note=note)
    if lists_keypoints(file):
        made = scheme_from_coco(file, out.stem, category, note)
        faces = _read_faces(file, replace(own, scheme=add_scheme(made)))
    else:
        faces, made = scheme_from_labels(file, out.stem, note, own)
    if faces:
        made = with_annotated_norms(made, faces, note)
        made = with_mean_shape(made, faces, model, note)
    else:
        note(
            "no image was found, so there is no mean shape and no drawing; give the "
            "folder of the images with --pictures"
        )
    write_text(out, scheme_text(made))
    _show(made)
    show(f"{out}: scheme {made.name} of {len(made)} points")
    if faces:
        drawing = save_drawing(made, faces, out.with_suffix(".png"))
        show(f"drawing -> {drawing}")


def _read_faces(file: Path, own: "OwnData") -> "list[Sample]":
    """Return the faces in a COCO file whose image exists."""
    from ..data.readers.coco import read_coco
    from ..errors import DataError

    try:
        return [face for face in read_coco(file, own) if face.image.is_file()]
    except DataError as error:
        # a file with only categories is enough for a scheme
        note(str(error))
        return []


def _show(made: "Scheme") -> None:
    """Print each point with its mirror partner and part, and the norms."""
    parts: dict[int, str] = {}
    for part, points in made.parts.items():
        parts |= dict.fromkeys(points, part)
    rows = []
    for index, name in enumerate(made.points):
        partner = int(made.mirror[index])
        mirrored = "itself" if partner == index else f"{partner} {made.points[partner]}"
        rows.append([str(index), name, mirrored, parts.get(index, "-")])
    show_table(["point", "name", "mirror image of", "part"], rows)
    for rule, groups in made.norm_points.items():
        ends = [" ".join(made.points[i] for i in group) for group in groups]
        show(f"{rule} norm: from {ends[0]} to {ends[1]}")
    if not made.norm_points:
        note(
            "no point is named as an eye, so errors are divided by the size of the "
            "face's box"
        )
