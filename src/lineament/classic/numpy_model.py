"""Landmark models without a network: settings and arrays in a .safetensors file.

The settings are JSON in the header of the file, under the key METADATA_KEY, as in ONNX files.
"""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_path
from ..errors import ModelError, ShapeError
from ..estimator import CropLandmarks, ValidationLimits, check_no_memory
from ..schemes import load_stored_scheme, scheme_entries
from .shapes import Arrays

METADATA_KEY = "lineament"


class NumpyModel(ABC):
    """A LandmarkModel that consists of settings and arrays.

    A subclass sets `kind`, checks its arrays in `__init__`, and implements `predict_crops`.
    """

    kind: ClassVar[str]
    """Kind in the file, which selects the class."""

    def __init__(self, settings: dict[str, Any], arrays: Arrays) -> None:
        """Initialize the model from the content of a file.

        Args:
            settings: name, scheme, points N, size S of the crop in pixels, padding, and
                the settings of the subclass.
            arrays: Arrays by name.

        Raises:
            ModelError: If a setting is missing.
        """
        self.settings, self.arrays = settings, arrays
        self.validation_limits = ValidationLimits.read(settings)
        try:
            self.name: str = settings["name"]
            self.scheme: str = load_stored_scheme(settings)
            self.points: int = settings["points"]
            self.size: int = settings["size"]
            self.padding: float = settings["padding"]
        except KeyError as error:
            raise ModelError(
                f"a {self.kind} model lacks the setting {error}; save it again"
            ) from (error)

    @abstractmethod
    def predict_crops(self, crops: NDArray[np.uint8]) -> CropLandmarks:
        """Predict uint8 RGB crops (F, S, S, 3), F at least 1."""

    def count_rounds(self, crops: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the number of search rounds (F,) per crop; 0 for a model without a search."""
        return np.zeros(len(crops), np.intp)

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None
    ) -> CropLandmarks:
        """Predict uint8 RGB crops (F, S, S, 3).

        Raises:
            ShapeError: If a shape or type differs, or a memory is passed.
        """
        if crops.ndim != 4 or crops.shape[1:] != (self.size, self.size, 3):
            raise ShapeError(
                f"crops are {crops.shape}; expected (F, {self.size}, {self.size}, 3)"
            )
        check_no_memory(memory, self.name)
        if not len(crops):
            empty = np.zeros((0, self.points), np.float32)
            return CropLandmarks(
                np.zeros((0, self.points, 2), np.float32), empty, empty
            )
        return self.predict_crops(crops)

    __call__ = predict

    def save(self, path: Path) -> None:
        """Write the model to `path`, a .safetensors file, atomically."""
        from safetensors.numpy import save_file

        stated = self.settings | scheme_entries(self.scheme) | {"kind": self.kind}
        metadata = {METADATA_KEY: json.dumps(stated)}
        arrays = {
            name: np.ascontiguousarray(array) for name, array in self.arrays.items()
        }
        with atomic_path(path) as partial:
            save_file(arrays, str(partial), metadata)


def is_numpy_model(path: Path) -> bool:
    """Return True if the file at `path` is one that `NumpyModel.save` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_numpy_file(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Read the settings and arrays of a file that `NumpyModel.save` wrote.

    Raises:
        ModelError: If the file is missing or broken, or has unexpected tensors.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"no model file at {path}; expected a .safetensors file")
    try:
        with safe_open(str(path), framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: not a safetensors file ({error}); save it again"
        ) from error
    if METADATA_KEY not in header:
        raise ModelError(
            f"{path}: a safetensors file, but not a model saved by lineament; if it "
            "contains weights of a network, export them with lineament export"
        )
    return dict(json.loads(header[METADATA_KEY])), arrays
