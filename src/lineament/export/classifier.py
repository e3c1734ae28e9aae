"""Classifiers have no file: they are trained to compare networks."""

from pathlib import Path
from typing import Any

from ..errors import InputError


def export_classifier(
    checkpoint: Path,
    out: Path,
    name: str,
    int8: bool,
    data_root: Path,
    cache: Path,
    about: dict[str, Any] | None = None,
    scheme_name: str = "",
) -> dict[str, Any]:
    """Raises: InputError: Always, since nothing would load such a file."""
    raise InputError(
        f"{checkpoint} is a classifier, which has no landmarks to export; give the checkpoint of "
        "a landmark model or a face detector"
    )
