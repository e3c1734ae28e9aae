"""Command `align`: write each face in an image as a crop aligned to a template."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, show
from .images import each_image
from .options import (
    Boxes,
    DetectorName,
    Device,
    Flip,
    ImagePaths,
    MinFace,
    MinPresence,
    ModelName,
    folder_path,
    make_predictor,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..analysis.align import Template
    from ..face import Faces
    from ..io.input_images import InputImage
    from .images import Save

TEMPLATE_FILE = '{"size": 112, "points": {"nose_tip": [x, y], ...}}'


@app.command()
def align(
    paths: ImagePaths,
    template: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Positions of the landmarks in the crop: arcface112, ffhq256, ffhq512, "
            f"ffhq1024, or a JSON file {TEMPLATE_FILE}.",
        ),
    ] = "arcface112",
    out: Annotated[
        Path, typer.Option(help="Folder for the crops.", callback=folder_path)
    ] = Path("aligned"),
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Side of the crops in pixels; default: the template's."
        ),
    ] = None,
    model: ModelName = "accurate",
    boxes: Boxes = None,
    detector: DetectorName = "default",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
) -> None:
    """Crop faces aligned to a template, one PNG per face."""
    from ..analysis.align import align as align_face
    from ..analysis.align import load_template

    is_file = template.endswith(".json")
    chosen = _read_template(Path(template)) if is_file else load_template(template)

    def each(
        image: "InputImage", pixels: "NDArray[np.uint8]", faces: "Faces", save: "Save"
    ) -> None:
        for number, face in enumerate(faces, 1):
            name = image.name if len(faces) == 1 else f"{image.name}_{number}"
            target = out / f"{name}.png"
            save(target, align_face(pixels, face, chosen, size)[0])
            show(f"{image.path}: face {number} -> {target}")
        if not faces:
            show(f"{image.path}: no face")

    predictor = partial(
        make_predictor, model, None, detector, flip, min_face, min_presence, device
    )
    each_image(paths, predictor, boxes, each, out, single_file=False)


def _read_template(path: Path) -> "Template":
    from ..analysis.align import Template
    from ..errors import InputError

    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        points = {
            str(name): (float(x), float(y)) for name, (x, y) in table["points"].items()
        }
        return Template(int(table["size"]), points=points)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not a template ({error}); expected JSON {TEMPLATE_FILE}"
        ) from error
