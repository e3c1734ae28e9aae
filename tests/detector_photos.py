"""Drawn faces and photos of them, for tests of the face detector."""

import cv2
import numpy as np

from lineament.data.detection.photos import Photo
from lineament.data.detection.scene import Scene
from lineament.geometry import similarity

SHARES = {"landmarks": 0.3, "background": 0.18}


def face_landmarks(center, side, roll_deg=0.0):
    """Return 68 points on an upright square of `side` with level eyes, rotated."""
    points = np.zeros((68, 2))
    points[:4] = (-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)
    points[36:42], points[42:48] = (-0.25, -0.2), (0.25, -0.2)
    return points @ similarity(side, roll_deg, (0, 0), (0, 0))[:, :2].T + center


def draw_face(image, center, side, roll_deg=0.0):
    """Draw a bright square with two dark eyes above and a dark mouth bar below."""
    to_image = similarity(side, roll_deg, (0, 0), center)

    def fill(x0, y0, x1, y1, color):
        corners = (
            np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ to_image[:, :2].T
            + to_image[:, 2]
        )
        cv2.fillPoly(image, [corners.round().astype(np.int32)], color)

    fill(-0.5, -0.5, 0.5, 0.5, (230, 200, 170))
    fill(-0.35, -0.3, -0.15, -0.1, (20, 20, 20))
    fill(0.15, -0.3, 0.35, -0.1, (20, 20, 20))
    fill(-0.3, 0.2, 0.3, 0.35, (150, 20, 20))


def write_photos(folder, count=6):
    """Write `count` photos with one drawn face and landmarks and four without a face, as PNG."""
    rng = np.random.default_rng(0)
    photos = []
    for i in range(count + 4):
        image = rng.integers(60, 110, (120, 140, 3), dtype=np.uint8)
        path = folder / f"{i}.png"
        if i < count:
            center, side = np.array([70.0, 60.0]), 50 + 4 * (i % 6)
            draw_face(image, center, side)
            points = face_landmarks(center, side)
            box = np.concatenate([points.min(0), points.max(0)])[None]
            five = five_points(center, side)[None]
            photos.append(Photo(path, "landmarks", box, str(i), points, five=five))
        else:
            photos.append(Photo(path, "background", np.zeros((0, 4)), str(i)))
        cv2.imwrite(str(path), image[..., ::-1])
    return photos


FIVE = np.array([[-0.25, -0.2], [0.25, -0.2], [0.0, 0.05], [-0.25, 0.28], [0.25, 0.28]])
"""The five points of a drawn face, in sides from its center."""


def five_points(center, side, roll_deg=0.0):
    """Return the five points (5, 2) of a drawn face."""
    return FIVE @ similarity(side, roll_deg, (0, 0), (0, 0))[:, :2].T + center


def scene_of(boxes, five, image=None):
    """Return a scene of 128 pixels whose faces are all recognizable."""
    return Scene(
        image=np.zeros((128, 128, 3), np.uint8) if image is None else image,
        boxes=np.array(boxes, float).reshape(-1, 4),
        recognizable=np.ones(len(boxes), bool),
        five=np.array(five, float).reshape(-1, 5, 2),
        labeled=np.ones((128, 128), bool),
    )
