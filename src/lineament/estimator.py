"""The contract between crops and landmarks: the models that `Predictor` runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import ShapeError
from .geometry import Array


@dataclass(frozen=True, eq=False)
class CropLandmarks:
    """The landmarks of F crops."""

    landmarks_crop: NDArray[np.float32]
    """(F, N, 2), pixels of the crop."""
    scores: NDArray[np.float32]
    """(F, N) in [0, 1]."""
    sigma_px: NDArray[np.float32]
    """(F, N), pixels of the crop."""
    memory: NDArray[np.float32] | None = None
    """(F, 2, W, L): to be given with the faces' next frames; None: the model keeps
    none."""
    presence: NDArray[np.float32] | None = None
    """(F,) in [0, 1]: probability that the crop shows a face; None: not predicted."""
    visible: NDArray[np.float32] | None = None
    """(F, N) in [0, 1]: probability that a landmark can be seen; None: not predicted."""
    attributes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """(F,) in [0, 1] by name: probability that an attribute such as "smiling" is true."""


class LandmarkModel(Protocol):
    """A model that Predictor runs: ONNX, NumPy or torch."""

    name: str
    scheme: str
    size: int
    """Side of the crop, pixels."""
    padding: float
    """Side of the crop in longer sides of the landmark box."""
    points: int

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None, /
    ) -> CropLandmarks:
        """Predict uint8 RGB crops (F, S, S, 3).

        Args:
            memory: Given only to a model whose CropLandmarks hold one.
        """


def check_crops(crops: NDArray[np.uint8], size: int) -> None:
    """Refuse what are not uint8 RGB crops (F, S, S, 3) of side `size`.

    Raises:
        ShapeError: If a shape or type differs.
    """
    wanted = (size, size, 3)
    if crops.ndim != 4 or crops.shape[1:] != wanted or crops.dtype != np.uint8:
        raise ShapeError(
            f"crops are {crops.dtype} {crops.shape}; "
            f"wanted uint8 (F, {', '.join(map(str, wanted))})"
        )


def check_no_memory(memory: NDArray[np.float32] | None, name: str) -> None:
    """Refuse a memory that is given to the model `name`, which keeps none.

    Raises:
        ShapeError: If one is given.
    """
    if memory is not None:
        raise ShapeError(f"a memory is given, but the model {name!r} has none; omit it")


@dataclass(frozen=True)
class CropRequest:
    """One face to crop: its image, its box, and its roll."""

    image: int
    box: Array
    roll_deg: float
    is_roll_known: bool = False
    """True if a detector found the roll, False if the face may be turned otherwise."""
