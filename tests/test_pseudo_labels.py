"""Pseudo-labels: confident faces become crops with .pts files, uncertain landmarks are nan."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lineament.data.box_noise import shift_box
from lineament.data.readers.folder import read_folder
from lineament.errors import ImageError
from lineament.estimator import CropLandmarks
from lineament.geometry import apply_affine, crop_affine, landmark_box
from lineament.inference.predictor import Predictor
from lineament.labeling import video_clips
from lineament.labeling.pseudo_labels import (
    LabelThresholds,
    find_media,
    iter_frames,
    label_faces,
    write_labels,
)
from lineament.schemes import scheme
from lineament.tracking.tracker import Tracker

MEAN = scheme("ibug68").mean_shape
PLACE = np.array([110.0, 90.0]) + 80 * MEAN


class Oracle:
    """A model that finds PLACE in any crop of an image whose red is x and green is y."""

    name, scheme, size, padding, points = "knows", "ibug68", 96, 1.3, 68

    def __init__(self, score=0.9, sigma_px=0.5, wrong=()):
        self.score, self.sigma_px, self.wrong = score, sigma_px, list(wrong)

    def predict(self, crops):
        found = []
        for crop in crops:
            middle = crop[24:72, 24:72, :2].astype(float)
            x, y = (
                middle[..., 0].mean(),
                middle[..., 1].mean(),
            )  # of the image, at the crop's center
            scale = (middle[:, -1, 0].mean() - middle[:, 0, 0].mean()) / 47
            points = (PLACE - [x, y]) / scale + 47.5
            points[self.wrong] = [10.0, 10.0]  # fixed in the crop, not on the face
            found.append(points)
        count = len(crops)
        sigma = np.full((count, 68), self.sigma_px, np.float32)
        return CropLandmarks(
            np.array(found, np.float32),
            np.full((count, 68), self.score, np.float32),
            sigma,
        )


def ramp():
    x, y = np.meshgrid(np.arange(240), np.arange(200))
    return np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)


def at_place(image):
    return landmark_box(PLACE)[None]


def test_the_landmarks_of_a_crop_are_those_of_the_image():
    ((crop, points),) = label_faces(
        Predictor(Oracle(), at_place, recrop=None), ramp(), LabelThresholds()
    )
    assert crop.shape[0] == pytest.approx(
        2.2 * 80, rel=0.04
    )  # the mean shape's box has side 1
    assert np.isfinite(points).all()
    shown = np.array([crop[round(y), round(x), :2] for x, y in points], float)
    assert np.abs(shown - PLACE).max() < 1.5


def test_a_landmark_that_moves_with_the_crop_is_nan():
    ((_, points),) = label_faces(
        Predictor(Oracle(wrong=[7]), at_place, recrop=None), ramp(), LabelThresholds()
    )
    assert np.flatnonzero(~np.isfinite(points).all(1)).tolist() == [7]


@pytest.mark.parametrize(
    ("model", "limits"),
    [
        (Oracle(), LabelThresholds(min_box_px=100)),
        (Oracle(score=0.4), LabelThresholds()),
        (Oracle(sigma_px=20.0), LabelThresholds()),
    ],
    ids=["small", "low score", "uncertain"],
)
def test_an_uncertain_face_is_left_out(model, limits):
    assert label_faces(Predictor(model, at_place, recrop=None), ramp(), limits) == []


class Seeing(Oracle):
    """An Oracle with presence and visibility."""

    def __init__(self, presence, occluded=(), **options):
        super().__init__(**options)
        self.presence, self.occluded = presence, list(occluded)

    def predict(self, crops):
        visible = np.ones((len(crops), 68), np.float32)
        visible[:, self.occluded] = 0.25
        presence = np.full(len(crops), self.presence, np.float32)
        return replace(super().predict(crops), presence=presence, visible=visible)


def test_presence_replaces_the_score_threshold():
    limits, wanted = LabelThresholds(), {"min_presence": 0.8, "recrop": None}
    for presence, count in ((0.7, 0), (0.9, 1)):
        predictor = Predictor(Seeing(presence, score=0.2), at_place, **wanted)
        assert len(label_faces(predictor, ramp(), limits)) == count


def test_landmarks_that_are_likely_not_visible_are_nan_and_do_not_count_as_unsure():
    # 38 of 68 points are turned away on a profile, more than min_known lets be unsure
    model = Seeing(0.95, occluded=range(38))
    predictor = Predictor(model, at_place, recrop=None)
    ((_, points),) = label_faces(predictor, ramp(), LabelThresholds())
    assert np.isnan(points[:38]).all()
    assert np.isfinite(points[38:]).all()
    # 13 of the 30 others move with the crop: less than 0.6 x 30 = 18 are left
    model.wrong = list(range(38, 51))
    assert label_faces(predictor, ramp(), LabelThresholds()) == []


def test_a_face_of_which_no_landmark_is_visible_is_left_out():
    predictor = Predictor(Seeing(0.95, occluded=range(68)), at_place, recrop=None)
    assert label_faces(predictor, ramp(), LabelThresholds()) == []


def test_clips_leave_out_faces_of_low_presence_and_landmarks_not_visible(
    tmp_path, monkeypatch
):
    model = Seeing(0.95, occluded=[3, 4], score=0.2)

    def frames(path, every):
        # at 0.4 it is tracked, but probably not a face
        for presence in (0.95, 0.95, 0.4, 0.4, 0.4):
            model.presence = presence
            yield "", ramp()

    monkeypatch.setattr(video_clips, "iter_frames", frames)
    follow = Tracker(model, detector=at_place, recrop=None, smooth=None)
    (clip,) = video_clips.label_video(tmp_path / "v.mp4", follow, 5, 2)
    assert len(clip) == 2
    assert np.flatnonzero(~clip[0].known).tolist() == [3, 4]


def test_a_box_moves_by_its_side_and_scales_about_its_center():
    assert shift_box(
        np.array([10.0, 20.0, 30.0, 60.0]), 0.5, 0.0, 0.5
    ) == pytest.approx([35, 30, 45, 50])


def test_labels_are_read_back_as_a_folder_of_faces(tmp_path):
    cv2.imwrite(str(tmp_path / "face.png"), ramp()[:, :, ::-1])
    assert (
        write_labels(
            Predictor(Oracle(wrong=[7]), at_place, recrop=None),
            tmp_path / "face.png",
            tmp_path / "out" / "my.face",
            LabelThresholds(),
        )
        == 1
    )
    (sample,) = read_folder(tmp_path / "out")
    assert sample.name == "my.face__0.jpg"
    assert np.isnan(sample.landmarks[7]).all()
    size = sample.read().shape[0]
    expected = apply_affine(
        crop_affine(landmark_box(np.delete(PLACE, 7, 0)), size, 2.2), PLACE
    )
    # the box of the mean includes the wrong point, so only distances between points are as expected
    spread = np.delete(sample.landmarks, 7, 0)
    assert np.ptp(spread[:, 0]) / np.ptp(spread[:, 1]) == pytest.approx(
        np.ptp(np.delete(expected, 7, 0)[:, 0])
        / np.ptp(np.delete(expected, 7, 0)[:, 1]),
        rel=0.01,
    )


def test_a_video_gives_each_nth_frame_under_its_number(tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64)
    )
    for _ in range(7):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    assert [name for name, _ in iter_frames(tmp_path / "v.mp4", 3)] == [
        "000000_",
        "000003_",
        "000006_",
    ]


def test_media_of_a_folder_are_its_images_and_videos(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.mp4").touch()
    (tmp_path / "c.txt").touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jpg").touch()
    (tmp_path / "a.mp4").touch()
    found = {
        path.relative_to(tmp_path).as_posix(): place.as_posix()
        for path, place in find_media([tmp_path]).items()
    }
    # places differ though names are alike
    assert found == {
        "a.jpg": "a",
        "a.mp4": "a.mp4",
        "b.mp4": "b",
        "deep/a.jpg": "deep/a",
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no image in this folder"):
        find_media([tmp_path / "empty"])
