"""Choose the thresholds of an exported face detector."""

import math
from collections.abc import Sequence

from ..evaluation.thresholds import lowest_threshold
from ..inference.detections import Detections

ALLOWED_FALSE_POSITIVES = {"threshold": 0.1, "proposal_threshold": 4.0}
"""Allowed false positives per validation photo without a face, by entry of the card. Most of these
photos show pets and objects that resemble faces. The lower threshold is for proposals that a
landmark model with presence then checks."""
MIN_THRESHOLD = 0.15
"""Lower bound of thresholds."""


def lowest_thresholds(detections: Sequence[Detections]) -> dict[str, float]:
    """Return the lowest thresholds that satisfy `ALLOWED_FALSE_POSITIVES`."""
    thresholds = {}
    for name, rate in ALLOWED_FALSE_POSITIVES.items():
        lowest = lowest_threshold(detections, int(rate * len(detections)))
        thresholds[name] = math.ceil(100 * max(lowest, MIN_THRESHOLD)) / 100
    return thresholds
