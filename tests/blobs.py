"""Images whose one bright blob marks a landmark, for tests of crops."""

import cv2
import numpy as np

from lineament.data.sample import Sample


def blob_samples(folder):
    """Write three images, each with a blob on point 2 (the nose) of five; return their samples."""
    samples = []
    for i in range(3):
        points = (
            np.array([[60.0, 50], [90, 52], [75.4, 66.7], [64, 81], [88, 80]]) + 7 * i
        )
        rows, columns = np.mgrid[0:150, 0:170]
        bump = 255 * np.exp(
            -((columns - points[2, 0]) ** 2 + (rows - points[2, 1]) ** 2) / (2 * 3.0**2)
        )
        path = folder / f"{i}.png"
        cv2.imwrite(
            str(path), np.repeat(np.round(bump).astype(np.uint8)[..., None], 3, axis=2)
        )
        samples.append(Sample(path, points, "five", path.name))
    return samples


def centroid(crop):
    """Return the center (2,) of the brightness of `crop`."""
    weights = crop[..., 0].astype(np.float64)
    rows, columns = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
