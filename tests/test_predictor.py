"""Predictor: landmarks are correct for any batch size, angle and number of threads."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from detector_graph import FIVE as FIVE_OF_CELL
from detector_graph import write_bright_detector
from lineament import Tracker, faces_from_json, faces_to_json
from lineament.errors import InputError, ModelError, SchemeError, ShapeError
from lineament.estimator import CropLandmarks, ValidationLimits
from lineament.geometry import apply_affine, similarity
from lineament.inference import face_detector
from lineament.inference.callable_detector import as_detector
from lineament.inference.detections import Detections
from lineament.inference.predictor import Predictor
from lineament.inference.recrop import RecropPolicy
from lineament.schemes import scheme

MEAN = scheme("ibug68").mean_shape


def ramp(width: int = 240, height: int = 200) -> np.ndarray:
    """Return an image whose red is x and whose green is y, so that crops encode their position."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)


class MeanShapeModel:
    """A model that centers the upright mean shape in every crop."""

    name, scheme, size, padding, points = "mean", "ibug68", 96, 1.25, 68

    def __init__(self, score: float = 0.9) -> None:
        self.score = score
        self.batches: list[int] = []
        self.crops: list[np.ndarray] = []

    def predict(self, crops):
        self.batches.append(len(crops))
        self.crops.append(crops)
        landmarks = MEAN * self.size / self.padding + (self.size - 1) / 2
        count = len(crops)
        return CropLandmarks(
            np.repeat(landmarks[None], count, 0).astype(np.float32),
            np.full((count, 68), self.score, np.float32),
            np.full((count, 68), 2.0, np.float32),
        )


def nothing(image):
    return np.zeros((0, 4))


def test_landmarks_are_where_the_crop_shows_them():
    model = MeanShapeModel()
    faces = Predictor(model, nothing, recrop=None)(ramp(), [[60, 50, 140, 130]])
    crop = model.crops[0][0]
    inside = MEAN * model.size / model.padding + (model.size - 1) / 2
    for k in (0, 8, 16, 27, 36, 45, 57):
        column, row = np.round(inside[k]).astype(int)
        # red and green of the nearest pixel of the crop are its position in the image
        shown = crop[row, column, :2].astype(float)
        assert np.abs(faces.landmarks[0, k] - shown).max() < 0.5 * 80 * 1.25 / 96 + 0.51


def test_a_box_gives_the_mean_shape_in_that_box():
    box = np.array([60.0, 50.0, 140.0, 130.0])
    found = Predictor(MeanShapeModel(), nothing, recrop=None)(ramp(), box).landmarks[0]
    np.testing.assert_allclose(found, MEAN * 80 + [100, 90], atol=1e-4)


def test_sigma_is_in_pixels_of_the_image():
    faces = Predictor(MeanShapeModel(), nothing, recrop=None)(
        ramp(), [60, 50, 140, 130]
    )
    # 2 px of a 96 px crop that shows 80 * 1.25 = 100 px of the image
    np.testing.assert_allclose(faces.sigma_px, 2 * 100 / 96, rtol=1e-6)


class OneSided(MeanShapeModel):
    """A model with an error of 3 crop pixels to the right, mirrored or not."""

    def predict(self, crops):
        found = super().predict(crops)
        return CropLandmarks(
            found.landmarks_crop + np.float32([3, 0]), found.scores, found.sigma_px
        )


def test_with_flip_an_error_to_one_side_averages_out():
    box = np.array([60.0, 50.0, 140.0, 130.0])
    plain = Predictor(OneSided(), nothing, recrop=None)(ramp(), box).landmarks[0]
    flipped = Predictor(OneSided(), nothing, recrop=None, flip=True)(
        ramp(), box
    ).landmarks[0]
    even = (
        MEAN + (MEAN * [-1, 1])[scheme("ibug68").mirror]
    ) / 2  # the mean shape is not exactly symmetric
    np.testing.assert_allclose(plain, MEAN * 80 + [100 + 3 * 100 / 96, 90], atol=1e-4)
    np.testing.assert_allclose(flipped, even * 80 + [100, 90], atol=1e-4)


