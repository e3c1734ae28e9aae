"""Measures of a face detector: recall, false positives, roll, the threshold."""

import json
from pathlib import Path

import numpy as np
import pytest

from commands import call
from lineament.data.detection.photos import Photo
from lineament.evaluation.detection import (
    DetectionResult,
    evaluate_detector,
    faces_as_detections,
    point_errors,
    roll_errors_deg,
    score_detections,
)
from lineament.evaluation.thresholds import above, lowest_threshold
from lineament.geometry import similarity
from lineament.inference.face_detector import Detections
from lineament.inference.predictor import Predictor
from tiny_onnx import write_model

TWO_FACES = Photo(
    Path("x.png"), "wider", np.array([[0.0, 0, 10, 10], [20, 0, 24, 4]]), "x"
)


def photo_with_landmarks(roll_deg):
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-0.25, -0.2), (0.25, -0.2)
    points = points @ similarity(50, roll_deg, (0, 0), (0, 0))[:, :2].T + 50
    return Photo(
        Path("x.png"), "landmarks", np.array([[30.0, 30, 70, 70]]), "x", points
    )


def test_recall_matches_one_box_per_face_and_counts_others_as_false_positives():
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    found = Detections(boxes, np.array([0.5, 0.9, 0.8]), np.full(3, np.nan))
    result = score_detections([TWO_FACES], [found])
    assert (result.photos, result.faces, result.found, result.false_positives) == (
        1,
        2,
        1,
        1,
    )
    assert score_detections([TWO_FACES], [found], min_height=5.0).recall == 1.0
    assert score_detections([TWO_FACES], [above(found, 0.95)]).found == 0
    assert np.isnan(result.roll_error_deg)


def test_a_result_is_json_without_nan():
    no_face = DetectionResult(photos=1, faces=0, found=0, false_positives=2)
    record = json.loads(json.dumps(no_face.as_json(), allow_nan=False))
    assert record["roll_error_deg"] is record["recall"] is None
    assert (record["photos"], record["false_positives"]) == (1, 2)
    assert DetectionResult(1, 4, 3, 0, roll_error_deg=2.5).as_json() == {
        "photos": 1,
        "faces": 4,
        "found": 3,
        "false_positives": 0,
        "false_photos": 0,
        "roll_error_deg": 2.5,
        "point_error": None,
        "recall": 0.75,
    }


def test_the_lowest_threshold_allows_just_as_many_false_positives():
    empty = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    one = Detections(np.zeros((3, 4)), np.array([0.2, 0.7, 0.4]), np.zeros(3))
    assert lowest_threshold([empty, one], 1) == 0.4  # scores above 0.4: one
    assert len(above(one, 0.4).scores) == 1
    assert lowest_threshold([empty, one], 5) == 0.0


def test_roll_errors_wrap_around():
    photo = photo_with_landmarks(175.0)
    found = Detections(photo.boxes, np.ones(1), np.array([-175.0]))
    assert roll_errors_deg([photo], [found]) == pytest.approx([10.0])
    assert score_detections([photo], [found]).roll_error_deg == pytest.approx(10.0)
    unknown = Detections(photo.boxes, np.ones(1), np.array([np.nan]))
    assert len(roll_errors_deg([photo], [unknown])) == 0


def test_errors_of_five_points_are_measured_in_sides_of_the_box():
    five = np.array([[[2.0, 2], [8, 2], [5, 5], [3, 8], [np.nan, np.nan]]])
    photo = Photo(Path("x.png"), "wider", np.array([[0.0, 0, 10, 8]]), "x", five=five)
    moved = five + np.array([0.0, 0.5])
    found = Detections(photo.boxes, np.ones(1), np.zeros(1), moved, "five")
    # the unknown corner of the mouth does not count; half a pixel of a side of 10
    assert point_errors([photo], [found]) == pytest.approx([0.05])
    assert score_detections([photo], [found]).point_error == pytest.approx(0.05)
    without = Detections(photo.boxes, np.ones(1), np.zeros(1))
    assert len(point_errors([photo], [without])) == 0


def test_photos_are_scored_by_kind_after_a_change(monkeypatch):
    empty = Photo(Path("e.png"), "objects", np.zeros((0, 4)), "e")
    monkeypatch.setattr(Photo, "read", lambda photo: np.zeros((30, 30, 3), np.uint8))

    def detect(image):
        return Detections(np.array([[0.0, 0, 10, 10]]), np.ones(1), np.zeros(1))

    results = evaluate_detector(detect, [TWO_FACES, empty, empty])
    # both faces of the wider photo are less than 16 px high
    assert results["wider"].faces == 0
    assert (results["objects"].photos, results["objects"].false_positives) == (2, 2)

    def enlarge(photo, image):
        return Photo(photo.image, "large", photo.boxes * 4, photo.name), image

    assert evaluate_detector(detect, [TWO_FACES], enlarge)["large"].faces == 2


def test_a_detector_with_a_model_finds_what_the_predictor_accepts(tmp_path):
    pytest.importorskip("onnx")
    model = write_model(tmp_path / "tiny.onnx")
    # the presence of the model is the mean red of the crop: 102 / 255 = 0.4
    image = np.full((64, 64, 3), 102, np.uint8)
    for min_presence, found in ((0.5, 0), (0.3, 1)):
        predictor = Predictor(
            model,
            lambda _: np.array([[16, 16, 48, 48, 0.9]]),
            min_presence=min_presence,
        )
        detected = faces_as_detections(predictor, image)
        assert detected.scores == pytest.approx([0.9] * found)


def test_options_without_effect_on_detection_are_rejected(tmp_path):
    words = ("evaluate", "--protocol", "detection-val")
    for option in (("--report", tmp_path / "r"), ("--perturb",), ("--allow-missing",)):
        code, _, err = call(*words, *option)
        assert code == 2
        assert "omit them" in " ".join(err.split())
