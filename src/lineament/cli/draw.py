"""Command `draw`: draw faces and landmarks on copies of images."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, show
from .images import each_image, names_file
from .options import (
    Boxes,
    DetectorName,
    Device,
    Flip,
    ImagePaths,
    MinFace,
    MinPresence,
    ModelName,
    Occluded,
    SchemeName,
    make_predictor,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..face import Faces
    from ..io.input_images import InputImage
    from .images import Save


@app.command()
def draw(
    paths: ImagePaths,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the drawn images; for a single image, a folder or a file."
        ),
    ],
    model: ModelName = "accurate",
    scheme: SchemeName = None,
    boxes: Boxes = None,
    detector: DetectorName = "default",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
    sigmas: Annotated[
        bool,
        typer.Option("--sigmas", help="Draw a circle of 2 sigma around each landmark."),
    ] = False,
    edges: Annotated[
        bool, typer.Option(help="Draw the lines between landmarks.")
    ] = True,
    occluded: Occluded = True,
    labels: Annotated[
        bool, typer.Option(help="Write the detector's score next to each box.")
    ] = True,
    scale: Annotated[
        float, typer.Option(min=0.1, max=100, help="Scale of lines, dots and text.")
    ] = 1.0,
) -> None:
    """Draw faces and their landmarks on copies of images."""
    from ..analysis.draw import draw_faces

    is_file = names_file(out)

    def each(
        image: "InputImage", pixels: "NDArray[np.uint8]", faces: "Faces", save: "Save"
    ) -> None:
        target = out if is_file else out / f"{image.name}.jpg"
        drawn = draw_faces(
            pixels,
            faces,
            edges=edges,
            labels=labels,
            sigmas=sigmas,
            occluded=occluded,
            scale=scale,
        )
        save(target, drawn)
        show(
            f"{image.path}: {len(faces)} {'face' if len(faces) == 1 else 'faces'} -> {target}"
        )

    predictor = partial(
        make_predictor, model, scheme, detector, flip, min_face, min_presence, device
    )
    each_image(paths, predictor, boxes, each, out, single_file=is_file)
