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
    folder_path,
    presence_limits,
)


@app.command()
def label(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Images, videos, or folders of images and videos.", metavar="PATH"
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the crops and their .pts files.", callback=folder_path
        ),
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
    """Write pseudo-labels for the faces in images and videos.

    Each face that the model is confident about becomes a crop and a .pts file; recipes read
    them with `reader = "folder"`. Landmarks that are uncertain or probably not visible are
    nan, and training ignores them. Check on validation faces that these labels help.
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