def test_no_face_is_an_empty_result_of_the_same_kind():
    faces = Predictor(MeanShapeModel(), nothing)(ramp())
    assert len(faces) == 0
    assert faces.landmarks.shape == (0, 68, 2)
    assert faces.image_size == (240, 200)


def test_the_model_sees_all_faces_of_all_images_in_one_batch():
    model = MeanShapeModel()
    boxes = [
        [[10, 10, 60, 60], [80, 20, 160, 100]],
        np.zeros((0, 4)),
        [[30, 30, 90, 90]],
    ]
    results = Predictor(model, nothing, recrop=None)([ramp(), ramp(), ramp()], boxes)
    assert model.batches == [3]
    assert [len(faces) for faces in results] == [2, 0, 1]


def test_a_face_is_predicted_the_same_alone_and_among_others():
    boxes = [[10, 10, 60, 60], [80, 20, 160, 100], [30, 90, 95, 160]]
    together = Predictor(MeanShapeModel(), nothing)(ramp(), boxes)
    for box, face in zip(boxes, together, strict=True):
        alone = Predictor(MeanShapeModel(), nothing)(ramp(), [box])[0]
        np.testing.assert_array_equal(face.landmarks, alone.landmarks)


def test_many_threads_share_one_predictor():
    predictor = Predictor(MeanShapeModel(), nothing)
    wanted = predictor(ramp(), [60, 50, 140, 130]).landmarks
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal(
                predictor(ramp(), [60, 50, 140, 130]).landmarks, wanted
            ):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_any_callable_is_a_detector():
    faces = Predictor(
        MeanShapeModel(), lambda image: np.array([[60, 50, 140, 130, 0.75]])
    )(ramp())
    assert faces[0].score == pytest.approx(0.75)
    np.testing.assert_allclose(faces[0].box, [60, 50, 140, 130])


def test_a_model_of_low_scores_keeps_faces_above_its_own_limit():
    boxes = np.array([[60.0, 50, 140, 130]])
    model = MeanShapeModel(score=0.3)
    assert len(Predictor(model, lambda image: boxes)(ramp())) == 0
    model.validation_limits = ValidationLimits(low_score=0.25)
    predictor = Predictor(model, lambda image: boxes)
    assert predictor.min_landmark_score == 0.25
    assert len(predictor(ramp())) == 1
    model.validation_limits = ValidationLimits(low_score=0.6)
    assert Predictor(model).min_landmark_score == 0.4
    # a limit that the user sets is kept
    strict = Predictor(model, lambda image: boxes, min_landmark_score=0.5)
    assert len(strict(ramp())) == 0


def test_a_detection_whose_landmarks_score_low_is_no_face_but_a_given_box_is():
    boxes = np.array([[60.0, 50, 140, 130]])
    model = MeanShapeModel(score=0.1)
    assert (
        len(Predictor(model, lambda image: boxes, min_landmark_score=0.2)(ramp())) == 0
    )
    assert (
        len(Predictor(model, lambda image: boxes, min_landmark_score=0.05)(ramp())) == 1
    )
    assert (
        len(
            Predictor(model, lambda image: boxes, min_landmark_score=0.2)(ramp(), boxes)
        )
        == 1
    )


def test_duplicate_detections_are_merged_but_given_boxes_are_not():
    # the model finds the mean shape in the middle of each crop: boxes with one center and side
    # end in one face
    boxes = np.array([[60.0, 50, 140, 130], [61, 50, 141, 130], [20, 20, 60, 60]])
    assert (
        len(Predictor(MeanShapeModel(), lambda image: boxes, recrop=None)(ramp())) == 2
    )
    assert len(Predictor(MeanShapeModel(), recrop=None)(ramp(), boxes)) == 3


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (
            [[-100, -100, -10, -10]],
            r"box 0 is \[-100.0, .*\], outside the image of 240 x 200",
        ),
        ([[10, 10, 50, 50], [10, 300, 50, 350]], "box 1 is .* outside the image"),
        ("abc", "boxes are 'abc'; expected numbers"),
    ],
    ids=["left", "below", "text"],
)
def test_boxes_that_hold_no_face_are_rejected(boxes, message):
    with pytest.raises(ShapeError, match=message):
        Predictor(MeanShapeModel(), nothing)(ramp(), boxes)


