"""candidates: writes what the face detector takes for faces in photos without one."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app, note, progress_bar
from .options import Cache, Data


@app.command()
def candidates(
    out: Annotated[
        Path | None,
        typer.Option(help="The JSON file; default: candidates.json in the cache."),
    ] = None,
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Write the boxes that the face detector proposes in photos without a face.

    They come from a low threshold, on the photos of objects, pets and background in the data
    folder. A recipe that names the file as presence.candidates trains on them.
    """
    from ..data.sample import cache_root, data_root
    from ..inference.face_detector import FaceDetector
    from ..labeling.candidates import MIN_SCORE, write_candidates

    path = out or cache_root(cache) / "candidates.json"
    detector = FaceDetector(threshold=MIN_SCORE)
    with progress_bar("photos", None) as step:
        boxes, photos = write_candidates(detector, data_root(data), path, step=step)
    note(f"{boxes} boxes in {photos} photos -> {path}")
