"""Figures of the boxes that a network of parts predicts, on validation faces.

Their crops have the noise of a detector's boxes.
"""

import numpy as np
from torch import nn

from ..data.crop_cache import CropCache
from ..geometry import Array
from ..training.parts.box_errors import FOUND, box_errors

DRAWS = 3
"""Crops per validation face."""


def errors_of_box(
    net: nn.Module, faces: CropCache, padding: float, box: str, norm: str
) -> Array:
    """Return the errors (M,) of a box; empty if the network predicts none of this name."""
    return box_errors(net, faces, padding, DRAWS, norm).get(box, np.zeros(0))


def mean_error(errors: Array) -> float:
    """Return the mean of the errors of a box, nan without any."""
    return float(errors.mean()) if len(errors) else float("nan")


def share_found(errors: Array) -> float:
    """Return the share of errors of a box of at most FOUND, nan without any."""
    return float((errors <= FOUND).mean()) if len(errors) else float("nan")
