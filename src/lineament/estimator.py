"""Interface of the models that `Predictor` runs: crops in, landmarks out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import ShapeError
from .geometry import Array


@dataclass(frozen=True, eq=False)
class CropLandmarks:
    """The landmarks of F crops."""

    landmarks_crop: NDArray[np.float32]
    """Landmarks, (F, N, 2), pixels of the crop."""
    scores: NDArray[np.float32]
    """Landmark scores, (F, N), in [0, 1]."""
    sigma_px: NDArray[np.float32]
    """Uncertainty of each landmark, (F, N), pixels of the crop."""
    memory: NDArray[np.float32] | None = None
    """Recurrent state, (F, 2, W, L), to be passed with the faces' next frames; None: the model
    is not recurrent."""
    presence: NDArray[np.float32] | None = None
    """Probability that each crop shows a face, (F,), in [0, 1]; None: not predicted."""
    visible: NDArray[np.float32] | None = None
    """Probability that each landmark is visible, (F, N), in [0, 1]; None: not predicted."""
    attributes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Probability that an attribute such as "smiling" is true, (F,), in [0, 1], by name."""


@dataclass(frozen=True)
class ValidationLimits:
    """Limits within which a model's results on validation faces lie.

    Results within them are no reason to re-crop or to drop a face.
    """

    low_score: float = 1.0
    """5 % quantile of the mean score of a face."""
    box_error: float = 0.0
    """95 % quantile of the box error: the difference between the box of the crop and the
    tight box of the landmarks found in it."""

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "ValidationLimits":
        """Return the limits in a model file's settings; the default for absent ones."""
        stated = {name: settings[name] for name in asdict(cls()) if name in settings}
        return cls(**stated)

    @classmethod
    def of(cls, model: object) -> "ValidationLimits":
        """Return the limits of a model, the default for one that has none, or for None."""
        found = getattr(model, "validation_limits", None)
        return cls() if found is None else found

    def as_dict(self) -> dict[str, float]:
        """Return the entries of the file and its card."""
        return asdict(self)


class LandmarkModel(Protocol):
    """A model that Predictor can run: ONNX, NumPy or torch."""

    name: str
    scheme: str
    size: int
    """Side of the crop, pixels."""
    padding: float
    """Side of the crop as a multiple of the longer side of the landmark box."""
    points: int

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None, /
    ) -> CropLandmarks:
        """Predict the landmarks of uint8 RGB crops (F, S, S, 3).

        Args:
            memory: Recurrent state from the previous frames; only for models that return one.
        """


def check_crops(crops: NDArray[np.uint8], size: int) -> None:
    """Check that `crops` are uint8 RGB (F, S, S, 3) with side `size`.

    Raises:
        ShapeError: If the shape or type differs.
    """
    expected = (size, size, 3)
    if crops.ndim != 4 or crops.shape[1:] != expected or crops.dtype != np.uint8:
        raise ShapeError(
            f"crops are {crops.dtype} {crops.shape}; "
            f"expected uint8 (F, {', '.join(map(str, expected))})"
        )


def check_no_memory(memory: NDArray[np.float32] | None, name: str) -> None:
    """Check that no recurrent state is passed to the model `name`, which does not use one.

    Raises:
        ShapeError: If one is passed.
    """
    if memory is not None:
        raise ShapeError(
            f"a recurrent state is given, but the model {name!r} is not recurrent; omit it"
        )


@dataclass(frozen=True)
class CropRequest:
    """One face to crop: its image, its box, and its roll."""

    image: int
    box: Array
    roll_deg: float
    is_roll_known: bool = False
    """True if a detector determined the roll; False if the face may have another roll."""
