"""Drawn faces with known landmarks, for tests of training."""

import cv2
import numpy as np

from lineament.schemes import scheme


def draw_face(seed, side=120):
    """Return an image (side, side, 3) of the mean shape moved by `seed`; landmarks (68, 2)."""
    rng = np.random.default_rng(seed)
    angle, size = rng.normal(0, 0.15), side * rng.uniform(0.4, 0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = (
        scheme("ibug68").mean_shape @ turn.T * size
        + side / 2
        + rng.normal(0, side * 0.03, 2)
    )
    image = np.full((side, side, 3), rng.integers(0, 100, 3), np.uint8)
    cv2.fillConvexPoly(
        image, cv2.convexHull(landmarks.astype(np.int32)), (200, 160, 140)
    )
    for a, b in scheme("ibug68").edges:
        start, end = (tuple(round(v) for v in landmarks[i]) for i in (a, b))
        cv2.line(image, start, end, (30, 20, 60), 2)
    return image, landmarks


def write_faces(folder, count, points=None):
    """Write `count` drawn faces as .png and .pts; `points` converts the 68 points first."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        image, landmarks = draw_face(seed)
        cv2.imwrite(str(folder / f"face{seed}.png"), image[..., ::-1])
        rows = points(landmarks) if points else landmarks
        # .pts counts from 1
        (folder / f"face{seed}.pts").write_text(
            "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in rows)
        )
