"""Print the accuracy of head pose and openness on landmarks of the 300W training faces.

Usage: LINEAMENT_DATA=../shared/data python -m bench.check_head_pose [--faces 2014]

No data set here has ground-truth poses. This measures the sensitivity of the pose to errors in the
landmarks and in the focal length, and the distance of the anthropometric mean face from one
factored from the landmarks (scaled orthographic, mirror-symmetric, iterated least squares).
"""

import argparse
import sys

import cv2
import numpy as np

from lineament.analysis.head_pose import (
    eye_openness,
    head_pose,
    mean_face_3d,
    mouth_openness,
    rotation_angles,
)
from lineament.data.readers.w300 import read_300w
from lineament.data.sample import Sample, data_root
from lineament.face import Face
from lineament.geometry import Array, box_center
from lineament.schemes import scheme

IBUG68 = scheme("ibug68")
ROWS = [IBUG68.points.index(name) for name in mean_face_3d()[0]]
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
MIRROR = [ROWS.index(IBUG68.mirror[row]) for row in ROWS]


def face_of(landmarks: Array) -> Face:
    """Return a face with these landmarks and scores of 1."""
    return Face(
        landmarks, np.ones(68), np.ones(68), np.array([0, 0, 1, 1]), 1.0, "ibug68"
    )


def angles(landmarks: Array, size: float, places: Array | None = None) -> Array:
    """Return yaw, pitch and roll in degrees of a face at the center of an image.

    Args:
        landmarks: (68, 2) in pixels.
        size: Focal length in longer sides of the face box.
        places: 3D points (N, 3) to fit instead of the mean face, in mm.
    """
    centered = landmarks - box_center(np.r_[landmarks.min(0), landmarks.max(0)])
    focal = size * float(np.ptp(landmarks, axis=0).max())
    if places is None:
        pose = head_pose(face_of(centered), (1, 1), focal, (0, 0))
        return np.array([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
    camera = np.diag([focal, focal, 1.0])
    _, turn, shift = cv2.solvePnP(
        places, centered[ROWS], camera, None, flags=cv2.SOLVEPNP_SQPNP
    )
    turn, _ = cv2.solvePnPRefineLM(places, centered[ROWS], camera, None, turn, shift)
    return np.array(rotation_angles(cv2.Rodrigues(turn)[0]))


def factored(shapes: Array, rounds: int = 60) -> Array:
    """Factor `shapes` (F, N, 2) into 3D points (N, 3), aligned to the mean face."""
    mean = mean_face_3d()[1]
    shapes = shapes - shapes.mean(1, keepdims=True)
    places = mean - mean.mean(0)
    for _ in range(rounds):
        cameras, seen = [], []
        for shape in shapes:
            u, s, vt = np.linalg.svd(
                np.linalg.lstsq(places, shape, rcond=None)[0].T, full_matrices=False
            )
            cameras.append(u @ vt)
            seen.append(shape.T / s.mean())
        places = np.linalg.lstsq(np.vstack(cameras), np.vstack(seen), rcond=None)[0].T
        places = (places + places[MIRROR] * [-1, 1, 1]) / 2
        places *= np.linalg.norm(mean - mean.mean(0)) / np.linalg.norm(places)
    target = mean - mean.mean(0)
    u, _, vt = np.linalg.svd(
        target[:, 1:].T @ places[:, 1:]
    )  # only a rotation about x keeps the symmetry
    places[:, 1:] = places[:, 1:] @ (u @ vt).T
    return places + mean.mean(0)


def print_row(what: str, values: Array) -> None:
    """Print the root mean square and the 95th percentile of the magnitude of each column."""
    rms, high = np.sqrt((values**2).mean(0)), np.percentile(np.abs(values), 95, axis=0)
    print(
        f"{what:64s}"
        + "".join(f"{a:7.2f} /{b:6.2f}" for a, b in zip(rms, high, strict=True))
    )


def report_pose(samples: list[Sample], rng: np.random.Generator) -> None:
    """Print the table of head pose."""
    shapes = np.stack([s.landmarks for s in samples])
    at_rest = np.stack([angles(s, 4.0) for s in shapes])
    print(
        f"{len(shapes)} faces; yaw, pitch, roll: mean {at_rest.mean(0).round(1)}, "
        f"sd {at_rest.std(0).round(1)} degrees"
    )
    print(
        f"{'difference in degrees, root mean square / 95th percentile':64s}"
        "    yaw           pitch          roll"
    )
    for nme in (0.03, 0.06):
        norm = np.linalg.norm(shapes[:, 36] - shapes[:, 45], axis=-1)[:, None, None]
        noise = (
            rng.normal(size=shapes.shape) * norm * nme / np.sqrt(np.pi / 2)
        )  # mean length of a 2D Gaussian
        new = np.stack([angles(s, 4.0) for s in shapes + noise])
        print_row(
            f"landmarks off by {nme:.0%} of the interocular distance", new - at_rest
        )
    for size in (2.2, 20.0):
        new = np.stack([angles(s, size) for s in shapes])
        print_row(
            f"focal length taken as {size:g} instead of 4 face boxes", new - at_rest
        )
    places = factored(shapes[:, ROWS])
    new = np.stack([angles(s, 4.0, places) for s in shapes])
    print_row("the factored shape instead of the mean face", new - at_rest)
    print(
        f"  of which constant: {(new - at_rest).mean(0).round(1)}; "
        f"the rest: {(new - at_rest).std(0).round(1)}"
    )
    off = np.linalg.norm(places - mean_face_3d()[1], axis=1)
    print(
        f"  the shapes are {np.sqrt((off**2).mean()):.1f} mm apart (root mean square), "
        f"{off.max():.1f} mm at most"
    )
    mouths = np.array([mouth_openness(face_of(s)) for s in shapes])
    slope = np.polyfit(mouths, at_rest[:, 1], 1)[0]
    print(f"pitch changes by {slope:.1f} degrees as mouth openness goes from 0 to 1")


def report_openness(samples: list[Sample], rng: np.random.Generator) -> None:
    """Print the lines of eye and mouth openness."""
    shapes = np.stack([s.landmarks for s in samples])

    def measured(shapes: Array) -> Array:
        return np.array(
            [[*eye_openness(face_of(s)), mouth_openness(face_of(s))] for s in shapes]
        )

    truth = measured(shapes)
    for name, column in (
        ("eye openness", truth[:, :2].ravel()),
        ("mouth openness", truth[:, 2]),
    ):
        print(
            f"{name}, percentiles {PERCENTILES}: {np.percentile(column, PERCENTILES).round(2)}"
        )
    print(
        f"right against left eye: correlation {np.corrcoef(truth[:, 0], truth[:, 1])[0, 1]:.2f}"
    )
    norm = np.linalg.norm(shapes[:, 36] - shapes[:, 45], axis=-1)[:, None, None]
    for nme in (0.01, 0.02, 0.03):
        away = (
            measured(
                shapes + rng.normal(size=shapes.shape) * norm * nme / np.sqrt(np.pi / 2)
            )
            - truth
        )
        print_row(f"landmarks off by {nme:.0%}: eye right, left, mouth", away)


def main() -> int:
    """Print both reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--faces", type=int, default=2014, help="number of faces, drawn at random"
    )
    rng = np.random.default_rng(0)
    samples = read_300w(data_root() / "300w", "train")
    chosen = rng.permutation(len(samples))[: parser.parse_args().faces]
    samples = [samples[i] for i in sorted(chosen)]
    report_pose(samples, rng)
    report_openness(samples, rng)
    return 0


if __name__ == "__main__":
    sys.exit(main())
