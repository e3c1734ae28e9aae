"""Command `label`: write pseudo-labels for unlabeled images and videos, to train on."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app, note, progress_bar, report_failures
from .options import (
    Device,
    Flip,
    MinFace,
    MinPresence,
    ModelName,
    device_option,
    presence_limits,
)


@app.command()
def label(
    paths: Annotated[
        list[str],
        typer.Argument(help="Images, videos, or folders of them.", metavar="PATH"),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the crops and their .pts files.")
    ],
    model: ModelName = "accurate",
    min_face: MinFace = None,
    min_presence: MinPresence = None,
    flip: Flip = False,
    device: Device = "cpu",
    every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Label every N-th frame of a video.")
    ] = 10,
) -> None:
    """Label the faces in images and videos with a model, for training.

    Each confident face becomes a crop and a .pts file, which a recipe reads with
    `reader = "folder"`. Landmarks with low confidence, or probably not visible, are nan
    and ignored in training. Check on validation faces that training on the labels helps.
    """
    from ..errors import InputError
    from ..inference.predictor import Predictor
    from ..io.input_images import FailedInput
    from ..labeling.pseudo_labels import LabelThresholds, find_media, write_labels

    limits = presence_limits(min_presence) | device_option(device)
    files = find_media(paths)
    predictor = Predictor(model, flip=flip, min_face=min_face, **limits)
    thresholds = LabelThresholds()
    failures, count = [], 0
    with progress_bar("files", len(files)) as step:
        for path, place in files.items():
            try:
                count += write_labels(predictor, path, out / place, thresholds, every)
            except InputError as error:
                failures.append(FailedInput(str(path), str(error)))
            step()
    note(f"{count} faces in {len(files)} files -> {out}")
    report_failures(failures, len(files))
