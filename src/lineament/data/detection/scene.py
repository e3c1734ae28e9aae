"""One training image of the face detector and its labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array


@dataclass(frozen=True)
class Scene:
    """One training image."""

    image: NDArray[np.uint8]
    """(S, S, 3) RGB."""
    boxes: Array
    """(F, 4) tight boxes, pixels; they may reach over the edge."""
    recognizable: NDArray[np.bool_]
    """(F,) False for faces that are neither face nor background: cropped, covered, blurred."""
    five: Array
    """(F, 5, 2) eyes, nose tip, mouth corners, pixels; nan if unknown."""
    labeled: NDArray[np.bool_]
    """(S, S) True where a face would have a box."""