def test_a_detector_that_cannot_be_called_and_threads_below_none_are_rejected():
    with pytest.raises(
        ModelError, match="the detector is 'zz'; expected 'default' or a callable"
    ):
        Predictor(MeanShapeModel(), "zz")
    with pytest.raises(ModelError, match="threads is -1; expected 0 or more"):
        Predictor(MeanShapeModel(), nothing, threads=-1)
    with pytest.raises(ModelError, match="min_presence is 2; expected 0 to 1"):
        Predictor(MeanShapeModel(), nothing, min_presence=2)
    with pytest.raises(ModelError, match="min_landmark_score is nan; expected 0 to 1"):
        Predictor(MeanShapeModel(), nothing, min_landmark_score=np.nan)
    with pytest.raises(ModelError, match="workers is -2; expected 0 or more"):
        Predictor(MeanShapeModel(), nothing, workers=-2)


class TurnedFaceModel(MeanShapeModel):
    """A model of a face rotated by `roll_deg`; its scores are high on upright crops."""

    def __init__(self, roll_deg: float) -> None:
        super().__init__()
        self.roll_deg = roll_deg

    def predict(self, crops):
        heads = super().predict(crops)
        for k, crop in enumerate(crops):
            middle = self.size // 2
            # x and y of the image at two pixels of a row give the rotation of the crop
            right = (
                crop[middle, middle + 20, :2].astype(float)
                - crop[middle, middle - 20, :2]
            )
            left_over = (
                self.roll_deg - np.rad2deg(np.arctan2(right[1], right[0])) + 180
            ) % 360 - 180
            turn = similarity(
                1.0, left_over, [(self.size - 1) / 2] * 2, [(self.size - 1) / 2] * 2
            )
            heads.landmarks_crop[k] = apply_affine(turn, heads.landmarks_crop[k])
            heads.scores[k] = (
                0.95 if abs(left_over) < 20 else 0.6 if abs(left_over) < 60 else 0.2
            )
        return heads


@pytest.mark.parametrize("roll_deg", [0, 40, -50, 95, 180, -120])
def test_a_face_at_any_angle_is_recropped_upright(roll_deg):
    model = TurnedFaceModel(roll_deg)
    face = Predictor(model, nothing)(ramp(), [80, 60, 160, 140])[0]
    assert face.scores.mean() == pytest.approx(0.95)
    turned = apply_affine(similarity(1.0, roll_deg, (0, 0), (0, 0)), MEAN)
    spread = face.landmarks - face.landmarks.mean(0)
    cosine = (
        (spread * (turned - turned.mean(0))).sum()
        / np.linalg.norm(spread)
        / np.linalg.norm(turned - turned.mean(0))
    )
    assert cosine > 0.98


def test_landmarks_of_another_scheme_are_converted_from_the_models_own():
    own = Predictor(MeanShapeModel(), nothing)(ramp(), [60, 50, 140, 130])[0]
    five = Predictor(MeanShapeModel(), nothing, scheme="five")(
        ramp(), [60, 50, 140, 130]
    )[0]
    assert five.scheme == "five"
    # the nose tip of five is point 30 of ibug68
    nose = next(i for i, name in enumerate(scheme("five").points) if "nose" in name)
    np.testing.assert_allclose(five.landmarks[nose], own.landmarks[30])


def test_a_scheme_that_cannot_be_made_is_rejected_before_any_face():
    with pytest.raises(
        SchemeError,
        match=r"model 'mean' predicts ibug68, from which 24 of the 98 points of wflw98 cannot",
    ):
        Predictor(MeanShapeModel(), nothing, scheme="wflw98")


