"""Errors of boxes predicted by a part network, on validation faces.

The crops have noise like that of a detector's boxes.
"""

import numpy as np
from torch import nn

from ..data.crop_cache import CropCache
from ..geometry import Array
from ..training.parts.box_errors import MAX_FOUND_ERROR, box_errors

DRAWS = 3
"""Crops per validation face."""


def errors_of_box(
    net: nn.Module, faces: CropCache, padding: float, box: str, norm: str
) -> Array:
    """Return the errors (M,) of a box; empty if the network does not predict it."""
    return box_errors(net, faces, padding, DRAWS, norm).get(box, np.zeros(0))


def mean_error(errors: Array) -> float:
    """Return the mean error of a box; nan without errors."""
    return float(errors.mean()) if len(errors) else float("nan")


def fraction_found(errors: Array) -> float:
    """Return the fraction of errors of a box of at most MAX_FOUND_ERROR; nan without errors."""
    return float((errors <= MAX_FOUND_ERROR).mean()) if len(errors) else float("nan")
