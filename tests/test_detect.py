"""detect.py and detect_presets.py: laws of suppression, tiles and conventions, on a tiny network made here."""

import json
import threading
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.errors import ExtraError, ModelError, ShapeError
from lineament.geometry import inset_boxes, iou
from lineament.inference.callable_detector import as_detections, as_detector
from lineament.inference.detections import Detections, empty_detections
from lineament.inference.detector_adapters import mediapipe, yunet
from lineament.inference.face_detector import FaceDetector, pad_to_multiple, tile_spans
from lineament.inference.nms import fuse_scales, nms


@pytest.fixture(scope="module")
def bright_detector(tmp_path_factory):
    """An ONNX file that calls each white 8x8 cell a face: the score is the mean of the cell / 255, its box the cell."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    kernel = np.full((1, 3, 8, 8), 1 / (192 * 255), np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=tensor.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["means"], strides=[8, 8]),
        helper.make_node("Reshape", ["means", "row"], ["scores"]),
        helper.make_node("Greater", ["means", "low"], ["any"]),
        helper.make_node("NonZero", ["any"], ["where"]),
        helper.make_node("Shape", ["means"], ["shape"]),
        helper.make_node("Expand", ["one", "shape"], ["ones"]),
        helper.make_node("CumSum", ["ones", "across"], ["x"]),
        helper.make_node("CumSum", ["ones", "down"], ["y"]),
        helper.make_node("Concat", ["x", "y", "x", "y"], ["centers"], axis=1),
        helper.make_node("Mul", ["centers", "eight"], ["far"]),
        helper.make_node("Sub", ["far", "back"], ["corners"]),
        helper.make_node("Transpose", ["corners"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "fours"], ["boxes"]),
        helper.make_node("Concat", ["ones", "ones"], ["two"], axis=1),
        helper.make_node("Transpose", ["two"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["turned", "twos"], ["directions"]),
    ]
    values = {
        "kernel": kernel,
        "row": np.array([1, -1]),
        "low": np.array(-1, np.float32),
        "one": np.ones((1, 1, 1, 1), np.float32),
        "across": np.array(3),
        "down": np.array(2),
        "eight": np.array(8, np.float32),
        "back": np.array([8.5, 8.5, 0.5, 0.5], np.float32).reshape(1, 4, 1, 1),
        "fours": np.array([1, -1, 4]),
        "twos": np.array([1, -1, 2]),
    }
    graph = helper.make_graph(
        nodes[:4] + nodes[6:],
        "bright",
        [helper.make_tensor_value_info("image", tensor.UINT8, [1, None, None, 3])],
        [
            helper.make_tensor_value_info(n, tensor.FLOAT, None)
            for n in ("scores", "boxes", "directions")
        ],
        [onnx.numpy_helper.from_array(v, k) for k, v in values.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    path = tmp_path_factory.mktemp("bright") / "bright.onnx"
    onnx.save(model, str(path))
    path.with_suffix(".json").write_text(json.dumps({"threshold": 0.9}))
    return path


def white_at(height, width, *corners):
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in corners:
        image[y : y + 8, x : x + 8] = 255
    return image


def test_a_white_cell_is_found_where_it_lies_when_the_image_is_neither_shrunk_nor_enlarged(
    bright_detector,
):
    found = FaceDetector(bright_detector, enlarge=1.0, coarse_sides=())(
        white_at(100, 70, (16, 40))
    )
    # cell of pixels 16..23 and 40..47 covers [15.5, 23.5] x [39.5, 47.5]
    assert found.boxes.tolist() == [[15.5, 39.5, 23.5, 47.5]]
    assert found.scores == pytest.approx([1.0])
    assert found.roll_deg == pytest.approx([45.0])


def test_boxes_come_back_to_the_image_after_enlarging(bright_detector):
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:12, 20:24] = (
        255  # becomes the cell 40..47, 16..23 at twice the size, with soft edges
    )
    found = FaceDetector(bright_detector, threshold=0.7, coarse_sides=())(image)
    assert found.boxes.tolist() == [[19.5, 7.5, 23.5, 11.5]]


def test_an_image_without_a_face_gives_empty_arrays_of_the_right_shapes(
    bright_detector,
):
    for image in (
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
    ):
        found = FaceDetector(bright_detector)(image)
        shapes = [a.shape for a in (found.boxes, found.scores, found.roll_deg)]
        assert shapes == [(0, 4), (0,), (0,)]


def test_a_small_face_in_a_huge_image_is_found_once_by_tiles_and_lost_without_them(
    bright_detector,
):
    # at 160 of 320 pixels a lone white cell is a quarter of a cell: too dark; the tiles see it whole
    corners = [(8, 8), (152, 152), (160, 160), (312, 8), (200, 304)]
    image = white_at(320, 320, *corners)
    tiled = FaceDetector(
        bright_detector, side=160, finest_side=320, enlarge=1.0, coarse_sides=()
    )(image)
    wanted = sorted([x - 0.5, y - 0.5, x + 7.5, y + 7.5] for x, y in corners)
    tile_starts = {start for start, _, _ in tile_spans(320, 160, 80)}
    assert tile_starts == {
        0,
        80,
        160,
    }  # multiples of 8, so cells are cut alike in every tile
    assert sorted(tiled.boxes.tolist()) == wanted
    assert (
        len(
            FaceDetector(
                bright_detector, side=160, finest_side=160, enlarge=1.0, coarse_sides=()
            )(image).boxes
        )
        == 0
    )


@given(st.integers(1, 5000), st.integers(64, 700), st.integers(0, 60))
def test_tiles_cover_every_coordinate_once_and_hold_what_they_center(
    length, reach, overlap
):
    spans = tile_spans(length, reach, overlap)
    for center in np.linspace(0, length - 1, 23):
        owners = [span for span in spans if span[1] <= center < span[2]]
        assert len(owners) == 1
        start = owners[0][0]
        assert start - 0.5 <= max(center - overlap / 2, 0)
        assert min(center + overlap / 2, length - 1) <= start + reach + 0.5


boxes_strategy = st.lists(
    st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 30)] * 2, st.integers(0, 20)),
    max_size=25,
)


@settings(max_examples=60)
@given(boxes_strategy)
def test_suppression_keeps_the_best_parts_no_two_that_overlap_and_repeats_itself(rows):
    table = np.array(rows, float).reshape(-1, 5)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1)
    given_ = Detections(boxes, table[:, 4] / 20, np.zeros(len(boxes)))
    kept = nms(given_, 0.4)
    assert (np.diff(kept.scores) <= 0).all()
    overlaps = iou(kept.boxes, kept.boxes) - np.eye(len(kept.boxes))
    assert not (overlaps > 0.4).any()
    # whatever went overlaps a kept box that is at least as good
    for box, score in zip(given_.boxes, given_.scores, strict=True):
        assert ((iou([box], kept.boxes)[0] > 0.4) & (kept.scores >= score)).any()
    again = nms(kept, 0.4)
    for name in ("boxes", "scores", "roll_deg"):
        assert (getattr(kept, name) == getattr(again, name)).all()


def test_a_face_is_scored_by_the_mean_of_the_cells_that_see_it_and_silence_counts_as_faint():
    face, lone = [0.0, 0, 20, 20], [100.0, 0, 120, 20]
    boxes = np.array([lone, face, [1, 0, 21, 20], [0, 1, 20, 21]])
    candidates = Detections(boxes, np.array([0.9, 0.8, 0.7, 0.6]), np.arange(4.0))
    scored = fuse_scales([(1.0, candidates)], 3, 0.4)
    # the face: (.8 + .7 + .6) / 3 = .7; the lone cell: (.9 + .15 + .15) / 3 = .4
    assert scored.roll_deg.tolist() == [1, 0]
    assert scored.scores == pytest.approx([0.7, 0.4])
    assert fuse_scales([(1.0, candidates)], 1, 0.4).scores.tolist() == [0.9, 0.8]
    assert fuse_scales([(1.0, empty_detections())], 3, 0.4).boxes.shape == (0, 4)


def test_looks_that_answer_for_a_size_must_agree_and_others_are_not_asked():
    small, middle, large = [0.0, 0, 20, 20], [100.0, 0, 200, 100], [300.0, 0, 700, 400]
    fine = Detections(
        np.array([small, middle, large]), np.array([0.8, 0.6, 0.9]), np.zeros(3)
    )
    coarse = Detections(np.array([middle, large]), np.array([0.7, 0.5]), np.ones(2))
    scored = fuse_scales([(1.0, fine), (0.35, coarse)], 1, 0.4)
    # 20 px are 7 px in the coarse look: only the fine one is asked; 400 px are too large for the fine one;
    # 100 px are 35 px in the coarse look, so both are asked: (.6 + .7) / 2
    assert scored.scores == pytest.approx([0.8, 0.65, 0.5])
    assert scored.boxes.tolist() == [small, middle, large]
    assert scored.roll_deg.tolist() == [0, 1, 1]


def test_padding_adds_black_at_the_right_and_the_bottom_only():
    padded = pad_to_multiple(np.full((33, 64, 3), 7, np.uint8))
    assert padded.shape == (64, 64, 3)
    assert (padded[:33] == 7).all()
    assert (padded[33:] == 0).all()


def test_threads_share_a_detector_and_get_the_same_faces(bright_detector):
    detector = FaceDetector(bright_detector, enlarge=1.0, coarse_sides=())
    images = [white_at(96, 96, (8 * k, 16)) for k in range(8)]
    alone = [detector(image).boxes.tolist() for image in images]
    together = [None] * 8

    def work(k):
        together[k] = [detector(images[k]).boxes.tolist() for _ in range(5)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert together == [[one] * 5 for one in alone]


def test_wrong_images_and_files_are_refused_with_what_to_do(bright_detector, tmp_path):
    detector = FaceDetector(bright_detector)
    with pytest.raises(
        ShapeError,
        match=r"image is float64 \(4, 4, 3\); wanted uint8 \(H, W, 3\) in RGB",
    ):
        detector(np.zeros((4, 4, 3)))
    with pytest.raises(ShapeError, match="image is str; wanted uint8"):
        detector("photo.jpg")
    with pytest.raises(ModelError, match="no model file at"):
        FaceDetector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not an ONNX model that can be run"):
        FaceDetector(tmp_path / "bad.onnx")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ModelError, match="not a card"):
        FaceDetector(tmp_path / "bad.onnx")


def test_a_network_of_another_kind_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    info = [
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1])
        for n in ("image", "other")
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["image"], ["other"])], "g", info[:1], info[1:]
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=9),
        str(tmp_path / "o.onnx"),
    )
    with pytest.raises(
        ModelError, match=r"has the outputs \['other'\]; wanted a face detector"
    ):
        FaceDetector(tmp_path / "o.onnx")


@pytest.mark.parametrize(
    ("returned", "scores"),
    [
        ([[0, 0, 4, 4], [1, 1, 9, 9]], [1, 1]),
        ([[0, 0, 4, 4, 0.2], [1, 1, 9, 9, 0.7]], [0.7, 0.2]),
        ((np.array([[0, 0, 4, 4], [1, 1, 9, 9]]), np.array([0.3, 0.9])), [0.9, 0.3]),
        (([[0, 0, 4, 4], [1, 1, 9, 9]], [0.3, 0.9], [10.0, 20.0]), [0.9, 0.3]),
        ([], []),
        (None, []),
        (empty_detections(), []),
    ],
)
def test_any_callable_that_finds_boxes_is_a_detector(returned, scores):
    found = as_detector(lambda image: returned)(np.zeros((16, 16, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.scores.tolist() == scores
    assert found.boxes.shape == (len(scores), 4)
    assert len(found.roll_deg) == len(scores)


def test_scores_that_do_not_fit_the_boxes_are_refused():
    with pytest.raises(ShapeError, match=r"1 boxes came with scores \(2,\)"):
        as_detections((np.array([[0, 0, 1, 1]]), np.array([0.5, 0.5])))
    with pytest.raises(ShapeError, match="wanted finite x0 < x1"):
        as_detections([[3, 0, 3, 4]])


def test_insets_move_each_end_by_its_share():
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


def test_a_missing_or_foreign_yunet_file_is_an_error_that_names_it(tmp_path):
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


def test_without_mediapipe_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(ExtraError, match="mediapipe"):
        mediapipe()


def test_the_detector_of_the_package_finds_nothing_on_grey():
    if not (
        Path(__file__).parents[1] / "src/lineament/weights/detector.onnx"
    ).is_file():
        pytest.skip("weights/detector.onnx is not built")
    found = FaceDetector()(np.full((480, 640, 3), 128, np.uint8))
    assert len(found.boxes) == 0
