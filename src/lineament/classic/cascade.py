"""Cascaded shape regression: S_{t+1} = S_t + r_t(features of the image at S_t).

Source: Dollar, Welinder, Perona 2010. Stages are forests of ferns or trees, or ridge on HOG.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..estimator import CropLandmarks
from .forest import ForestStage
from .hog import RidgeStage
from .numpy_model import NumpyModel
from .pyramid import gray_crops
from .shapes import Arrays, Shapes, fit_rotation_and_scale, from_complex, to_complex
from .uncertainty import Uncertainty


class Stage(Protocol):
    """One regressor of the cascade."""

    def update(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.intp],
        shapes: Shapes,
        mean: Shapes,
    ) -> Shapes:
        """Return the update (n, N) of shapes (n, N) in the frame of the mean shape.

        Args:
            images: Gray crops, (F, S, S).
            rows: (n,), index of the crop of each shape.
            mean: Mean shape, (N,).
        """


STAGES: dict[str, type[ForestStage] | type[RidgeStage]] = {
    "ferns": ForestStage,
    "trees": ForestStage,
    "ridge": RidgeStage,
}
"""Stage by the setting `regressor`."""


class Cascade(NumpyModel):
    """Start from several shapes, refine each one stage by stage, and return their median.

    Arrays:
        mean: (N, 2), the mean shape in the crop, pixels.
        starts: (M, N, 2), initial shapes, pixels of the crop.
        t.*: Arrays of stage t, counted from 0.
    """

    kind = "cascade"

    def __init__(self, settings: dict[str, Any], arrays: Arrays) -> None:
        """Unpack the arrays.

        Raises:
            ModelError: If one is missing.
        """
        super().__init__(settings, arrays)
        self.stages: list[Stage] = []
        try:
            self.mean = to_complex(arrays["mean"])
            self.starts = to_complex(arrays["starts"])
            stage = STAGES[settings["regressor"]]
            for number in range(settings["stages"]):
                stage_arrays = {
                    name: arrays[f"{number}.{name}"] for name in stage.names
                }
                self.stages.append(stage(stage_arrays))
        except KeyError as error:
            raise ModelError(
                f"the cascade {self.name!r} lacks {error}; train it again"
            ) from error
        self.uncertainty = Uncertainty.read(self.settings)

    def with_stage(self, stage_arrays: Arrays) -> "Cascade":
        """Return the cascade with an additional stage built from `stage_arrays`."""
        count = self.settings["stages"]
        named = {f"{count}.{name}": array for name, array in stage_arrays.items()}
        settings = self.settings | {"stages": count + 1}
        return Cascade(settings, self.arrays | named)

    def count_rounds(self, crops: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the number of stages for each crop, (F,)."""
        return np.full(len(crops), len(self.stages), np.intp)

    def predict_crops(self, crops: NDArray[np.uint8]) -> CropLandmarks:
        """Return the median over the initial shapes; sigma grows with the spread of results."""
        images, count = gray_crops(crops), len(self.starts)
        rows = np.repeat(np.arange(len(crops)), count)
        shapes = np.tile(self.starts, (len(crops), 1))
        for stage in self.stages:
            shapes = advance(stage, images, rows, shapes, self.mean)
        predictions = from_complex(shapes).reshape(len(crops), count, self.points, 2)
        landmarks = np.median(predictions, axis=1)
        return self.uncertainty(landmarks, predictions.var(axis=1).mean(-1))


def advance(
    stage: Stage,
    images: NDArray[np.uint8],
    rows: NDArray[np.intp],
    shapes: Shapes,
    mean: Shapes,
) -> Shapes:
    """Return shapes (n, N) after a stage."""
    factors = fit_rotation_and_scale(shapes, mean)
    return np.asarray(
        shapes + stage.update(images, rows, shapes, mean) / factors[:, None]
    )
