"""Classifiers cannot be exported: they are only trained to compare networks."""

from typing import Any

from ..errors import InputError
from .request import ExportRequest


def export_classifier(request: ExportRequest) -> dict[str, Any]:
    """Refuse the export. Raises: InputError: Always, since nothing can load such a file."""
    raise InputError(
        f"{request.checkpoint} is a classifier, which has no landmarks to export; give the "
        "checkpoint of a landmark model or a face detector"
    )
