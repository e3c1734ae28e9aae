"""Loaders by kind of model file."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ..classic.active_appearance import ActiveAppearance
from ..classic.active_shape import ActiveShape
from ..classic.cascade import Cascade
from ..classic.mean_shape import MeanShape
from ..classic.numpy_model import NumpyModel, read_numpy_file
from ..errors import ModelError, did_you_mean
from ..estimator import LandmarkModel
from .device import CPU, check_device
from .foreign_model import ForeignModel
from .model_files import DETECTOR, find_model
from .mtcnn_model import KIND, MtcnnModel
from .onnx_model import Model, open_session, session_metadata

NUMPY_MODELS: dict[str, type[NumpyModel]] = {
    "active-appearance": ActiveAppearance,
    "active-shape": ActiveShape,
    "cascade": Cascade,
    "mean-shape": MeanShape,
}
"""Models without a network, by the kind in their file; classic/ has one module per
kind."""


def load_numpy_model(path: Path) -> NumpyModel:
    """Load a .safetensors file.

    Raises:
        ModelError: If the file is missing, broken, or of an unknown kind.
    """
    settings, arrays = read_numpy_file(path)
    kind = str(settings.get("kind"))
    if kind not in NUMPY_MODELS:
        hint = did_you_mean(kind, NUMPY_MODELS)
        raise ModelError(f"{path}: unknown kind of model {kind!r}; {hint}")
    return NUMPY_MODELS[kind](settings, arrays)


ONNX_MODELS: dict[str, Callable[[Path, int, int, Any], LandmarkModel]] = {
    KIND: MtcnnModel,
}
"""Models with several networks, by the kind in their file; all others are a Model."""


def load_onnx_model(
    path: Path, threads: int, workers: int, device: str = CPU
) -> LandmarkModel:
    """Load an .onnx file.

    Raises:
        ModelError: If the file is missing, unsupported or not a landmark model.
    """
    session = open_session(path, threads, device)
    kind = str(session_metadata(session).get("kind"))
    return ONNX_MODELS.get(kind, Model)(path, threads, workers, session)


Loader = Callable[[Path, int, int, str], LandmarkModel]
LOADERS: dict[str, Loader] = {
    ".onnx": load_onnx_model,
    ".safetensors": lambda path, threads, workers, device: load_numpy_model(path),
    ".toml": lambda path, threads, workers, device: ForeignModel(path, threads, device),
}
"""Loaders by file suffix: path, threads, workers and device -> landmark model."""


def load_model(
    name: str | Path, threads: int = 0, workers: int = 1, device: str = CPU
) -> LandmarkModel:
    """Load a landmark model; calls with the same file and options share one object.

    Args:
        name: Name of a packaged model, or the path of an .onnx or .safetensors file, or
            of a .toml file that describes a third-party .onnx file.
        threads: Threads of ONNX Runtime; 0: its default.
        workers: Parts of a batch to run in parallel, with `threads` each; 0: one per core.
        device: Device of ONNX Runtime, as in Predictor; models without a network run on
            the CPU.

    Raises:
        ModelError: If there is no such model or device, or the file cannot be used.
    """
    if str(name) == DETECTOR:
        raise ModelError(
            f"{DETECTOR!r} is the face detector and finds no landmarks; choose accurate or fast"
        )
    # links are not followed: in the Hub's cache their targets have neither suffix nor card
    path = find_model(str(name)).absolute()
    return _load(path, threads, workers, check_device(device))


@cache
def _load(path: Path, threads: int, workers: int, device: str) -> LandmarkModel:
    return LOADERS[path.suffix](path, threads, workers, device)
