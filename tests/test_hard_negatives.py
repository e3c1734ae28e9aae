"""False positives of a detector or a model in photos without a face."""

import json

import numpy as np
import pytest

from lineament.errors import ModelError
from lineament.inference.detections import Detections
from lineament.inference.predictor import Predictor
from lineament.labeling.hard_negatives import (
    MAX_BOXES,
    faces_by_presence,
    write_hard_negatives,
)
from no_face import write_detection
from test_predictor import LEFT_AND_RIGHT, MeanShapeModel, Present, ramp


def test_the_best_boxes_of_each_photo_are_written_and_small_ones_left_out(tmp_path):
    write_detection(tmp_path, count=2)
    boxes = np.array([[0.0, 0, 11, 11]] + [[0.0, 0, 12, 12 + k] for k in range(12)])
    scores = np.linspace(0.9, 0.2, len(boxes))
    found = Detections(boxes, scores, np.zeros(len(boxes)))
    seen = []

    def detect(image):
        seen.append(1)
        return found if len(seen) > 1 else found.take([])

    path = tmp_path / "out" / "found.json"
    counts = write_hard_negatives(detect, tmp_path, path, kinds=("objects",))
    written = json.loads(path.read_text())
    assert counts == (MAX_BOXES, 1)
    ((name, rows),) = written.items()
    assert name.startswith("detection/objects/")
    np.testing.assert_allclose(np.array(rows)[:, :4], boxes[1 : MAX_BOXES + 1])


def test_a_model_with_presence_ranks_false_positives():
    model = Present()
    model.predicts_presence = True
    predictor = Predictor(model, lambda image: LEFT_AND_RIGHT, min_presence=0.1)
    found = faces_by_presence(predictor)(ramp())
    np.testing.assert_array_equal(found.boxes, LEFT_AND_RIGHT[::-1])
    assert found.scores == pytest.approx([190 / 255, 55 / 255], abs=0.01)
    predictor.min_presence = 0.5
    assert len(faces_by_presence(predictor)(ramp())) == 1


def test_a_model_without_presence_is_rejected():
    with pytest.raises(
        ModelError, match="'mean' does not predict presence; choose one"
    ):
        faces_by_presence(Predictor(MeanShapeModel()))