def test_boxes_for_another_number_of_images_are_rejected():
    with pytest.raises(
        ShapeError, match="1 sets of boxes for 2 images; expected one set per image"
    ):
        Predictor(MeanShapeModel(), nothing)([ramp(), ramp()], [[[1, 1, 5, 5]]])


def test_a_box_without_area_is_rejected():
    with pytest.raises(
        ShapeError,
        match=r"box 0 is \[5\.0, 5\.0, 5\.0, 9\.0\]; expected finite x0 < x1",
    ):
        Predictor(MeanShapeModel(), nothing)(ramp(), [5, 5, 5, 9])


def rolled(image):
    """A detector that states a roll of 20 degrees."""
    return np.array([[80.0, 60, 160, 140]]), np.array([0.9]), np.array([20.0])


@pytest.mark.parametrize(
    ("recrop", "roll_deg"),
    [(None, 0), (RecropPolicy(), 0), (RecropPolicy(max_roll_deg=10), 20)],
)
def test_the_first_crop_follows_the_rules_of_the_predictor(recrop, roll_deg):
    model = TurnedFaceModel(roll_deg)  # confident only in a crop of that roll
    assert len(Predictor(model, rolled, recrop=recrop)(ramp())) == 1
    crop = model.crops[0][0].astype(float)
    right = crop[48, 68, :2] - crop[48, 28, :2]
    assert np.rad2deg(np.arctan2(right[1], right[0])) == pytest.approx(roll_deg, abs=2)


RIGHT = np.array([100, 0])
FIVE = np.array([[70.0, 60], [110, 62], [90, 80], [75, 105], [105, 106]])


def five_points(image):
    """A detector of two faces with five landmarks, the second one better."""
    boxes = np.array([[160.0, 50, 220, 130], [60, 50, 120, 130]])
    landmarks = np.stack([FIVE + RIGHT, FIVE])
    return Detections(boxes, np.array([0.6, 0.9]), np.zeros(2), landmarks, "five")


def test_without_a_model_the_landmarks_are_the_detectors_own():
    faces = Predictor(None, as_detector(five_points, "five"))([ramp(), ramp()])[1]
    assert (faces.scheme, faces.points, faces.image_size) == ("five", 5, (240, 200))
    np.testing.assert_array_equal(faces.landmarks, [FIVE, FIVE + RIGHT])
    # the detector scores faces, not points, and states no error of them
    assert faces.scores.tolist() == [[0.9] * 5, [0.6] * 5]
    assert np.isnan(faces.sigma_px).all()
    _, again = faces_from_json(faces_to_json(faces))
    np.testing.assert_array_equal(again.landmarks, faces.landmarks)
    assert np.isnan(again.sigma_px).all()


def test_without_a_model_no_face_is_an_empty_result_in_the_detectors_scheme():
    faces = Predictor(None, as_detector(nothing, "five"))(ramp())
    assert (len(faces), faces.scheme, faces.landmarks.shape) == (0, "five", (0, 5, 2))


def test_without_a_model_a_detector_without_landmarks_is_rejected():
    with pytest.raises(
        ModelError, match="this one finds none; choose a model, or a det"
    ):
        Predictor(None, nothing)
    stated = as_detector(five_points, "five")
    with pytest.raises(ModelError, match="flip averages two predictions of a model"):
        Predictor(None, stated, flip=True)
    with pytest.raises(
        SchemeError, match="65 of the 68 points of ibug68 cannot be derived"
    ):
        Predictor(None, stated, scheme="ibug68")
    with pytest.raises(ModelError, match="this predictor has no landmark model"):
        Predictor(None, stated)(ramp(), [[60, 50, 120, 130]])
    with pytest.raises(ModelError, match="this predictor has no landmark model"):
        Tracker(None, detector=stated)


