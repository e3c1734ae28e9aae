"""draw, align: pictures -> pictures, with the landmarks drawn or the faces cut out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, progress_bar, show
from .detect import Boxes, ModelName, Paths, SchemeName, known_boxes, list_failures, make_predictor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..analysis.align import Template
    from ..face import Faces
    from ..io.result_folder import Job

    Save = Callable[[Path, NDArray[np.uint8]], None]
    Each = Callable[[Job, NDArray[np.uint8], Faces, Save], None]

TEMPLATE_HELP = 'arcface112, ffhq256, ffhq512, ffhq1024, or a JSON file {"size": 112, "points": {name: [x, y]}}.'


@app.command()
def draw(
    paths: Paths,
    out: Annotated[
        Path, typer.Option(help="A folder for the drawn pictures, or the file for a single one.")
    ],
    model: ModelName = "accurate",
    scheme: SchemeName = None,
    boxes: Boxes = None,
    sigmas: Annotated[
        bool, typer.Option("--sigmas", help="Draw the circle of 2 sigma_px around each point.")
    ] = False,
    edges: Annotated[bool, typer.Option(help="Draw the lines between the points.")] = True,
    labels: Annotated[bool, typer.Option(help="Write the detector's score at each box.")] = True,
    size: Annotated[
        float, typer.Option(min=0.1, max=100, help="A factor on lines, dots and letters.")
    ] = 1.0,
) -> None:
    """Draw the landmarks of pictures on them."""
    from ..analysis.draw import draw_faces

    def each(job: "Job", picture: "NDArray[np.uint8]", faces: "Faces", save: "Save") -> None:
        target = out if out.suffix else out / f"{job.name}.jpg"
        save(
            target, draw_faces(picture, faces, sigmas=sigmas, edges=edges, labels=labels, size=size)
        )
        show(f"{job.image}: {len(faces)} {'face' if len(faces) == 1 else 'faces'} -> {target}")

    _each_picture(paths, model, scheme, boxes, each, out)


@app.command()
def align(
    paths: Paths,
    template: Annotated[
        str,
        typer.Option(
            help='arcface112, ffhq256, ffhq512, ffhq1024, or a JSON file {"size", "points": {name: [x, y]}}.'
        ),
    ] = "arcface112",
    out: Annotated[Path, typer.Option(help="A folder for the crops.")] = Path("aligned"),
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of the crops; the template's own by default.")
    ] = None,
    model: ModelName = "accurate",
    boxes: Boxes = None,
) -> None:
    """Cut the faces of pictures out in a canonical pose, one PNG a face."""
    from ..analysis.align import align as cut_out
    from ..analysis.align import load_template

    chosen = (
        _read_template(Path(template)) if template.endswith(".json") else load_template(template)
    )

    def each(job: "Job", picture: "NDArray[np.uint8]", faces: "Faces", save: "Save") -> None:
        for number, face in enumerate(faces, 1):
            target = out / (f"{job.name}.png" if len(faces) == 1 else f"{job.name}_{number}.png")
            save(target, cut_out(picture, face, chosen, size)[0])
            show(f"{job.image}: face {number} -> {target}")
        if not faces:
            show(f"{job.image}: no face")

    _each_picture(paths, model, None, boxes, each, out, several=True)


def _read_template(path: Path) -> "Template":
    from ..analysis.align import Template
    from ..errors import InputError

    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        points = {str(name): (float(x), float(y)) for name, (x, y) in table["points"].items()}
        return Template(int(table["size"]), points=points)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: not a template ({error}); wanted JSON {{"size": 112, "points": {{"nose_tip": [x, y], ...}}}}'
        ) from error


def _each_picture(
    paths: list[str],
    model: str,
    scheme: str | None,
    boxes: Any,
    each: "Each",
    out: Path,
    several: bool = False,
) -> None:
    """Calls `each` with every picture and its faces, and lists those that failed.

    several: `out` is a folder whatever it is called.
    """
    from ..analysis.draw import save_image
    from ..errors import DataError, InputError
    from ..io.result_folder import Failure, find_jobs, predict_jobs

    jobs, failures = find_jobs(paths, out)
    given = {job.image.resolve() for job in jobs}

    def save(target: Path, image: "NDArray[np.uint8]") -> None:
        if target.resolve() in given:
            raise DataError(
                f"{target} is one of the pictures, and would be written over; choose another --out"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        save_image(target, image)

    total = len(jobs) + len(failures)
    if out.suffix and not several and total > 1:
        raise typer.BadParameter(f"--out {out} is one file for {total} pictures; give a folder")
    known = known_boxes(boxes, jobs)
    predictor = make_predictor(model, scheme) if jobs else None
    with progress_bar("pictures", len(jobs)) as step:
        for job, picture, faces in predict_jobs(predictor, jobs, known) if predictor else ():
            if isinstance(faces, InputError):
                failures.append(Failure(str(job.image), str(faces)))
            elif picture is not None:
                try:
                    each(job, picture, faces, save)
                except (InputError, OSError) as error:
                    failures.append(Failure(str(job.image), str(error)))
            step()
    list_failures(failures, total)
