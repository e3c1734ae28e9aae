"""The kinds of models without a network, and how their files are loaded.

To add one: a subclass of NumpyModel in a file of this folder, and one entry here.
"""

from pathlib import Path

from ..errors import ModelError, did_you_mean
from .mean_shape import MeanShape
from .numpy_model import NumpyModel, read_numpy_file

NUMPY_MODELS: dict[str, type[NumpyModel]] = {"mean-shape": MeanShape}


def load_numpy_model(path: Path) -> NumpyModel:
    """Load a .safetensors file by the kind that it states.

    Raises:
        ModelError: If the file is missing, broken, or of an unknown kind.
    """
    settings, arrays = read_numpy_file(path)
    kind = str(settings.get("kind"))
    if kind not in NUMPY_MODELS:
        raise ModelError(f"{path}: a {kind} model; {did_you_mean(kind, NUMPY_MODELS)}")
    return NUMPY_MODELS[kind](settings, arrays)