@pytest.mark.parametrize(("predicts_presence", "wanted"), [(False, 0), (True, 1)])
def test_a_model_that_predicts_presence_checks_more_boxes(
    predicts_presence, wanted, tmp_path, monkeypatch
):
    pytest.importorskip("onnx")
    card = {"threshold": 0.8, "proposal_threshold": 0.4}
    path = write_bright_detector(tmp_path / "five.onnx", turn_deg=0.0, **card)
    monkeypatch.setattr(face_detector, "find_model", lambda name: path)
    face_detector.packaged_detector.cache_clear()
    image = np.zeros((128, 128, 3), np.uint8)
    image[16:24, 32:40] = 150
    model = MeanShapeModel()
    model.predicts_presence = predicts_presence
    found = Predictor(model, recrop=None, min_face=0.125)(image)
    face_detector.packaged_detector.cache_clear()
    assert len(found) == wanted


def test_without_a_model_a_default_detector_with_landmarks_gives_its_own(
    tmp_path, monkeypatch
):
    pytest.importorskip("onnx")
    path = write_bright_detector(tmp_path / "five.onnx", turn_deg=0.0)
    monkeypatch.setattr(face_detector, "find_model", lambda name: path)
    face_detector.packaged_detector.cache_clear()
    image = np.zeros((128, 128, 3), np.uint8)
    image[16:24, 32:40] = 255
    predictor = Predictor(None, min_face=0.125)  # 16 px of 128: not enlarged
    face_detector.packaged_detector.cache_clear()
    faces = predictor(image)
    assert (faces.scheme, len(faces)) == ("five", 1)
    # the cell of pixels 32..39 and 16..23
    np.testing.assert_allclose(
        faces.landmarks[0], FIVE_OF_CELL + np.array([35.5, 19.5])
    )


def test_min_face_applies_to_the_default_detector_and_is_checked_early():
    with pytest.raises(InputError, match="min_face is 'small'; expected the side of"):
        Predictor(MeanShapeModel(), min_face="small")
    with pytest.raises(ModelError, match="only the default detector takes; omit it"):
        Predictor(MeanShapeModel(), nothing, min_face="40px")
    detector = Predictor("fast", min_face="40px").detector
    assert len(detector(ramp())) == 0
    tracker = Tracker("fast", min_face=0.15)
    assert tracker.predictor.min_face == 0.15


def test_scores_and_sigma_are_converted_to_the_requested_scheme():
    class Graded(MeanShapeModel):
        def predict(self, crops):
            found = super().predict(crops)
            found.scores[:] = np.linspace(0.5, 0.9, 68)
            found.sigma_px[:] = np.linspace(1, 4, 68)
            return found

    box = [60, 50, 140, 130]
    own = Predictor(Graded(), nothing)(ramp(), box)[0]
    five = Predictor(Graded(), nothing, scheme="five")(ramp(), box)[0]
    # the right eye is the mean of six points, the nose tip is one point
    assert five.scores[0] == pytest.approx(own.scores[36:42].mean())
    assert five.sigma_px[0] == pytest.approx(own.sigma_px[36:42].mean())
    assert (five.scores[2], five.sigma_px[2]) == (own.scores[30], own.sigma_px[30])


class Present(MeanShapeModel):
    """Presence is the mean red of a crop, visibility falls from 1 to 0 by landmark."""

    def predict(self, crops):
        return replace(
            super().predict(crops),
            presence=(crops[..., 0].mean((1, 2)) / 255).astype(np.float32),
            visible=np.tile(np.linspace(1, 0, 68, dtype=np.float32), (len(crops), 1)),
        )


# mean red, which is x, of 55 and 190 of 255
LEFT_AND_RIGHT = np.array([[40.0, 50, 70, 80], [175, 50, 205, 80]])


