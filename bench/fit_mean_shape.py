"""Print the mean shape of ibug68 over 300W training faces, as in tables/schemes/ibug68.toml.

Usage: LINEAMENT_DATA=../shared/data python bench/fit_mean_shape.py [--check]
"""

import csv
import sys
from pathlib import Path

import numpy as np

from lineament.data.readers.w300 import read_300w
from lineament.data.sample import Sample, bare_name, data_root
from lineament.geometry import (
    Array,
    apply_affine,
    box_center,
    box_side,
    fit_similarity,
    landmark_box,
)
from lineament.schemes import scheme


def unit_shape(shape: Array) -> Array:
    """Return `shape` (N, 2) relative to the center of its tight box, in longer box sides."""
    box = landmark_box(shape)
    return (shape - box_center(box)) / box_side(box)


def upright(shape: Array, mirror: np.ndarray) -> Array:
    """Return `shape` averaged with its mirror image and rotated upright; the axis is x = 0."""
    flipped = shape[mirror] * [-1, 1]
    affine = fit_similarity(flipped, shape)
    half = np.arctan2(affine[1, 0], affine[0, 0]) / 2
    turn = np.array([[np.cos(half), -np.sin(half)], [np.sin(half), np.cos(half)]])
    straight = (shape - shape.mean(0)) @ turn
    return (straight + straight[mirror] * [-1, 1]) / 2


def mean_shape(shapes: Array, mirror: np.ndarray, rounds: int = 5) -> Array:
    """Return the symmetric Procrustes mean (N, 2) of `shapes` (F, N, 2), in longer box sides."""
    mean = unit_shape(shapes[0])
    for _ in range(rounds):
        fitted = [apply_affine(fit_similarity(shape, mean), shape) for shape in shapes]
        mean = unit_shape(upright(np.mean(fitted, axis=0), mirror))
    return mean


def training_faces(root: Path) -> list[Sample]:
    """Return the 300W training faces below `root`, without those of helen/refitted.csv.

    The shipped models depend on the committed mean shape, which is older than that list.
    """
    refitted: set[str] = set()
    table = root / "helen/refitted.csv"
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as file:
            refitted = {f"helen/trainset/{row['name']}" for row in csv.DictReader(file)}
    return [
        face
        for face in read_300w(root, "train")
        if bare_name(face.name) not in refitted
    ]


def main() -> None:
    ibug68 = scheme("ibug68")
    shapes = np.stack([face.landmarks for face in training_faces(data_root() / "300w")])
    mean = mean_shape(shapes, ibug68.mirror)
    if "--check" in sys.argv:
        difference = float(np.abs(ibug68.mean_shape - mean).max())
        print(
            f"{len(shapes)} faces; the table differs by at most {difference:.1e} sides"
        )
        sys.exit(int(difference > 1e-3))
    print("mean_shape = [")
    for x, y in mean + 0.0:
        print(f"    [{x:.4f}, {y:.4f}],")
    print("]")


if __name__ == "__main__":
    main()
