"""Evaluation of predictors derived from the truth, whose results can be computed by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lineament.data.sample import Sample
from lineament.errors import ProtocolError
from lineament.evaluation.evaluate import evaluate, match_faces, truth_boxes
from lineament.evaluation.protocols import Protocol, protocol
from lineament.evaluation.report import Report
from lineament.face import Face, Faces
from lineament.geometry import iou, landmark_box
from lineament.schemes import convert, scheme
from test_video_reader import video as made_video

N = 68
COMMON = protocol("300w-common")


def shape(
    seed: int, at: tuple[float, float] = (60, 60), side: float = 100
) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0, side, (N, 2)) + at
    points[36], points[45] = (
        (at[0] + 20, at[1] + 30),
        (at[0] + 70, at[1] + 30),
    )  # interocular: 50
    return points


def sample(seed: int, name: str = "", **changes: object) -> Sample:
    name = name or f"helen/testset/{seed}.jpg"
    settings = {
        "image": Path(name),
        "landmarks": shape(seed),
        "scheme": "ibug68",
        "name": name,
        "subset": "helen/testset",
    }
    return Sample(**(settings | changes))  # type: ignore[arg-type]


def gray_image(_: Sample) -> np.ndarray:
    return np.full((220, 220, 3), 90, np.uint8)


def face(landmarks: np.ndarray, sigma: float = 2.0, scheme: str = "ibug68") -> Face:
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])
    return Face(
        landmarks,
        np.ones(len(landmarks)),
        np.full(len(landmarks), sigma),
        box,
        0.9,
        scheme,
    )


def faces(*found: Face) -> Faces:
    return Faces(
        found, found[0].scheme if found else "ibug68", len(found[0]) if found else N
    )


class Oracle:
    """A predictor that returns the shifted true points of each sample in turn and records calls."""

    def __init__(
        self,
        samples: list[Sample],
        shift: Callable[[int], tuple[float, float]] = lambda i: (0, 0),
    ) -> None:
        self.samples, self.shift = samples, shift
        self.calls: list[np.ndarray | None] = []

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        done = len(self.calls)
        self.calls.append(boxes)
        return faces(face(self.samples[done].landmarks + np.array(self.shift(done))))


def score(
    predict: Callable[..., Faces],
    samples: list[Sample],
    name: str | Protocol = COMMON,
    **options: object,
) -> Report:
    return evaluate(predict, name, samples, read=gray_image, **options)  # type: ignore[arg-type]


# -- the figures


def test_a_perfect_predictor_has_no_error() -> None:
    samples = [sample(i) for i in range(4)]
    report = score(Oracle(samples), samples)
    assert (
        report.images,
        report.misses,
        report.nme,
        report.failure_rate,
        report.auc,
    ) == (
        4,
        0,
        0,
        0,
        1,
    )
    assert report.per_part.keys() == COMMON.parts().keys()
    assert set(report.per_part.values()) == {0}


def test_all_results_follow_from_the_shifts() -> None:
    # Interocular 50 px: shifts of 1, 2, 3 and 6 px are errors of 0.02, 0.04, 0.06 and 0.12
    samples = [
        sample(i, subset=("helen" if i < 2 else "lfpw") + "/testset") for i in range(4)
    ]
    report = score(Oracle(samples, lambda i: ((1, 2, 3, 6)[i], 0)), samples)
    assert report.nme == pytest.approx(0.06)
    assert report.failure_rate == 0.25
    assert report.auc == pytest.approx(1 - (0.02 + 0.04 + 0.06 + 0.08) / 4 / 0.08)
    assert [rate.threshold for rate in report.at_thresholds] == [0.08, 0.1]
    assert report.at_thresholds[1].auc == pytest.approx(
        1 - (0.02 + 0.04 + 0.06 + 0.1) / 4 / 0.1
    )
    assert {name: score.nme for name, score in report.per_subset.items()} == {
        "helen": pytest.approx(0.03),
        "lfpw": pytest.approx(0.09),
    }
    assert report.per_landmark == pytest.approx([0.06] * N)
    assert [f.nme for f in report.per_image] == pytest.approx([0.02, 0.04, 0.06, 0.12])
    assert report.other_norms["diagonal"].nme == pytest.approx(
        np.mean(
            [
                s / np.hypot(*np.ptp(x.landmarks, 0))
                for s, x in zip((1, 2, 3, 6), samples, strict=True)
            ]
        )
    )


def test_the_worst_faces_come_first_and_are_drawn() -> None:
    samples = [sample(i) for i in range(6)]
    report = score(
        Oracle(samples, lambda i: ((3, 1, 6, 2, 5, 4)[i], 0)), samples, worst=3
    )
    assert [w.image for w in report.worst] == [samples[i].name for i in (2, 4, 5)]
    assert all(len(w.jpeg) > 1000 for w in report.worst)


def test_predicted_sigma_is_compared_with_the_error() -> None:
    samples = [sample(i) for i in range(3)]
    found = score(
        Oracle(samples, lambda i: (3, 0)), samples
    ).reliability  # every error 3 px, every sigma 2 px
    assert found is not None
    assert (found.points, found.under[1.0], found.under[2.0]) == (3 * N, 0, 1)
    assert found.ece == pytest.approx(1 / 50)


def test_the_time_per_face_and_the_progress_are_reported() -> None:
    samples, seen = [sample(i) for i in range(3)], []
    report = score(Oracle(samples), samples, progress=seen.append)
    assert seen == [1, 2, 3]
    assert report.ms_per_face is not None
    assert report.ms_per_face >= 0


def test_a_partial_set_and_the_model_are_stated_in_the_report() -> None:
    samples = [sample(i) for i in range(3)]
    report = score(Oracle(samples), samples, model="accurate")
    assert report.model == "accurate"
    assert report.notes == ("3 of the official 554 faces are here",)


# -- boxes


def test_truth_boxes_are_the_tight_boxes_of_the_landmarks() -> None:
    samples = [sample(i) for i in range(2)]
    oracle = Oracle(samples)
    score(oracle, samples)
    for boxes, one in zip(oracle.calls, samples, strict=True):
        assert boxes is not None
        assert boxes.tolist() == [[*one.landmarks.min(0), *one.landmarks.max(0)]]


def test_a_protocol_may_take_the_boxes_of_the_data_set() -> None:
    own = np.array([50.0, 40.0, 170.0, 180.0])
    samples = [sample(0, box=own), sample(1, "b.jpg")]
    boxes = truth_boxes(samples, "given")
    assert boxes.tolist() == [own.tolist(), samples[1].face_box().tolist()]
    oracle = Oracle(samples)
    fixed = COMMON.model_copy(update={"truth_box": "given"})
    score(oracle, samples[:1], fixed)
    assert oracle.calls[0] is not None
    assert oracle.calls[0].tolist() == [own.tolist()]
    # a detection matches if it is in the data set's box, regardless of its other points
    apart = Face(shape(0), np.ones(N), np.ones(N), own, 0.9, "ibug68")

    def detect(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        return faces(apart)

    far = sample(2, landmarks=shape(2) + 400, box=own)
    assert score(detect, [far], fixed, boxes="detected").misses == 0
    assert score(detect, [far], boxes="detected").misses == 1


def test_predicted_visibility_is_compared_with_that_of_the_data_set() -> None:
    visible = np.arange(N) % 2 == 0

    def predict(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        one = face(shape(0))
        seen = np.where(visible, 0.8, 0.3)
        return faces(replace(one, visible=seen))

    samples = [sample(0, visible=visible)]
    assert score(predict, samples).visibility_auc == 1
    assert score(Oracle(samples), samples).visibility_auc is None


def test_with_detected_boxes_the_predictor_gets_no_boxes() -> None:
    samples = [sample(0)]
    oracle = Oracle(samples)
    assert score(oracle, samples, boxes="detected").boxes == "detected"
    assert oracle.calls == [None]


def test_faces_in_the_same_image_are_predicted_together_and_read_once() -> None:
    samples = [
        sample(i, f"x.jpg#{i}", image=Path("x.jpg"), landmarks=shape(i, at))
        for i, at in enumerate([(0, 0), (99, 99)])
    ]
    reads, calls = [], []

    def predict(image: np.ndarray, boxes: np.ndarray) -> Faces:
        calls.append(len(boxes))
        return faces(*(face(s.landmarks) for s in samples))

    report = evaluate(
        predict, COMMON, samples, read=lambda s: reads.append(s) or gray_image(s)
    )
    assert (calls, len(reads), report.nme) == ([2], 1, 0)


def test_the_detected_face_that_overlaps_the_annotation_counts() -> None:
    one = sample(0)
    far = face(shape(5, (400, 400)))
    near = face(one.landmarks + 3)
    report = score(lambda image, boxes: faces(far, near), [one], boxes="detected")
    assert report.nme == pytest.approx(np.hypot(3, 3) / 50)


def test_a_face_without_an_overlapping_detection_is_missed_and_fails() -> None:
    samples = [sample(i) for i in range(2)]
    oracle = Oracle(samples, lambda i: (0, 0) if i else (500, 500))
    report = score(oracle, samples, boxes="detected")
    assert (report.misses, report.nme, report.failure_rate, report.auc) == (
        1,
        0,
        0.5,
        0.5,
    )
    assert report.worst[0].image == samples[0].name
    assert report.worst[0].nme is None


def test_a_match_needs_an_iou_of_three_tenths() -> None:
    one = sample(0)
    box = one.face_box()
    width = box[2] - box[0]
    for share, misses in ((0.31, 0), (0.29, 1)):
        # Two equal boxes shifted by s widths have IoU (1 - s) / (1 + s)
        shift = np.array([width * (1 - share) / (1 + share), 0])
        moved = face(one.landmarks + shift)
        assert iou(box[None], moved.box[None])[0, 0] == pytest.approx(share)
        assert (
            score(
                lambda image, boxes, moved=moved: faces(moved), [one], boxes="detected"
            ).misses
            == misses
        )


def test_a_report_without_any_detection_is_not_an_error() -> None:
    samples = [sample(i) for i in range(2)]
    report = score(lambda image, boxes: faces(), samples, boxes="detected")
    assert (report.misses, report.nme, report.failure_rate, report.auc) == (
        2,
        None,
        1,
        0,
    )
    assert report.per_part == {}
    assert report.per_landmark == (None,) * N


def test_if_fewer_faces_than_boxes_are_returned_they_are_matched_by_overlap() -> None:
    samples = [
        sample(i, f"x#{i}", image=Path("x"), landmarks=shape(i, at))
        for i, at in enumerate([(0, 0), (110, 110)])
    ]
    report = score(lambda image, boxes: faces(face(samples[1].landmarks)), samples)
    assert [f.nme for f in report.per_image] == [None, 0]


# -- schemes, points, visibility


def test_predictions_in_another_scheme_are_converted_with_a_note() -> None:
    fgnet = np.random.default_rng(0).uniform(0, 100, (N, 2))
    ibug = np.random.default_rng(1).uniform(0, 100, (N, 2))
    for a, b in ((36, 27), (39, 29), (42, 34), (45, 32), (30, 67), (48, 48), (54, 54)):
        ibug[a] = fgnet[b]
    one = sample(0, "franck_00000", landmarks=fgnet, scheme="fgnet68")
    report = score(lambda image, boxes: faces(face(ibug)), [one], "talking-face-7")
    assert report.nme == pytest.approx(0)
    assert report.converted_from == "ibug68"
    assert len(report.per_landmark) == 7
    assert not any("interpolated" in note for note in report.notes)


def test_interpolated_points_are_noted() -> None:
    wflw = np.random.default_rng(0).uniform(0, 100, (98, 2))
    truth = convert(wflw, "wflw98", "ibug68")
    if not (truth.status == "interpolated").any():
        pytest.skip("every ibug68 point is a wflw98 point")
    one = sample(0, landmarks=truth.points)
    report = score(lambda image, boxes: faces(face(wflw, scheme="wflw98")), [one])
    assert report.nme == pytest.approx(0)
    count = int((truth.status == "interpolated").sum())
    assert f"{count} of 68 points are interpolated from wflw98" in report.notes


def test_a_model_that_lacks_points_of_the_protocol_is_rejected() -> None:
    five = np.array([[80.0, 90], [130, 90], [105, 110], [85, 130], [125, 130]])
    with pytest.raises(
        ProtocolError,
        match=r"predicts 5 landmarks \(five\), from which \d+ of the 68 points of protocol "
        r"'300w-common' \(ibug68\)",
    ):
        score(lambda image, boxes: faces(face(five, scheme="five")), [sample(0)])


def test_invisible_points_count_by_the_rule_of_the_protocol() -> None:
    visible = np.ones(N, dtype=bool)
    visible[:34] = False
    one = sample(0, visible=visible)
    moved = one.landmarks.copy()
    moved[:34] += [5, 0]  # only invisible points are wrong, by a tenth of the norm
    for rule, error in (("annotated", 0.05), ("visible", 0.0)):
        fixed = COMMON.model_copy(update={"visibility": rule})
        assert score(
            lambda image, boxes: faces(face(moved)), [one], fixed
        ).nme == pytest.approx(error)


def test_validation_keeps_only_the_validation_tenth() -> None:
    samples = [
        sample(i, f"afw/{i}_1.jpg", group=str(i), subset="afw") for i in range(60)
    ]
    tenth = [s for s in samples if s.is_validation()]
    report = score(Oracle(tenth), samples, "300w-val")
    assert 0 < len(tenth) < 20
    assert [f.image for f in report.per_image] == [s.name for s in tenth]
    assert report.nme == 0


# -- refusals


def test_samples_that_do_not_fit_the_protocol_are_rejected() -> None:
    with pytest.raises(
        ProtocolError,
        match="'300w-common' selects none of the 0 faces given; give the 'common' part",
    ):
        score(Oracle([]), [])
    with pytest.raises(
        ProtocolError,
        match="has fgnet68 points, protocol '300w-common' is scored on ibug68; give",
    ):
        score(Oracle([]), [sample(0, scheme="fgnet68")])
    with pytest.raises(
        ProtocolError, match="boxes are 'mine'; choose 'truth', 'detected' or 'tracked'"
    ):
        score(Oracle([]), [sample(0)], boxes="mine")
    short = sample(0, "a.jpg", landmarks=shape(0)[:51])
    with pytest.raises(
        ProtocolError,
        match=r"a.jpg: the truth has 51 points, but ibug68 has 68; protocol '300w-common'",
    ):
        score(lambda image, boxes: faces(face(shape(0))), [short])


def test_predictions_of_the_wrong_length_are_rejected() -> None:
    with pytest.raises(
        ProtocolError,
        match=r"51 landmarks were predicted, but protocol '300w-common' has 68 \(ibug68\)",
    ):
        score(lambda image, boxes: faces(face(shape(0)[:51])), [sample(0)])


def test_a_norm_of_zero_names_the_face() -> None:
    landmarks = shape(0)
    landmarks[45] = landmarks[36]
    with pytest.raises(
        ValueError, match=r"the interocular norm of helen/testset/0.jpg is 0 px"
    ):
        score(
            lambda image, boxes: faces(face(landmarks)),
            [sample(0, landmarks=landmarks)],
        )


def test_the_fingerprint_depends_on_the_annotations_not_their_order() -> None:
    samples = [sample(i) for i in range(3)]
    same = [
        score(Oracle(order), order).fingerprint for order in (samples, samples[::-1])
    ]
    assert same[0] == same[1]
    assert score(Oracle(samples[:2]), samples[:2]).fingerprint != same[0]


# -- videos


class Following:
    """A fake tracker that records its calls."""

    def __init__(self) -> None:
        self.asked: list[float | str] = []

    def reset(self) -> None:
        self.asked.append("reset")

    def __call__(self, image: np.ndarray, timestamp: float) -> Faces:
        self.asked.append(round(timestamp, 4))
        return faces(face(shape(1)))


def frames_of(path: Path, numbers: list[int]) -> list[Sample]:
    return [sample(1, f"{path.name}#{k}", image=path, frame=k) for k in numbers]


def test_a_tracker_gets_the_frames_of_each_video_in_order_with_their_time(
    tmp_path: Path,
) -> None:
    videos = [
        made_video(tmp_path / f"{name}.avi", 6) for name in "ab"
    ]  # 25 frames per second
    samples = frames_of(videos[0], [0, 1, 4]) + frames_of(videos[1], [2, 3])
    tracker = Following()
    report = score(tracker, samples, "300vw-1", boxes="tracked")
    assert tracker.asked == ["reset", 0.0, 0.04, 0.16, "reset", 0.08, 0.12]
    assert (report.boxes, report.nme) == ("tracked", pytest.approx(0))


def test_tracked_boxes_need_a_tracker_and_frames_in_order(tmp_path: Path) -> None:
    path = made_video(tmp_path / "a.avi", 3)
    with pytest.raises(ProtocolError, match="need a Tracker, not a Predictor"):
        score(Oracle([]), frames_of(path, [0]), "300vw-1", boxes="tracked")
    with pytest.raises(
        ProtocolError,
        match=r"a\.avi#0 does not come after a\.avi#2; tracked boxes need frames in order",
    ):
        score(Following(), frames_of(path, [2, 0]), "300vw-1", boxes="tracked")
    with pytest.raises(
        ProtocolError,
        match="tracked boxes are for videos, but these faces are from images",
    ):
        score(Following(), [sample(1)], boxes="tracked")


def test_five_points_are_matched_by_the_box_of_68_points():
    mean = scheme("ibug68").mean_shape * 100 + 60
    five = convert(mean, "ibug68", "five").points
    one = sample(0, landmarks=five, scheme="five")
    assert np.abs(one.face_box() - landmark_box(mean)).max() < 1
    face = Face(mean, np.ones(68), np.ones(68), landmark_box(mean), 1.0, "ibug68")
    assert match_faces(
        Faces((face,), "ibug68", 68), truth_boxes([one]), ordered=False
    ) == [face]


def test_one_detection_is_the_face_of_one_sample():
    mean = scheme("ibug68").mean_shape * 100 + 60
    near, own = sample(0, landmarks=mean + 15), sample(1, "b.jpg", landmarks=mean)
    face = Face(mean, np.ones(68), np.ones(68), landmark_box(mean), 1.0, "ibug68")
    assert match_faces(
        Faces((face,), "ibug68", 68), truth_boxes([near, own]), ordered=False
    ) == [
        None,
        face,
    ]
