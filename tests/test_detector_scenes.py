"""The detector's data: photos, their boxes and rolls, the cache of images, scenes."""

import json

import cv2
import numpy as np
import pytest

from detector_photos import SHARES, face_landmarks, files_of, write_photos
from lineament.data.detection.image_cache import ImageCache
from lineament.data.detection.photos import (
    INSETS,
    Photo,
    eye_roll_deg,
    read_detection,
    read_detector_photos,
)
from lineament.data.detection.scenes import SceneMaker, move_faces, turn_boxes
from lineament.data.sample import in_validation
from lineament.errors import DataError
from lineament.geometry import compose, flip_affine, inset_boxes, similarity


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def maker(photos, tmp_path_factory):
    images = ImageCache(tmp_path_factory.mktemp("cache"), files_of(photos))
    return SceneMaker(photos, images, SHARES, size=128)


def test_a_turned_ellipse_fills_a_box_between_those_of_its_axes():
    box = np.array([[10.0, 10, 30, 50]])  # half axes 10 and 20 around (20, 30)
    quarter = turn_boxes(box, similarity(1.0, 90.0, (20, 30), (20, 30)))
    assert quarter == pytest.approx(np.array([[0, 20, 40, 40]]))
    # at 45 degrees both half sides are sqrt((100 + 400) / 2)
    half = np.sqrt(250)
    slanted = turn_boxes(box, similarity(1.0, 45.0, (20, 30), (20, 30)))
    assert slanted == pytest.approx(
        np.array([[20 - half, 30 - half, 20 + half, 30 + half]])
    )


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angle", [-170.0, -40.0, 0.0, 75.0])
def test_rolls_follow_turning_and_mirroring(photos, mirror, angle):
    points = face_landmarks((50, 50), 40, roll_deg=20.0)
    photo = Photo(
        photos[0].image, "landmarks", np.array([[30.0, 30, 70, 70]]), "x", points
    )
    affine = similarity(1.5, angle, (50, 50), (64, 64))
    affine = compose(affine, flip_affine(100)) if mirror else affine
    _, rolls = move_faces(photo, affine)
    # a mirrored face of roll 20 has roll -20 before it is turned
    assert (rolls[0] - (angle + (-20 if mirror else 20))) % 360 == pytest.approx(
        0, abs=1e-6
    ) or (rolls[0] - (angle + (-20 if mirror else 20))) % 360 == pytest.approx(
        360, abs=1e-6
    )


def test_a_scene_is_the_same_whenever_it_is_made_and_labels_what_it_shows(maker):
    for index in range(12):
        scene, again = maker(index), maker(index)
        assert (scene.image == again.image).all()
        assert (scene.boxes == again.boxes).all()
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert (
            len(scene.boxes)
            == len(scene.recognizable)
            == len(scene.roll_deg)
            == len(scene.roll_weight)
        )
        centers = (scene.boxes[:, :2] + scene.boxes[:, 2:])[scene.recognizable] / 2
        assert ((centers > -64) & (centers < 192)).all()
    assert (maker(0).image != maker(1).image).any()


def test_annotations_become_tight_boxes_of_each_kind(tmp_path):
    entries = [
        {"file": "wider/a.jpg", "boxes_xyxy": [[0, 0, 100, 200], [5, 5, 5, 9]]},
        {"file": "background/b.jpg", "boxes_xyxy": []},
    ]
    (tmp_path / "annotations.json").write_text(json.dumps({"images": entries}))
    wider, background = read_detection(tmp_path)
    # 100 x 200: left +1, top +52, right -1, bottom 0; a box without area is no face
    assert wider.boxes == pytest.approx(np.array([[1.0, 52, 99, 200]]))
    assert wider.given_heights == pytest.approx([200])
    assert wider.roll_deg().tolist() == [0]
    assert background.boxes.shape == (0, 4)
    assert wider.is_validation() == in_validation("a")
    (tmp_path / "annotations.json").write_text(
        '{"images": [{"file": "other/c.jpg", "boxes_xyxy": []}]}'
    )
    with pytest.raises(
        DataError, match=r"other/c.jpg is of no known kind; wanted a folder of wider"
    ):
        read_detection(tmp_path)
    (tmp_path / "annotations.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        read_detection(tmp_path)


def test_the_roll_of_landmarks_is_that_of_the_line_between_the_eyes():
    for roll in (-150.0, -20.0, 0.0, 60.0):
        assert eye_roll_deg(face_landmarks((3, 4), 50, roll)) == pytest.approx(roll)
    assert inset_boxes(np.array([[0.0, 0, 10, 10]]), INSETS["background"]).tolist() == [
        [0, 0, 10, 10]
    ]


def test_a_cache_gives_back_every_pixel_and_notices_a_broken_file(photos, tmp_path):
    cache = ImageCache(tmp_path, files_of(photos))
    assert len(cache) == len(photos)
    for i, photo in enumerate(photos):
        assert (cache[i] == cv2.imread(str(photo.image))[..., ::-1]).all()
    (pixels,) = tmp_path.glob("*.npy")
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"a broken cache .*; delete it and run again"):
        ImageCache(tmp_path, files_of(photos))
    with pytest.raises(DataError, match="no images to cache"):
        ImageCache(tmp_path, [])


def test_only_the_kinds_asked_for_are_read(tmp_path):
    (tmp_path / "detection").mkdir()
    entries = [
        {"file": "wider/a.jpg", "boxes_xyxy": [[0, 0, 100, 200]]},
        {"file": "pets/b.jpg", "boxes_xyxy": []},
    ]
    path = tmp_path / "detection/annotations.json"
    path.write_text(json.dumps({"images": entries}))
    # without landmark sets, which are not there
    (pets,) = read_detector_photos(tmp_path, ["pets", "masks"])
    assert pets.has_no_face()
    with pytest.raises(
        DataError, match="no kind of photo 'widr'; did you mean 'wider'"
    ):
        read_detector_photos(tmp_path, ["widr"])


def test_shares_decide_how_often_a_kind_is_shown(photos, tmp_path):
    images = ImageCache(tmp_path, files_of(photos))
    faces = SceneMaker(photos, images, {"landmarks": 1.0, "background": 0.0}, size=64)
    assert all(len(faces(index).boxes) for index in range(8))
    assert faces.kinds == ["landmarks", "background"]
    only = SceneMaker(photos, images, {"background": 1.0, "masks": 1.0}, size=64)
    assert only.kinds == ["background"]
