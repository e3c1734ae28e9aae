"""Exporters by the kind of trained model. Depends on torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..classic.numpy_model import is_numpy_model
from ..models.registry import KINDS
from ..training.build import read_trained
from .classic import export_classic
from .classifier import export_classifier
from .detector import export_detector
from .dpm_cnn import export_dpm_cnn
from .export import export_checkpoint
from .mtcnn import export_mtcnn
from .request import ExportRequest

Exporter = Callable[[ExportRequest], dict[str, Any]]
"""Writes a file and its card; returns the card."""
EXPORTERS: dict[str, Exporter] = {
    "landmarks": export_checkpoint,
    "detector": export_detector,
    "mtcnn": export_mtcnn,
    "classifier": export_classifier,
    "dpm-cnn": export_dpm_cnn,
}
"""Exporters by the kind of file in models/registry.py."""


def export_trained(
    checkpoint: Path,
    out: Path,
    name: str,
    int8: bool,
    data_root: Path,
    cache: Path,
    about: dict[str, Any] | None = None,
    scheme_name: str = "",
) -> dict[str, Any]:
    """Export a model with the exporter of its kind: write the file and its card into `out`.

    Args:
        checkpoint: A run's checkpoint, or a network's averaged weights as in teachers/.
        out: Folder of the file and its card.
        name: Name of both, without suffix: letters, digits, dots, + and -.
        int8: Quantize; an error for models that do not support int8.
        data_root: Folder of the data sets of the checkpoint's recipe.
        cache: Folder of cached crops.
        about: Additional entries of the card: data, license, limits.
        scheme_name: For a model of a joined scheme: export only the points of this one.

    Returns:
        The card.

    Raises:
        ExportError: If the file differs from the trained network by more than the bounds; nothing
            is written.
        InputError: If `name` is not a valid file name, or the model does not support int8 or
            lacks the points of the scheme.
        ModelError: If `checkpoint` is not a checkpoint.
    """
    request = ExportRequest(
        checkpoint, out, name, int8, data_root, cache, about or {}, scheme_name
    )
    if is_numpy_model(checkpoint):
        return export_classic(request)
    file = KINDS[read_trained(checkpoint)[1].kind].file
    return EXPORTERS[file](request)
