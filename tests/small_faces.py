"""Faces of five points, and a folder of small images of which one is broken."""

import numpy as np
from PIL import Image

from lineament.face import Face, Faces


def face(shift=0.0):
    points = np.array([[10, 10], [20, 10], [15, 15], [11, 20], [19, 20]]) + shift
    return Face(points, np.full(5, 0.9), np.full(5, 0.5), [5, 5, 25, 25], 0.8, "five")


def faces_of(*found, size=(40, 30)):
    return Faces(found, "five", 5, size)


def write_pictures(folder):
    """Write 0.png, b/1.png, b/1.jpg and a broken one."""
    (folder / "b").mkdir(parents=True)
    for number, name in enumerate(["0.png", "b/1.png", "b/1.jpg"]):
        Image.fromarray(np.full((30, 40, 3), number, np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes(b"nothing")
    return folder
