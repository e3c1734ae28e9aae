"""The models by name, and the loader of each kind of file."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..classic.registry import load_numpy_model
from ..errors import ModelError, did_you_mean
from ..estimator import LandmarkModel
from .model_card import read_card
from .onnx_model import Model

DETECTOR = "detector"
"""Name of the package's face detector, which no landmark model has."""
Loader = Callable[[Path, int, int], LandmarkModel]
LOADERS: dict[str, Loader] = {
    ".onnx": Model,
    ".safetensors": lambda path, threads, workers: load_numpy_model(path),
}
"""File, threads and workers -> landmark model, by the suffix of the file."""


def load_model(name: str | Path, threads: int = 0, workers: int = 1) -> LandmarkModel:
    """Load a landmark model; the same object for the same file, threads and workers.

    Args:
        name: Of a model that comes with the package, or the path of an .onnx or .safetensors file.
        threads: Of ONNX Runtime; 0 leaves it the choice.
        workers: Shares of a call's crops that run in parallel; 0: one per core.

    Raises:
        ModelError: If there is no such model.
    """
    if str(name) == DETECTOR:
        raise ModelError(
            f"{DETECTOR!r} is the face detector and finds no landmarks; choose accurate or fast"
        )
    return _load(find_model(str(name)).resolve(), threads, workers)


@cache
def _load(path: Path, threads: int, workers: int) -> LandmarkModel:
    return LOADERS[path.suffix](path, threads, workers)


def find_model(name: str) -> Path:
    """Return the file of a model that comes with the package, or the path that `name` is.

    Raises:
        ModelError: If it is neither.
    """
    path = Path(name)
    if path.suffix in LOADERS:
        return path
    known = sorted(path.stem for path in weights_folder().glob("*.onnx"))
    if name in known:
        return weights_folder() / f"{name}.onnx"
    landmark_models = [other for other in known if other != DETECTOR]
    raise ModelError(
        f"no model is called {name!r}; {did_you_mean(name, landmark_models)}, or give the path of "
        "an .onnx file"
    )


def list_models() -> list[dict[str, Any]]:
    """Return the cards of the models that come with the package, by name."""
    return [read_card(path) for path in sorted(weights_folder().glob("*.onnx"))]


def weights_folder() -> Path:
    """Return the folder of the models that come with the package."""
    return Path(str(files("lineament").joinpath("weights")))
