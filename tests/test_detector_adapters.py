"""Adapters: boxes and points of other detectors become tight boxes, rolls and landmarks."""

import types

import cv2
import numpy as np
import pytest

from lineament.errors import ExtraError, ModelError
from lineament.geometry import inset_boxes
from lineament.inference.detector_adapters import mediapipe, yunet
from lineament.inference.predictor import Predictor
from lineament.schemes import scheme

# in YuNet's own order: the subject's right eye is on the left of the image
YUNET_ORDER = [
    "right eye",
    "left eye",
    "nose tip",
    "right mouth corner",
    "left mouth corner",
]
DRAWN = {
    "right eye": (30, 40),
    "left eye": (60, 42),
    "nose tip": (45, 55),
    "right mouth corner": (33, 70),
    "left mouth corner": (58, 71),
}
NAMES = {"right eye": "right_eye_center", "left eye": "left_eye_center"}


class DrawnNet:
    """A fake of a perfect YuNet that finds each point by its gray level."""

    def setInputSize(self, size):
        self.size = size

    def detect(self, bgr):
        if not bgr.any():
            return 1, None
        row = [20.0, 20, 50, 60]
        for k in range(5):
            y, x = np.argwhere(bgr[..., 0] == 100 + k)[0]
            row += [x, y]
        return 1, np.array([[*row, 0.9]], np.float32)


@pytest.fixture
def detector(tmp_path, monkeypatch):
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"")
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: DrawnNet())
    return yunet(path)


def drawn():
    image = np.zeros((100, 100, 3), np.uint8)
    for k, part in enumerate(YUNET_ORDER):
        x, y = DRAWN[part]
        image[y, x] = 100 + k
    return image


def test_each_point_of_yunet_has_the_index_of_its_name(detector):
    found = detector(drawn())
    assert found.scheme == "five"
    names = scheme("five").points
    for part, place in DRAWN.items():
        name = NAMES.get(part, part.replace(" ", "_"))
        assert found.landmarks[0, names.index(name)].tolist() == list(place)
    # mirrored, the subject's right and left change places as the scheme's mirror says
    mirrored = found.landmarks[0][scheme("five").mirror]
    assert mirrored[0].tolist() == list(DRAWN["left eye"])


def test_an_empty_result_also_has_the_scheme(detector):
    found = detector(np.zeros((100, 100, 3), np.uint8))
    assert (found.scheme, found.landmarks.shape) == ("five", (0, 5, 2))


def test_without_a_model_the_points_of_yunet_are_the_landmarks(detector):
    faces = Predictor(model=None, detector=detector)(drawn())
    assert (faces.scheme, faces.landmarks.shape) == ("five", (1, 5, 2))
    assert faces.landmarks[0].tolist() == [list(DRAWN[part]) for part in YUNET_ORDER]
    assert faces.scores[0].tolist() == [faces[0].score] * 5 == [np.float32(0.9)] * 5
    assert np.isnan(faces.sigma_px).all()


def test_insets_move_each_side_by_its_fraction():
    # a box 100 wide and 50 high: left +10, top +10, right -20, bottom +5
    assert inset_boxes(
        np.array([[0.0, 0, 100, 50]]), (0.1, 0.2, 0.2, -0.1)
    ).tolist() == [[10, 10, 80, 55]]


def test_yunet_boxes_and_eyes_become_tight_boxes_and_rolls(tmp_path, monkeypatch):
    row = [10.0, 20, 100, 200, 30, 60, 80, 110, 0, 0, 0, 0, 0, 0, 0.9]
    seen = []

    class FakeNet:
        def setInputSize(self, size):
            seen.append(size)

        def detect(self, bgr):
            seen.append(bgr[0, 0].tolist())
            return 1, np.array([row], np.float32) if bgr.any() else None

    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"")
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: FakeNet())
    detector = yunet(path)
    image = np.zeros((60, 80, 3), np.uint8)
    assert len(detector(image).boxes) == 0
    image[..., 0] = 255  # red in RGB is the last channel of BGR
    found = detector(image)
    assert seen[-2:] == [(80, 60), [0, 0, 255]]
    # 100 wide, 200 high: left +1, top +52, right -1, bottom 0
    assert found.boxes == pytest.approx(np.array([[11, 72, 109, 220]]))
    assert found.roll_deg == pytest.approx([45.0])
    assert found.scores == pytest.approx([0.9])


def test_the_error_names_a_missing_or_foreign_yunet_file(tmp_path):
    with pytest.raises(ModelError, match="no YuNet at"):
        yunet(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="OpenCV cannot open it as YuNet"):
        yunet(tmp_path / "bad.onnx")


def test_mediapipe_boxes_become_tight_boxes_in_pixels(monkeypatch):
    area = types.SimpleNamespace(xmin=0.1, ymin=0.2, width=0.5, height=0.5)
    points = [types.SimpleNamespace(x=0.2, y=0.4), types.SimpleNamespace(x=0.4, y=0.4)]
    place = types.SimpleNamespace(relative_bounding_box=area, relative_keypoints=points)
    face = types.SimpleNamespace(location_data=place, score=[0.8])

    class FakeDetection:
        def __init__(self, selection, threshold):
            assert (selection, threshold) == (1, 0.5)

        def process(self, image):
            return types.SimpleNamespace(detections=[face] if image.any() else None)

    solutions = types.SimpleNamespace(
        face_detection=types.SimpleNamespace(FaceDetection=FakeDetection)
    )
    package = types.ModuleType("mediapipe")
    package.solutions = solutions
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", package)
    detector = mediapipe()
    assert len(detector(np.zeros((100, 200, 3), np.uint8)).boxes) == 0
    found = detector(np.ones((100, 200, 3), np.uint8))
    # box 19.5..119.5 x 19.5..69.5, 100 x 50: insets 3.6, 5.65, 3.6, -0.85
    assert found.boxes == pytest.approx(np.array([[23.1, 25.15, 115.9, 70.35]]))
    assert found.roll_deg == pytest.approx([0.0])


def test_without_mediapipe_the_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(ExtraError, match="mediapipe"):
        mediapipe()
