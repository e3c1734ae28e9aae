"""Head pose, eye and mouth openness, interocular distance and roll of a face.

Left and right are the subject's own. Limits are measured by `python -m bench.check_head_pose`.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, SchemeError, ShapeError
from ..face import Face
from ..geometry import Array
from ..opencv import cv2
from ..schemes import convert, scheme

# ibug68 indices: outer corner, upper lid, inner corner, lower lid
RIGHT_EYE = (36, 37, 38, 39, 40, 41)
LEFT_EYE = (45, 44, 43, 42, 47, 46)
INNER_LIPS = (60, 61, 62, 63, 64, 65, 66, 67)
OUTER_CORNERS = (36, 45)
NO_DISTORTION = np.zeros(4)  # lens distortion coefficients for OpenCV


class Sides(NamedTuple):
    """One value per side of the subject."""

    right: float
    left: float


@dataclass(frozen=True, eq=False)
class HeadPose:
    """Orientation and position of a head; angles apply as pitch, then yaw, then roll."""

    yaw_deg: float
    """In [-90, 90]; positive if the face is turned to the right edge of the image."""
    pitch_deg: float
    """In (-180, 180]; positive if the face looks up."""
    roll_deg: float
    """In (-180, 180]; positive if the chin points to the left edge of the image."""
    rotation: Array
    """(3, 3): from mean face to camera, both with x right, y down, z away from the camera."""
    translation_mm: Array
    """(3,): nasion in the camera frame, mm, for a head of average size."""
    error: float
    """RMS distance of the fitted face from the landmarks, in interocular distances."""

    def __repr__(self) -> str:
        angles = "yaw", "pitch", "roll"
        parts = [f"{name}_deg={getattr(self, f'{name}_deg'):.1f}" for name in angles]
        return f"<HeadPose: {', '.join(parts)}, error={self.error:.3f}>"


@cache
def mean_face_3d() -> tuple[tuple[str, ...], Array]:
    """Return names (N,) and positions (N, 3) of the mean face's points, mm."""
    table = tomllib.loads(
        files("lineament")
        .joinpath("tables/mean_face_3d.toml")
        .read_text(encoding="utf-8")
    )
    positions = np.array(list(table["points"].values()), dtype=np.float64)
    positions.flags.writeable = False
    return tuple(table["points"]), positions


def head_pose(
    face: Face,
    image_size: tuple[int, int],
    focal_px: float | None = None,
    center_px: ArrayLike | None = None,
) -> HeadPose:
    """Estimate the head pose by fitting a 3D mean face to 14 landmarks in perspective.

    No ground-truth poses were available, so no absolute accuracy is claimed. Every head is
    assumed to have the mean adult shape: another plausible mean face changes pitch by about
    8 degrees, nearly the same for all faces, and yaw by less than 1, so trust changes in
    pitch more than absolute values. Landmark errors of 3 % of the interocular distance change
    yaw and pitch by 2 degrees and roll by 1 (RMS); a focal length wrong by a factor of
    two to five changes them by 2 degrees, a wide-open mouth changes pitch by about 10.
    Tested up to 45 degrees of yaw; beyond that, occluded landmarks are guesses.

    Args:
        face: The face.
        image_size: Width and height of the image, pixels.
        focal_px: Focal length, pixels; None: the width of the image.
        center_px: Principal point (2,), pixels; None: the middle of the image. For a
            cropped image, give the focal length of the original, and its principal point in
            pixels of the crop.

    Raises:
        SchemeError: If the scheme lacks the points.
        InputError: If the image size, the focal length or the principal point is invalid.
        ShapeError: If the landmarks fit no pose.
    """
    camera = _camera(image_size, focal_px, center_px)
    names, positions = mean_face_3d()
    points = scheme("ibug68").points
    landmarks = _landmarks(face, [points.index(name) for name in names])
    tolerance = 1e-6 * (1 + np.abs(landmarks).max())
    if np.linalg.matrix_rank(landmarks - landmarks.mean(0), tol=tolerance) < 2:
        raise ShapeError(
            "the landmarks coincide or are on one line; expected landmarks of a face"
        )
    try:
        _, turn, shift = cv2.solvePnP(
            positions, landmarks, camera, NO_DISTORTION, flags=cv2.SOLVEPNP_SQPNP
        )
        turn, shift = cv2.solvePnPRefineLM(
            positions, landmarks, camera, NO_DISTORTION, turn, shift
        )
    except cv2.error as error:
        raise ShapeError(
            "no head pose fits the landmarks; expected landmarks of a face"
        ) from error
    rotation = np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64)
    translation = shift.reshape(3).astype(np.float64)
    projected = (positions @ rotation.T + translation) @ camera.T
    distance = np.sqrt(
        (((projected[:, :2] / projected[:, 2:]) - landmarks) ** 2).sum(1).mean()
    )
    misfit = _ratio(float(distance), interocular_px(face), "the eyes")
    return HeadPose(*rotation_angles(rotation), rotation, translation, misfit)


