"""Classifiers cannot be exported: they are only trained to compare networks."""

from typing import Any

from ..errors import InputError
from .request import ExportRequest


def export_classifier(request: ExportRequest) -> dict[str, Any]:
    """Raise an error: a classifier is not exported, because nothing can load it.

    Raises:
        InputError: Always.
    """
    raise InputError(
        f"{request.checkpoint} is a classifier, which has no landmarks to export; give the "
        "checkpoint of a landmark model or a face detector"
    )
