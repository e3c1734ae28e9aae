"""Face -> head pose in degrees, eye and mouth openness as ratios, interocular distance and roll.

Left and right are the subject's own. Limits are measured by scripts/check_head_pose.py on annotations of people.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, SchemeError, ShapeError
from ..face import Face
from ..geometry import Array
from ..schemes import convert, scheme

RIGHT_EYE = (36, 37, 38, 39, 40, 41)  # of ibug68: outer corner, upper lid, inner corner, lower lid
LEFT_EYE = (45, 44, 43, 42, 47, 46)
INNER_LIPS = (60, 61, 62, 63, 64, 65, 66, 67)
OUTER_CORNERS = (36, 45)
NO_DISTORTION = np.zeros(4)  # of the lens, in OpenCV's coefficients


class Sides(NamedTuple):
    """A value for each of the subject's sides."""

    right: float
    left: float


@dataclass(frozen=True, eq=False)
class HeadPose:
    """How the head stands before the camera. The three angles turn it in the order pitch, yaw, roll."""

    yaw_deg: float
    """In [-90, 90]; positive where the face looks towards the right edge of the image, the subject's left."""
    pitch_deg: float
    """In (-180, 180]; positive where the face looks up."""
    roll_deg: float
    """In (-180, 180]; positive where the chin points to the left edge of the image: clockwise, as one sees it."""
    rotation: Array
    """(3, 3): the mean face's axes to the camera's, both x right, y down, z away from the camera."""
    translation_mm: Array
    """(3,): the nasion in the camera's frame, if the head is of average size and the focal length is true."""
    error: float
    """How far the mean face stays from the landmarks, root mean square, as a fraction of the interocular distance."""


@cache
def mean_face_3d() -> tuple[tuple[str, ...], Array]:
    """The names (N,) and places (N, 3) in millimetres of the mean face's points; its table states axes and source."""
    table = tomllib.loads(
        files("lineament").joinpath("tables/mean_face_3d.toml").read_text(encoding="utf-8")
    )
    places = np.array(list(table["points"].values()), dtype=np.float64)
    places.flags.writeable = False
    return tuple(table["points"]), places


def head_pose(
    face: Face,
    image_size: tuple[int, int],
    focal_px: float | None = None,
    center_px: ArrayLike | None = None,
) -> HeadPose:
    """Yaw, pitch and roll of `face`, by fitting the mean face to 14 landmarks in perspective.

    image_size: width and height in pixels.    focal_px: focal length in pixels, by default the width of the image.
    center_px: (2,), where the camera's axis meets the image, by default its middle.
    Limits: no true poses were at hand, so no absolute accuracy is claimed. Every head is taken for the mean adult
    one: another plausible mean face gives a pitch some 8 degrees apart, nearly the same for all faces, and a yaw
    within 1, so trust differences in pitch more than its zero. Landmarks that are off by 3 % of the interocular
    distance move yaw and pitch by 2 degrees and roll by 1 (root mean square); a focal length wrong by a factor of two
    to five costs 2 degrees, a mouth opened wide some 10 of pitch. No face looked at was turned beyond 45 degrees of
    yaw; farther, the landmarks of the hidden side are guesses. Of a cropped picture give focal length and center of
    the whole.
    Raises: SchemeError where the scheme lacks the points; InputError for an image size or focal length that is not
    positive; ShapeError where the points fit no pose.
    """
    camera = _camera(image_size, focal_px, center_px)
    names, places = mean_face_3d()
    points = scheme("ibug68").points
    landmarks = _landmarks(face, [points.index(name) for name in names])
    if (
        np.linalg.matrix_rank(
            landmarks - landmarks.mean(0), tol=1e-6 * (1 + np.abs(landmarks).max())
        )
        < 2
    ):
        raise ShapeError("the landmarks lie on one line or point; wanted those of a face")
    try:
        _, turn, shift = cv2.solvePnP(
            places, landmarks, camera, NO_DISTORTION, flags=cv2.SOLVEPNP_SQPNP
        )
        turn, shift = cv2.solvePnPRefineLM(places, landmarks, camera, NO_DISTORTION, turn, shift)
    except cv2.error as error:
        raise ShapeError("no head pose fits the landmarks; wanted those of a face") from error
    rotation, translation = (
        np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64),
        shift.reshape(3).astype(np.float64),
    )
    shown = (places @ rotation.T + translation) @ camera.T
    away = np.sqrt((((shown[:, :2] / shown[:, 2:]) - landmarks) ** 2).sum(1).mean())
    yaw, pitch, roll = rotation_angles(rotation)
    return HeadPose(
        yaw,
        pitch,
        roll,
        rotation,
        translation,
        _ratio(float(away), interocular_px(face), "the eyes"),
    )


