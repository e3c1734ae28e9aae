"""Score thresholds of face detectors."""

from collections.abc import Sequence

import numpy as np

from ..inference.detections import Detections


def above(detections: Detections, threshold: float) -> Detections:
    """Return the detections with a score above `threshold`."""
    return detections.take(detections.scores > threshold)


def lowest_threshold(detections: Sequence[Detections], allowed: int) -> float:
    """Return the lowest threshold with at most `allowed` detections in total."""
    found = [detected.scores for detected in detections]
    scores = np.concatenate([*found, np.zeros(allowed + 1)])
    return float(np.sort(scores)[::-1][allowed])
