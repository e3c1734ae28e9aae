"""Export gate: a file is written only if its predictions match those of torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.crop_cache import CropCache, plain_crops, plain_landmarks
from ..data.training_crops import Source
from ..errors import DataError, ExportError
from ..estimator import CropLandmarks, LandmarkModel
from ..geometry import Array
from ..inference.onnx_model import Model
from ..models.export_form import ExportForm
from ..recipe import Recipe
from ..training.validate import has_norm_points, interocular_nme

NME_CHANGE = 0.01
"""Largest relative change of the validation NME."""
MOVE_FP32 = 0.05
"""Largest distance of any landmark between torch and fp32 ONNX, in pixels of the crop."""
MOVE_INT8 = 0.5
"""Largest median distance of landmarks between torch and int8 ONNX, in pixels of the crop."""


@dataclass(frozen=True)
class Gate:
    """Differences between an exported file and torch on the validation faces."""

    largest_move_px: float
    median_move_px: float
    nme_torch: float
    nme_onnx: float

    def as_dict(self) -> dict[str, float]:
        """Return the entries of a card."""
        return {
            "largest_move_px": round(self.largest_move_px, 4),
            "median_move_px": round(self.median_move_px, 4),
            "validation_nme_torch": round(self.nme_torch, 6),
            "validation_nme_onnx": round(self.nme_onnx, 6),
        }

    def check(self, int8: bool, rounding_px: float = 0.0) -> None:
        """Raise an error if landmarks or NME change by more than the bounds.

        Args:
            int8: True if the file is quantized: the median distance is checked, not the largest.
            rounding_px: Crop pixels along an axis by which rounding alone may move a landmark.

        Raises:
            ExportError: If a bound is exceeded, or a number is nan.
        """
        move, bound, which = self.largest_move_px, MOVE_FP32, "the worst landmark"
        if int8:
            move, bound, which = self.median_move_px, MOVE_INT8, "the median landmark"
        bound += math.sqrt(2) * rounding_px
        if not move <= bound:  # also true for nan
            raise ExportError(
                f"{which} differs by {move:.3f} px of the crop in ONNX; expected at most "
                f"{round(bound, 3)}: nothing was written"
            )
        change = self.nme_onnx / self.nme_torch - 1
        if not change <= NME_CHANGE:
            raise ExportError(
                f"the validation NME changes from {self.nme_torch:.5f} to {self.nme_onnx:.5f} "
                f"({change:+.2%}); expected at most {NME_CHANGE:+.0%}: nothing was written"
            )


@dataclass(frozen=True)
class GateFaces:
    """Validation faces for comparing a file with torch."""

    faces: CropCache
    truth: Array
    """(M, N, 2): annotated landmarks, pixels of the crop."""
    training: CropCache
    """Faces of the first training set, for calibrating a quantized file."""
    scheme: str
    padding: float
    validation_faces: dict[str, CropCache]
    """All validation faces by data set."""

    def compare(self, exported: NDArray[np.floating], expected: Array) -> Gate:
        """Compare the landmarks of the exported file with those of torch, (M, N, 2) each."""
        moves = np.linalg.norm(exported - expected, axis=-1)
        return Gate(
            float(moves.max()),
            float(np.median(moves)),
            interocular_nme(expected, self.truth, self.scheme),
            interocular_nme(exported, self.truth, self.scheme),
        )


def run_plain(model: LandmarkModel, faces: CropCache) -> CropLandmarks:
    """Run an exported model on the plain crops of `faces`; return landmarks and visibility."""
    parts = [
        model.predict(crops)
        for crops, _ in plain_crops(faces, model.size, model.padding, 32)
    ]
    visible = [part.visible for part in parts if part.visible is not None]
    return CropLandmarks(
        np.concatenate([part.landmarks_crop for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.sigma_px for part in parts]),
        visible=np.concatenate(visible) if visible else None,
    )


@torch.no_grad()
def check_second_frame(model: Model, form: ExportForm, faces: CropCache) -> None:
    """Raise an error if the recurrent memory differs from that of torch's `form`.

    Raises:
        ExportError: If a landmark of a second frame moves more than MOVE_FP32.
    """
    crops = next(
        crops for crops, _ in plain_crops(faces, model.size, model.padding, 32)
    )
    # each face is followed by a different one, so that a wrong state cannot pass by chance
    later = np.ascontiguousarray(crops[::-1])
    assert form.memory_shape is not None
    *_, memory = form(
        torch.from_numpy(crops), torch.zeros(len(crops), *form.memory_shape)
    )
    expected = form(torch.from_numpy(later), memory)[0].numpy()
    predicted = model.predict(later, model.predict(crops).memory).landmarks_crop
    move = float(np.linalg.norm(predicted - expected, axis=-1).max())
    if not move <= MOVE_FP32:
        raise ExportError(
            f"the worst landmark differs by {move:.3f} px of the crop in the second frame; "
            f"expected at most {MOVE_FP32}"
        )


def choose_gate_faces(
    recipe: Recipe,
    size: int,
    sources: Sequence[Source],
    validation_faces: dict[str, CropCache],
) -> GateFaces:
    """Choose the validation set of `recipe` with eyes and the most annotated points.

    Args:
        sources, validation_faces: Result of `read_mixture` for the recipe.

    Raises:
        DataError: If no set has such a face.
    """
    padding = recipe.model.padding
    for faces in sorted(validation_faces.values(), key=_unannotated):
        truth = plain_landmarks(faces, size, padding)
        if has_norm_points(truth, recipe.scheme).any():
            return GateFaces(
                faces,
                truth,
                sources[0].cache,
                recipe.scheme,
                padding,
                validation_faces,
            )
    raise DataError(
        f"the recipe {recipe.name!r}: none of its data sets has a validation face to compare on; "
        "add faces"
    )


def _unannotated(faces: CropCache) -> float:
    """Return the fraction of points that are not annotated."""
    return float(np.isnan(faces.landmarks[..., 0]).mean())