def test_presence_drops_detections_but_no_given_box():
    model = Present(score=0.1)  # a score that drops faces of other models
    assert len(Predictor(model, lambda image: LEFT_AND_RIGHT)(ramp())) == 0
    predictor = Predictor(model, lambda image: LEFT_AND_RIGHT, min_presence=0.5)
    (face,) = predictor(ramp())
    assert face.presence == pytest.approx(190 / 255, abs=0.01)
    lenient = Predictor(model, lambda image: LEFT_AND_RIGHT, min_presence=0.2)
    assert len(lenient(ramp())) == 2
    given = predictor(ramp(), LEFT_AND_RIGHT)
    assert given.presence == pytest.approx(np.array([55, 190]) / 255, abs=0.01)
    assert given.visible.shape == (2, 68)


def test_presence_and_visibility_are_unknown_if_the_model_predicts_neither():
    face = Predictor(MeanShapeModel(), nothing)(ramp(), [60, 50, 140, 130])[0]
    assert np.isnan(face.presence)
    assert np.isnan(face.visible).all()
    five = Predictor(MeanShapeModel(), nothing, scheme="five")
    assert np.isnan(five(ramp(), [60, 50, 140, 130]).visible).all()


def test_visibility_is_converted_to_the_requested_scheme_and_presence_is_kept():
    box = [60, 50, 140, 130]
    own = Predictor(Present(), nothing)(ramp(), box)[0]
    five = Predictor(Present(), nothing, scheme="five")(ramp(), box)[0]
    assert five.visible[0] == pytest.approx(own.visible[36:42].mean())
    assert five.visible[2] == own.visible[30]
    assert five.presence == own.presence


@pytest.mark.parametrize(("presence", "is_turned"), [(0.5, False), (0.9, True)])
def test_presence_times_mean_score_selects_between_two_crops(presence, is_turned):
    class Torn(MeanShapeModel):
        """A model with score 0.6 and presence 0.9 on upright crops, and score 0.8 on others."""

        def predict(self, crops):
            heads = replace(
                super().predict(crops), presence=np.full(len(crops), 0.9, np.float32)
            )
            for k, crop in enumerate(crops.astype(float)):
                is_upright = crop[48, 68, 0] - crop[48, 28, 0] > 10
                heads.scores[k] = 0.6 if is_upright else 0.8
                heads.presence[k] = 0.9 if is_upright else presence
            return heads

    face = Predictor(Torn(), nothing)(ramp(), [80, 60, 160, 140])[0]
    # 0.9 x 0.6 = 0.54 is above 0.5 x 0.8 = 0.4 and below 0.9 x 0.8 = 0.72
    assert (face.scores[0] > 0.7) == is_turned
    assert face.presence == pytest.approx(0.9)


def test_no_other_angle_is_tried_if_there_is_clearly_no_face():
    model = Present(score=0.1)  # doubtful: other angles are tried
    boxes = np.array([[5.0, 50, 25, 70], [175, 50, 205, 80]])  # mean red 15 and 190
    upright = Detections(boxes, np.ones(2), np.zeros(2))
    policy = RecropPolicy(min_presence=0.1)
    Predictor(model, lambda image: upright, recrop=policy)(ramp())
    # both, then three turned crops and one around the landmarks, then one around those
    assert model.batches == [2, 4, 1]
    model.batches.clear()
    Predictor(model, lambda image: boxes, recrop=policy)(ramp())  # of unknown roll
    assert model.batches == [2, 8, 2]


@pytest.mark.parametrize(("limit", "batches"), [(0.7, [2, 1, 3, 1]), (0.8, [2, 1])])
def test_a_face_of_low_presence_is_tried_upside_down_before_other_angles(
    limit, batches
):
    model = Present(score=0.1)
    boxes = np.array([[5.0, 50, 25, 70], [175, 50, 205, 80]])  # presence 0.06 and 0.75
    upright = Detections(boxes, np.ones(2), np.zeros(2))
    policy = RecropPolicy(
        min_presence=0.1, low_presence=0.8, min_presence_upside_down=limit
    )
    Predictor(model, lambda image: upright, recrop=policy)(ramp())
    assert model.batches == batches
    model.batches.clear()
    Predictor(model, lambda image: boxes[1:], recrop=policy)(ramp())  # of unknown roll
    assert model.batches == [1, 4, 1]
