"""Drawn videos whose frames encode their frame number."""

import numpy as np

from lineament import VideoWriter


def picture(k, width=64, height=48):
    """Return a frame with a bright left part, and a bar whose color encodes the frame number."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[:, : width // 4] = (200, 60, 60)
    image[: height // 4, width // 2 :] = (30, min(10 * k, 255), 220)
    return image


def write(path, count=12, time=lambda k: k / 25, **size):
    with VideoWriter(path) as writer:
        for k in range(count):
            writer.write(picture(k, **size), time(k))
    return path
