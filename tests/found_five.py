"""Detections of three boxes with five points, of which two overlap."""

import numpy as np

from lineament.inference.detections import Detections

BOXES = np.array([[0.0, 0, 20, 20], [1, 0, 21, 20], [50, 50, 80, 80]])
FIVE = np.array([[5.0, 6], [15, 6], [10, 10], [6, 15], [14, 15]])
IMAGE = np.zeros((90, 90, 3), np.uint8)


def found(scores=(0.5, 0.9, 0.7), scheme="five"):
    landmarks = None if scheme is None else FIVE + BOXES[:, None, :2]
    return Detections(BOXES, np.array(scores), np.zeros(3), landmarks, scheme)
