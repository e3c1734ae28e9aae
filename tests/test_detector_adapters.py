"""Adapters: YuNet's five points become landmarks of the scheme "five", in its order."""

import cv2
import numpy as np
import pytest

from lineament.inference.detector_adapters import yunet
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
    """Finds points by the gray level that each was drawn with, as a perfect YuNet would."""

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


def test_an_image_without_a_face_has_the_scheme_too(detector):
    found = detector(np.zeros((100, 100, 3), np.uint8))
    assert (found.scheme, found.landmarks.shape) == ("five", (0, 5, 2))


def test_without_a_model_the_points_of_yunet_are_the_landmarks(detector):
    faces = Predictor(model=None, detector=detector)(drawn())
    assert (faces.scheme, faces.landmarks.shape) == ("five", (1, 5, 2))
    assert faces.landmarks[0].tolist() == [list(DRAWN[part]) for part in YUNET_ORDER]
    assert faces.scores[0].tolist() == [faces[0].score] * 5 == [np.float32(0.9)] * 5
    assert np.isnan(faces.sigma_px).all()
