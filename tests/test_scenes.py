"""Scenes of the face detector: labels follow the pixels, shares decide the kinds."""

import numpy as np
import pytest

from detector_photos import SHARES, face_landmarks, five_points, write_photos
from lineament.data.detection.image_cache import ImageCache
from lineament.data.detection.photos import (
    Photo,
)
from lineament.data.detection.scenes import (
    SceneMaker,
    move_faces,
    move_points,
    rotate_boxes,
)
from lineament.geometry import compose, flip_affine, similarity


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def maker(photos, tmp_path_factory):
    images = ImageCache(tmp_path_factory.mktemp("cache"), photos)
    return SceneMaker(photos, images, SHARES, size=128)


def test_a_rotated_ellipse_fills_a_box_between_those_of_its_axes():
    box = np.array([[10.0, 10, 30, 50]])  # half axes 10 and 20 around (20, 30)
    quarter = rotate_boxes(box, similarity(1.0, 90.0, (20, 30), (20, 30)))
    assert quarter == pytest.approx(np.array([[0, 20, 40, 40]]))
    # at 45 degrees both half sides are sqrt((100 + 400) / 2)
    half = np.sqrt(250)
    slanted = rotate_boxes(box, similarity(1.0, 45.0, (20, 30), (20, 30)))
    assert slanted == pytest.approx(
        np.array([[20 - half, 30 - half, 20 + half, 30 + half]])
    )


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angle", [-170.0, -40.0, 0.0, 75.0])
def test_rolls_follow_turning_and_mirroring(photos, mirror, angle):
    points = face_landmarks((50, 50), 40, roll_deg=20.0)
    box = np.array([[30.0, 30, 70, 70]])
    five = five_points((50, 50), 40, 20.0)[None]
    photo = Photo(photos[0].image, "landmarks", box, "x", points, five=five)
    affine = similarity(1.5, angle, (50, 50), (64, 64))
    affine = compose(affine, flip_affine(100)) if mirror else affine
    _, rolls = move_faces(photo, affine)
    moved = move_points(photo, affine)[0]
    # the subject's right eye is first in both, and on the right only in the mirrored image
    eyes = moved[1] - moved[0]
    assert np.rad2deg(np.arctan2(eyes[1], eyes[0])) % 360 == pytest.approx(
        rolls[0] % 360, abs=1e-6
    )
    # mirroring changes roll 20 to -20 before the rotation
    assert (rolls[0] - (angle + (-20 if mirror else 20))) % 360 == pytest.approx(
        0, abs=1e-6
    ) or (rolls[0] - (angle + (-20 if mirror else 20))) % 360 == pytest.approx(
        360, abs=1e-6
    )


def test_scenes_are_reproducible_and_labeled_correctly(maker):
    for index in range(12):
        scene, again = maker(index), maker(index)
        assert (scene.image == again.image).all()
        assert (scene.boxes == again.boxes).all()
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert len(scene.boxes) == len(scene.recognizable) == len(scene.five)
        centers = (scene.boxes[:, :2] + scene.boxes[:, 2:])[scene.recognizable] / 2
        assert ((centers > -64) & (centers < 192)).all()
    assert (maker(0).image != maker(1).image).any()


def test_shares_set_the_frequency_of_each_kind(photos, tmp_path):
    images = ImageCache(tmp_path, photos)
    faces = SceneMaker(photos, images, {"landmarks": 1.0, "background": 0.0}, size=64)
    assert all(len(faces(index).boxes) for index in range(8))
    assert faces.kinds == ["landmarks", "background"]
    only = SceneMaker(photos, images, {"background": 1.0, "masks": 1.0}, size=64)
    assert only.kinds == ["background"]
