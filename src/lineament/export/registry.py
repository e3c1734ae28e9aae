"""Exporters by the kind of trained model. Depends on torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
"""By the kind of file that models/registry.py gives for a kind of model."""


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
    """Write the file of a model and its card into `out` by the exporter of its kind.

    Args:
        checkpoint: A run's checkpoint.
        out: Folder of the file and its card.
        name: Of both, without suffix: letters, digits, dots, + and -.
        int8: Quantize; refused by models without int8.
        data_root: Folder of the data sets of the checkpoint's recipe.
        cache: Folder of crops.
        about: Further entries of the card: data, license, limits.
        scheme_name: For a model of a joined scheme: export the points of this one alone.

    Returns:
        The card.

    Raises:
        ExportError: If the file differs from the trained network by more than stated bounds;
            then nothing is written.
        InputError: If `name` cannot be the name of a file, or the model has no int8 or no such
            points.
        ModelError: If `checkpoint` is no checkpoint.
    """
    request = ExportRequest(
        checkpoint, out, name, int8, data_root, cache, about or {}, scheme_name
    )
    if checkpoint.suffix == ".safetensors":
        return export_classic(request)
    file = KINDS[read_trained(checkpoint)[1].kind].file
    return EXPORTERS[file](request)