def rotation_angles(rotation: ArrayLike) -> tuple[float, float, float]:
    """Return yaw, pitch and roll of `rotation` (3, 3), degrees, as in HeadPose."""
    r = np.asarray(rotation, dtype=np.float64)
    yaw = np.arctan2(r[2, 0], np.hypot(r[0, 0], r[1, 0]))
    pitch, roll = np.arctan2(-r[2, 1], r[2, 2]), np.arctan2(r[1, 0], r[0, 0])
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))


def _camera(
    image_size: tuple[int, int], focal_px: float | None, center_px: ArrayLike | None
) -> Array:
    size = np.asarray(image_size, dtype=np.float64)
    if size.shape != (2,) or not np.isfinite(size).all() or (size <= 0).any():
        raise InputError(
            f"image_size is {image_size!r}; "
            "expected width and height of the image in pixels"
        )
    focal = float(size[0]) if focal_px is None else float(focal_px)
    if not 0 < focal < np.inf:
        raise InputError(
            f"focal_px is {focal_px!r}; expected a focal length in pixels, above 0"
        )
    center = (size - 1) / 2
    if center_px is not None:
        center = np.asarray(center_px, dtype=np.float64)
    if center.shape != (2,) or not np.isfinite(center).all():
        raise InputError(
            f"center_px is {center_px!r}; expected x, y in pixels of the image"
        )
    return np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]])


def _landmarks(face: Face, indices: list[int] | tuple[int, ...]) -> Array:
    """Return the landmarks of `face` at these indices of ibug68."""
    points = convert(face.landmarks, face.scheme, "ibug68").points[list(indices)]
    absent = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(absent):
        missing = [scheme("ibug68").points[indices[i]] for i in absent]
        more = " ..." if len(missing) > 3 else ""
        raise SchemeError(
            f"{face.scheme} has no {', '.join(missing[:3])}{more}, which this measure needs; "
            "predict with a model of ibug68, wflw98 or another scheme that has them"
        )
    return points


def _length(a: Array, b: Array) -> float:
    return float(np.hypot(*(a - b)))


def _ratio(length: float, width: float, what: str) -> float:
    if width == 0:
        raise ShapeError(
            f"the corners of {what} coincide; expected two different points"
        )
    return length / width


def eye_openness(face: Face) -> Sides:
    """Return the eye aspect ratio of each eye: mean lid distance over corner distance.

    Closed eyes do not give 0. On validation faces, from the 10th to the 90th percentile,
    closed eyes give 0.13 to 0.22 with the model `accurate` and 0.17 to 0.25 with `fast`,
    open eyes 0.23 to 0.39 and 0.25 to 0.38. With `accurate`, 94 % of the closed and 9 %
    of the open eyes are below 0.23; with `fast`, 94 % and 15 % are below 0.26 (measured by
    `python -m bench.eye_openness`). Yaw raises the ratio, nodding lowers it. To detect a
    blink, compare with the same person's range over frames.

    Returns:
        A named tuple (right, left), the subject's own sides.

    Raises:
        SchemeError: If the scheme lacks the points.
        ShapeError: If an eye has no width.

    Source: Soukupova and Cech 2016, eq. 1.
    """
    right = _openness(face, RIGHT_EYE, "the right eye")
    return Sides(right, _openness(face, LEFT_EYE, "the left eye"))


def _openness(face: Face, eye: tuple[int, ...], what: str) -> float:
    outer, upper_1, upper_2, inner, lower_2, lower_1 = _landmarks(face, eye)
    height = (_length(upper_1, lower_1) + _length(upper_2, lower_2)) / 2
    return _ratio(height, _length(outer, inner), what)


def mouth_openness(face: Face) -> float:
    """Return the mean gap between the inner lips, divided by the distance between their corners.

    The ratio is 0 for closed lips, 0.1 to 0.3 while talking, above 0.5 wide open; yaw raises it.

    Raises:
        SchemeError: If the scheme lacks the points.
        ShapeError: If the mouth has no width.
    """
    points = _landmarks(face, INNER_LIPS)
    right, upper_1, upper_2, upper_3, left, lower_3, lower_2, lower_1 = points
    pairs = ((upper_1, lower_1), (upper_2, lower_2), (upper_3, lower_3))
    height = sum(_length(upper, lower) for upper, lower in pairs)
    return _ratio(height / 3, _length(right, left), "the mouth")


def interocular_px(face: Face) -> float:
    """Return the distance between the outer eye corners, pixels; it shrinks with yaw.

    Raises:
        SchemeError: If the scheme lacks the points.
    """
    return _length(*_landmarks(face, OUTER_CORNERS))


def eye_roll_deg(face: Face) -> float:
    """Return the angle of the line between the eyes, degrees in (-180, 180].

    It is positive if the chin points to the left edge of the image. It equals the roll of
    `head_pose` for a face that looks at the camera, and differs from it if yaw and pitch
    combine.

    Raises:
        SchemeError: If the scheme lacks the points.
    """
    corners = _landmarks(face, (36, 39, 42, 45))
    x, y = corners[2:].mean(0) - corners[:2].mean(0)
    return float(np.rad2deg(np.arctan2(y, x)))
