"""The contract between crops and landmarks: what `Predictor` asks of a model, and what it answers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .geometry import Array


@dataclass(frozen=True, eq=False)
class CropLandmarks:
    """What a landmark model says of F crops."""

    landmarks_crop: NDArray[np.float32]
    """(F, N, 2), pixels of the crop."""
    scores: NDArray[np.float32]
    """(F, N) in [0, 1]."""
    sigma_px: NDArray[np.float32]
    """(F, N), pixels of the crop."""
    memory: NDArray[np.float32] | None = None
    """(F, 2, W, L): what the faces' next frames are to be seen with; None: the model remembers nothing."""


class LandmarkModel(Protocol):
    """What Predictor asks of a model, ONNX or torch: crops -> CropLandmarks, and how crops are cut for it."""

    name: str
    scheme: str
    size: int
    padding: float
    points: int

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None, /
    ) -> CropLandmarks:
        """CropLandmarks of uint8 RGB `crops` (F, S, S, 3).    memory: is given only to a model whose CropLandmarks hold one."""


@dataclass(frozen=True)
class CropRequest:
    """One face to look at: in which image, where, and how far it is turned."""

    image: int
    box: Array
    roll_deg: float