def rotation_angles(rotation: ArrayLike) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of `rotation` (3, 3), with HeadPose's signs; the inverse of `rotation_of`."""
    r = np.asarray(rotation, dtype=np.float64)
    yaw = np.arctan2(r[2, 0], np.hypot(r[0, 0], r[1, 0]))
    pitch, roll = np.arctan2(-r[2, 1], r[2, 2]), np.arctan2(r[1, 0], r[0, 0])
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))


def rotation_of(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Array:
    """The rotation (3, 3) that turns a head by pitch, then yaw, then roll, with HeadPose's signs."""
    (cy, cp, cr), (sy, sp, sr) = (
        f(np.deg2rad([yaw_deg, pitch_deg, roll_deg])) for f in (np.cos, np.sin)
    )
    by_pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    by_yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    by_roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(by_roll @ by_yaw @ by_pitch)


def _camera(
    image_size: tuple[int, int], focal_px: float | None, center_px: ArrayLike | None
) -> Array:
    size = np.asarray(image_size, dtype=np.float64)
    if size.shape != (2,) or not np.isfinite(size).all() or (size <= 0).any():
        raise InputError(
            f"image_size is {image_size!r}; wanted width and height of the image in pixels"
        )
    focal = float(size[0]) if focal_px is None else float(focal_px)
    if not 0 < focal < np.inf:
        raise InputError(f"focal_px is {focal_px!r}; wanted a focal length in pixels, above 0")
    center = (size - 1) / 2 if center_px is None else np.asarray(center_px, dtype=np.float64)
    if center.shape != (2,) or not np.isfinite(center).all():
        raise InputError(f"center_px is {center_px!r}; wanted x, y in pixels of the image")
    return np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]])


def _landmarks(face: Face, wanted: list[int] | tuple[int, ...]) -> Array:
    """The landmarks of `face` at indices `wanted` of ibug68."""
    points = convert(face.landmarks, face.scheme, "ibug68").points[list(wanted)]
    absent = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(absent):
        missing = [scheme("ibug68").points[wanted[i]] for i in absent]
        raise SchemeError(
            f"{face.scheme} has no {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}, which this measure"
            " needs; predict with a model of ibug68, wflw98 or another scheme that has them"
        )
    return points


def _length(a: Array, b: Array) -> float:
    return float(np.hypot(*(a - b)))


def _ratio(length: float, width: float, what: str) -> float:
    if width == 0:
        raise ShapeError(f"the corners of {what} are one point; wanted two, to measure by")
    return length / width


def eye_openness(face: Face) -> Sides:
    """The eye aspect ratio of each eye: mean height between the lids over the width between the corners.

    About 0.1 or less for a closed eye and 0.2 to 0.4 for an open one, by person; a turned head narrows the eye and
    raises the ratio, a nodding one lowers it. Landmarks that are off by 3 % of the interocular distance move it by 0.10
    (root mean square), by 1 % still by 0.03: one photo hardly tells a blink, the same person's range over frames does.
    Raises: SchemeError where the scheme lacks the points; ShapeError where an eye has no width.
    Source: Soukupova and Cech 2016, eq. 1.
    """
    return Sides(
        _openness(face, RIGHT_EYE, "the right eye"), _openness(face, LEFT_EYE, "the left eye")
    )


def _openness(face: Face, eye: tuple[int, ...], what: str) -> float:
    outer, upper_1, upper_2, inner, lower_2, lower_1 = _landmarks(face, eye)
    return _ratio(
        (_length(upper_1, lower_1) + _length(upper_2, lower_2)) / 2, _length(outer, inner), what
    )


def mouth_openness(face: Face) -> float:
    """Mean height between the inner lips, at three places, over the width between the inner corners.

    0 for closed lips, 0.1 to 0.3 while talking, above 0.5 wide open; a turned head raises it.
    Raises: SchemeError where the scheme lacks the points; ShapeError where the mouth has no width.
    """
    right, upper_1, upper_2, upper_3, left, lower_3, lower_2, lower_1 = _landmarks(face, INNER_LIPS)
    pairs = ((upper_1, lower_1), (upper_2, lower_2), (upper_3, lower_3))
    return _ratio(sum(_length(*pair) for pair in pairs) / 3, _length(right, left), "the mouth")


def interocular_px(face: Face) -> float:
    """The distance in pixels between the outer corners of the eyes; it shrinks as the head turns.

    Raises: SchemeError where the scheme lacks the points.
    """
    return _length(*_landmarks(face, OUTER_CORNERS))


def eye_roll_deg(face: Face) -> float:
    """The angle, in (-180, 180], of the line from the right eye's corners to the left's: HeadPose's roll, flat.

    Equal to the roll of head_pose for a face that looks at the camera, and apart from it where yaw meets pitch.
    Raises: SchemeError where the scheme lacks the points.
    """
    corners = _landmarks(face, (36, 39, 42, 45))
    x, y = corners[2:].mean(0) - corners[:2].mean(0)
    return float(np.rad2deg(np.arctan2(y, x)))
