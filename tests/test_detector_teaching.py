"""A detector's teachers: YuNet's labels on disk, ImageNet features, mined false positives."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import lineament.training.detector.mimicry as mimicry_module
import lineament.training.detector.mining as mining_module
import lineament.training.detector.teacher as teacher_module
from detector_photos import write_photos
from lineament.data.detection.image_cache import ImageCache
from lineament.data.detection.scenes import SceneMaker
from lineament.inference.detections import Detections
from lineament.models.face_detector import FaceDetectorNet
from lineament.training.checkpoint import student_weights
from lineament.training.detector.mimicry import (
    FeatureTeacher,
    ImitatingDetector,
    feature_distance,
)
from lineament.training.detector.mining import (
    cached_false_positives,
    find_false_positives,
)
from lineament.training.detector.teacher import label_photos

pytestmark = pytest.mark.torch
TINY = {"widths": (8, 8, 16, 16, 16), "depths": (0, 1, 1, 0), "pyramid": 16}


class Trunk(torch.nn.Module):
    """A fake backbone with fixed channels at strides 4 to 32."""

    strides, channels = (4, 8, 16, 32), (3, 3, 3, 3)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def forward(self, x):
        return [torch.nn.functional.avg_pool2d(x, stride) for stride in self.strides]


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, count=4)


def test_the_teacher_runs_once_per_photo_with_people(photos, tmp_path, monkeypatch):
    asked = []

    def open_teacher(path, threshold):
        def detect(image):
            asked.append(image.shape)
            height, width = image.shape[:2]
            # the left third of the image, as pixel centers see it at any scale
            box = np.array([[0, 0, width / 3, height]]) - 0.5
            five = np.full((1, 5, 2), height / 2 - 0.5)
            return Detections(box, np.ones(1), np.zeros(1), five, "five")

        return detect

    monkeypatch.setattr(teacher_module, "yunet", open_teacher)
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"x")
    images = ImageCache(tmp_path / "cache", photos)
    unlabeled = [
        photo if photo.has_no_face() else _without_labels(photo) for photo in photos
    ]
    notes = []
    labeled = label_photos(unlabeled, images, file, tmp_path / "cache", notes.append)
    assert len(asked) == 2 * 4  # two sizes of each photo with people
    assert notes == ["the teacher adds 4 faces to 4 photos"]
    for photo in labeled[:4]:
        # images of 140 x 120
        assert photo.boxes == pytest.approx(
            np.array([[-0.5, -0.5, 140 / 3 - 0.5, 119.5]]), abs=0.1
        )
        assert photo.five_points() == pytest.approx(np.full((1, 5, 2), 59.5), abs=0.1)
    assert all(not len(photo.boxes) for photo in labeled[4:])
    again = label_photos(unlabeled, images, file, tmp_path / "cache", notes.append)
    assert len(asked) == 8
    assert (again[0].boxes == labeled[0].boxes).all()


def _without_labels(photo):
    none = np.zeros((0, 4))
    return replace(
        photo, boxes=none, landmarks=None, five=None, kind="people", all_labeled=False
    )


def test_feature_imitation_keeps_the_detector_and_trains_its_features(monkeypatch):
    monkeypatch.setattr(mimicry_module, "make_backbone", lambda name, imagenet: Trunk())
    torch.manual_seed(0)
    net = FaceDetectorNet(**TINY)
    teacher = FeatureTeacher("any", torch.device("cpu"))
    model = ImitatingDetector(net, teacher.channels).eval()
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        cells, features = model.with_features(images)
        for a, b in zip(cells, net(images), strict=True):
            assert torch.equal(a, b)
    wanted = teacher(images)
    assert [f.shape for f in features] == [w.shape for w in wanted]
    # the same features are at distance 0, opposite ones at 2 per scene
    assert float(feature_distance(wanted, wanted)) == pytest.approx(0, abs=1e-5)
    opposite = [-maps for maps in wanted]
    assert float(feature_distance(opposite, wanted)) == pytest.approx(4, abs=1e-5)
    kept = student_weights(model.state_dict())
    assert kept.keys() == net.state_dict().keys()


def test_false_positives_of_the_detector_are_mined(photos, tmp_path, monkeypatch):
    images = ImageCache(tmp_path / "cache", photos)
    net = FaceDetectorNet(**TINY).eval()
    with torch.no_grad():
        for head in net.heads:
            head[-1].weight.zero_()
            head[-1].bias.zero_()
            head[-1].bias[0] = -9.0
    assert find_false_positives(net, photos, images) == {}
    with torch.no_grad():
        # every cell of stride 32 is a face of 64 px
        net.heads[2][-1].bias[0] = 9.0
    hard = find_false_positives(net, photos, images)
    assert sorted(hard) == [4, 5, 6, 7]
    places = hard[4]
    # 64 px of images of 280, 280 and 160 px, enlarged twice at most, in the image of 140
    expected = [64 * 140 / side for side in (280, 280, 160)]
    for side in expected:
        assert np.isclose(places[:, 2], side, rtol=0.02).any()
    # cached on disk, so that a resumed run does not search again
    asked = []

    def load(path):
        asked.append(path)
        return net, None

    monkeypatch.setattr(mining_module, "load_detector", load)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(b"x")
    for _ in range(2):
        kept = cached_false_positives(checkpoint, photos, images, tmp_path / "cache")
        assert kept.keys() == hard.keys()
        assert all((kept[i] == hard[i]).all() for i in hard)
    assert asked == [checkpoint]
    maker = SceneMaker(photos, images, {"background": 1.0}, 64, hard=hard)
    assert maker(0).image.shape == (64, 64, 3)
