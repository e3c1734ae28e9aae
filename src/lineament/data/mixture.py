"""Reading one part of a training mixture, its points brought to the scheme of the model."""

from pathlib import Path

from .pts import read_pts_folder
from .sample import Sample
from .w300 import read_300w


def read_part(reader: str, root: Path, part: str, scheme_name: str) -> list[Sample]:
    """The faces of `part` of the data set called `reader` below the data root, in `scheme_name`."""
    if reader == "300w":
        return read_300w(root / "300w", part)
    if reader == "infanface":
        return read_pts_folder(root / "infanface", "ibug68", "train")
    return read_pts_folder(root / "ytf_pseudo68", "ibug68", "training")
