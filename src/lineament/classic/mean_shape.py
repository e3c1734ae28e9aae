"""Baseline model that predicts the mean shape in the crop."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError
from ..estimator import CropLandmarks
from ..geometry import apply_affine, crop_affine, landmark_box
from ..schemes import scheme
from .numpy_model import NumpyModel
from .shapes import Arrays
from .uncertainty import Uncertainty


class MeanShape(NumpyModel):
    """Predict the same landmarks in every crop.

    The crop of a face is centered on its box, so the mean shape is the best prediction
    that ignores the pixels.

    Arrays:
        landmarks_crop: (N, 2), pixels of the crop.
        variance: (N,), crop pixels squared.
    """

    kind = "mean-shape"

    def __init__(self, settings: dict[str, object], arrays: Arrays) -> None:
        """Check the arrays.

        Raises:
            ModelError: If one is missing or has a wrong shape.
        """
        super().__init__({"sigma_floor": 0.0} | settings, arrays)
        for name, shape in (
            ("landmarks_crop", (self.points, 2)),
            ("variance", (self.points,)),
        ):
            actual = arrays[name].shape if name in arrays else "absent"
            if actual != shape:
                raise ModelError(
                    f"the model {self.name!r}: {name} is {actual}; expected {shape}"
                )
        self.uncertainty = Uncertainty.read(self.settings)

    @classmethod
    def from_scheme(
        cls, name: str, scheme_name: str, size: int = 128, padding: float = 1.3
    ) -> "MeanShape":
        """Make a model from the mean shape of a scheme.

        Args:
            name: Name of the model.
            size: Side of the crop, pixels.
            padding: Side of the crop as a multiple of the longer side of the landmark box.

        Raises:
            ModelError: If the scheme has no mean shape.
        """
        shape = scheme(scheme_name).mean_shape
        if shape is None:
            raise ModelError(
                f"the scheme {scheme_name!r} has no mean shape; fit one to faces"
            )
        settings = {"name": name, "scheme": scheme_name, "points": len(shape)}
        affine = crop_affine(landmark_box(shape), size, padding)
        # default before fitting: a tenth of the box, the typical deviation from the mean shape
        variance = np.full(len(shape), (0.1 * size / padding) ** 2)
        arrays = {"landmarks_crop": apply_affine(affine, shape), "variance": variance}
        return cls(settings | {"size": size, "padding": padding}, arrays)

    @classmethod
    def fit(
        cls,
        name: str,
        scheme_name: str,
        landmarks_crop: ArrayLike,
        size: int,
        padding: float,
    ) -> "MeanShape":
        """Make a model from the mean of annotated faces.

        Args:
            landmarks_crop: (M, N, 2), pixels of plain crops of `size` and `padding`;
                nan where not annotated.
        """
        landmarks = np.asarray(landmarks_crop, dtype=np.float64)
        mean = np.nanmean(landmarks, axis=0)
        errors = np.linalg.norm(landmarks - mean, axis=-1)  # (M, N)
        settings = {"name": name, "scheme": scheme_name, "points": len(mean)}
        arrays = {
            "landmarks_crop": mean,
            "variance": np.nanmean(errors**2, axis=0) / 2,  # per coordinate
        }
        return cls(settings | {"size": size, "padding": padding}, arrays)

    def predict_crops(self, crops: NDArray[np.uint8]) -> CropLandmarks:
        """Return the mean shape for each crop."""
        repeated = []
        for name in ("landmarks_crop", "variance"):
            array = self.arrays[name][None].astype(np.float64)
            repeated.append(np.repeat(array, len(crops), axis=0))
        return self.uncertainty(*repeated)
