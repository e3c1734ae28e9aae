"""Figures of the boxes that a network of parts predicts, on validation faces.

Their crops have the noise of a detector's boxes.
"""

from collections.abc import Callable

import numpy as np

from ..geometry import Array
from ..training.parts.box_errors import FOUND, box_errors
from .finished_run import FinishedRun

DRAWS = 3
"""Crops per validation face."""
Measure = Callable[[FinishedRun], float]


def errors_of_box(run: FinishedRun, box: str, norm: str) -> Array:
    """Return the errors (M,) of a box; empty if the network predicts none of this name."""
    net, recipe = run.trained
    padding = recipe.model.padding
    found = box_errors(net, run.validation_faces, padding, DRAWS, norm)
    return found.get(box, np.zeros(0))


def box_error(box: str) -> Measure:
    """Return the measure of the mean error of a box, over the interocular distance."""

    def measure(run: FinishedRun) -> float:
        errors = errors_of_box(run, box, "interocular")
        return float(errors.mean()) if len(errors) else float("nan")

    return measure


def box_found(box: str, norm: str) -> Measure:
    """Return the measure of the share of faces whose box has an error of at most FOUND."""

    def measure(run: FinishedRun) -> float:
        errors = errors_of_box(run, box, norm)
        return float((errors <= FOUND).mean()) if len(errors) else float("nan")

    return measure
