"""Errors of predicted boxes, as defined in the paper. Depends on torch.

Source: Sun et al. 2020, eq. 3: the mean distance of points divided by the distance between the
eyes.
"""

import numpy as np
import torch
from torch import nn

from ...data.crop_cache import CropCache
from ...data.training_crops import Source, TrainingCrops
from ...evaluation.metrics import norm_length
from ...geometry import Array
from ...models.parts import corners
from ...recipe import Augmentation
from ...schemes import scheme
from ..validate import BATCH, crop_size

MAX_FOUND_ERROR = 0.1
"""Largest error of a box that counts as detected."""
DETECTED = Augmentation.model_validate(
    dict.fromkeys(Augmentation.model_fields, 0.0) | {"scale": 0.07, "shift": 0.04}
)
"""Noise of the crops, like the package's detector: see recipes/base/augment-detected.toml."""
SCHEME = "ibug68"


@torch.no_grad()
def box_errors(
    model: nn.Module,
    faces: CropCache,
    padding: float,
    draws: int = 1,
    norm: str = "interocular",
) -> dict[str, Array]:
    """Return the error of each complete face, a fraction of `norm`, by box.

    Args:
        model: A network with `run`: uint8 crops -> PartOutput.
        faces: Faces with 68 landmarks.
        padding: Side of the crop as a multiple of the longer side of the landmark box.
        draws: Crops per face, each with different noise.
        norm: Distance between the eyes: interocular or interpupil.
    """
    training = model.training
    model.eval()
    maker = TrainingCrops(
        [Source(faces)], SCHEME, crop_size(model), padding, DETECTED, seed=0
    )
    complete = np.flatnonzero(np.isfinite(faces.landmarks).all((1, 2)))
    samples = []
    for draw in range(draws):
        for face in complete.tolist():
            samples.append(maker.make(0, len(faces) * draw + face, 0, face))
    device = next(model.parameters()).device
    errors: dict[str, list[Array]] = {}
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        crops = torch.from_numpy(np.stack([sample["crops"] for sample in part]))
        truth = torch.from_numpy(np.stack([sample["landmarks"] for sample in part]))
        for name, predicted in model.run(crops.to(device)).boxes.items():  # type: ignore[operator]
            distance = (predicted.cpu() - corners(truth, name)).norm(dim=-1).mean(1)
            lengths = eye_distances(truth.double().numpy(), norm)
            errors.setdefault(name, []).append(distance.double().numpy() / lengths)
    model.train(training)
    return {name: np.concatenate(parts) for name, parts in errors.items()}


def eye_distances(truth: Array, norm: str) -> Array:
    """Return the `norm` (M,) of landmarks (M, 68, 2), pixels."""
    eyes = scheme(SCHEME).norm_points[norm]
    return np.array([norm_length(norm, landmarks, eyes) for landmarks in truth])
