"""The rule that chooses the thresholds of an exported face detector."""

import math
from collections.abc import Sequence

from ..evaluation.thresholds import lowest_threshold
from ..inference.detections import Detections

ALLOWED_FALSE_POSITIVES = {"threshold": 0.1, "proposal_threshold": 4.0}
"""Per validation photo without a face, by entry of the card. Most are pets and objects that
resemble faces. A landmark model that predicts presence checks what the lower one proposes."""
MIN_THRESHOLD = 0.15
"""No threshold is lower."""


def lowest_thresholds(detections: Sequence[Detections]) -> dict[str, float]:
    """Return the thresholds that `ALLOWED_FALSE_POSITIVES` allows in photos without a face."""
    thresholds = {}
    for name, rate in ALLOWED_FALSE_POSITIVES.items():
        lowest = lowest_threshold(detections, int(rate * len(detections)))
        thresholds[name] = math.ceil(100 * max(lowest, MIN_THRESHOLD)) / 100
    return thresholds
