"""Classifiers have no file: they are trained to compare networks."""

from typing import Any

from ..errors import InputError
from .request import ExportRequest


def export_classifier(request: ExportRequest) -> dict[str, Any]:
    """Raises: InputError: Always, since nothing would load such a file."""
    raise InputError(
        f"{request.checkpoint} is a classifier, which has no landmarks to export; give the "
        "checkpoint of a landmark model or a face detector"
    )
