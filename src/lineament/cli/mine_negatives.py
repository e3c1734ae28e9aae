"""Command `mine-negatives`: mine false positives in photos without faces, to train on."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, progress_bar
from .options import Cache, Data

if TYPE_CHECKING:
    from ..geometry import Image
    from ..inference.detections import Detections


@app.command()
def mine_negatives(
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSON file to write; default: hard-negatives.json in the cache."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help=(
                "Keep only boxes that this model mistakes for faces; it must predict "
                "presence."
            ),
            metavar="NAME|FILE",
        ),
    ] = None,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Mine hard negatives from photos without faces.

    These are the boxes that the face detector proposes at a low threshold in the data
    folder's photos of objects, pets and background. To train on them, set
    presence.hard_negatives in a recipe to this file.
    """
    from ..data.sample import cache_root, data_root
    from ..inference.face_detector import FaceDetector
    from ..inference.predictor import Predictor
    from ..labeling.hard_negatives import (
        MIN_PRESENCE,
        MIN_SCORE,
        faces_by_presence,
        write_hard_negatives,
    )

    path = out or cache_root(cache) / "hard-negatives.json"
    detect: Callable[[Image], Detections] = FaceDetector(threshold=MIN_SCORE)
    if model is not None:
        predictor = Predictor(model, detector=detect, min_presence=MIN_PRESENCE)
        detect = faces_by_presence(predictor)
    with progress_bar("photos", None) as step:
        boxes, photos = write_hard_negatives(detect, data_root(data), path, step=step)
    note(f"{boxes} boxes in {photos} photos -> {path}")
