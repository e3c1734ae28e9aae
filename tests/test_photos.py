"""Detector photos: annotations become tight boxes and rolls."""

import json
from pathlib import Path

import numpy as np
import pytest

from detector_photos import face_landmarks
from lineament.data.detection.photos import (
    INSETS,
    Photo,
    eye_roll_deg,
    read_detection,
    read_detector_photos,
)
from lineament.data.sample import Sample, in_validation
from lineament.errors import DataError
from lineament.geometry import inset_boxes


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
        DataError, match=r"other/c.jpg is not in a known folder; expected one of wider"
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


def test_only_the_requested_kinds_are_read(tmp_path):
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


def test_photos_of_the_same_person_are_in_the_split_of_their_samples():
    for number in range(30):
        name = f"person{number}"
        photos = []
        for view in ("front", "side"):
            image, nothing = Path(f"{name}__{view}.jpg"), np.zeros((0, 4))
            photos.append(Photo(image, "landmarks", nothing, image.stem))
        sample = Sample(photos[0].image, np.zeros((5, 2)), "five", name)
        assert {photo.is_validation() for photo in photos} == {sample.is_validation()}
