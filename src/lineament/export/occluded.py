"""Occluded copies of validation crops, on which the sigma of occluded points is fitted."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.augment import covered_points
from ..data.crop_cache import CropCache, plain_crops
from ..data.degrade import occlude
from ..errors import ExportError
from ..evaluation.occlude import half_of_box
from ..geometry import Array, Image, box_in_crop
from ..inference.onnx_model import Model
from ..training.validate import BATCH
from .calibrate import SigmaScale, StateScales, fit_occluded

MAX_FACES = 400
"""Maximum number of occluded faces; they are evenly spaced over the set."""


@dataclass(frozen=True, eq=False)
class OccludedCrops:
    """Each face once with small occluders, once with half of it in a plain color."""

    crops: Image
    """RGB, (M, S, S, 3)."""
    truth: Array
    """(M, N, 2), pixels of the crop."""
    covered: NDArray[np.bool_]
    """(M, N): points under an occluder."""

    def fit(
        self, scale: SigmaScale, landmarks: Array, variances: Array, visible: Array
    ) -> SigmaScale:
        """Return `scale` with its increase fitted to the covered points.

        Args:
            scale: Fitted on plain crops.
            landmarks: Predictions for the crops, (M, N, 2).
            variances: (M, N), crop pixels squared.
            visible: (M, N), in [0, 1].
        """
        errors = np.linalg.norm(landmarks - self.truth, axis=-1)
        at = self.covered
        return fit_occluded(scale, errors[at], variances[at], visible[at])

    @torch.no_grad()
    def fit_network(
        self, model: nn.Module, scale: SigmaScale, states: StateScales
    ) -> SigmaScale:
        """Fit the increase for a network, uint8 crops (B, S, S, 3) -> HeadOutput."""
        parts = []
        for start in range(0, len(self.crops), BATCH):
            raw = model(torch.from_numpy(self.crops[start : start + BATCH]))
            parts.append((raw.landmarks, raw.variance, raw.visible_logits))
        landmarks, variances, logits = (
            torch.cat(part).double().numpy() for part in zip(*parts, strict=True)
        )
        visible = states.visible.probability(logits)
        return self.fit(scale, landmarks, variances, visible)

    def fit_file(
        self, model: Model, scale: SigmaScale, fitted: SigmaScale
    ) -> SigmaScale:
        """Fit the increase for an exported file.

        Args:
            model: The file.
            scale: The scale that the file contains.
            fitted: The new scale, fitted on plain crops.

        Raises:
            ExportError: If the file does not predict visibility.
        """
        parts = []
        for start in range(0, len(self.crops), BATCH):
            found = model.predict(self.crops[start : start + BATCH])
            if found.visible is None:
                raise ExportError(
                    f"{model.path.name}: does not predict visibility; export it again"
                )
            parts.append((found.landmarks_crop, found.sigma_px, found.visible))
        landmarks, sigma_px, visible = (
            np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True)
        )
        variances = scale.variance(sigma_px, visible)
        return self.fit(fitted, landmarks, variances, visible)


def occluded_crops(
    faces: CropCache, truth: Array, size: int, padding: float
) -> OccludedCrops:
    """Return occluded plain crops of `faces`; always the same ones.

    Args:
        faces: Validation faces.
        truth: Their annotated landmarks, (M, N, 2), pixels of the plain crops.
        size: Side of the crops, pixels.
        padding: Side of a crop as a multiple of the longer side of its box.
    """
    chosen = faces.evenly_spaced(MAX_FACES)
    box = box_in_crop(size, padding)
    crops, covered = [], []
    plain = plain_crops(faces.take(chosen), size, padding, 1)
    for number, (batch, _) in zip(chosen, plain, strict=True):
        rng = np.random.default_rng(int(number))
        mask = np.zeros((size, size), np.uint8)
        shapes = occlude(rng, batch[0], mask)
        half_mask = half_of_box(mask.shape, box, float(rng.uniform(0, 2 * np.pi)))
        color = rng.integers(0, 256, 3).astype(np.uint8)
        halved = np.where(half_mask[..., None] > 0, color, batch[0])
        for crop, occluders in ((shapes, mask), (halved, half_mask)):
            crops.append(crop)
            covered.append(covered_points(truth[number], occluders))
    repeated = np.repeat(truth[chosen], 2, axis=0)
    return OccludedCrops(np.stack(crops), repeated, np.stack(covered))
