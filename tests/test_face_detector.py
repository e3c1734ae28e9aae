"""The face detector of the package: tiles, scales and refusals, on a tiny network made here."""

import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import min_face

from detector_graph import FIVE, write_bright_detector
from lineament.errors import InputError, ModelError, ShapeError
from lineament.inference.detector_file import five_roll_deg, pad_to_multiple
from lineament.inference.face_detector import FaceDetector, tile_spans
from lineament.inference.nms import scale_ranges


@pytest.fixture(scope="module")
def bright_detector(tmp_path_factory):
    """Write an ONNX file for which each white 8x8 cell is a face of score mean / 255."""
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("bright") / "bright.onnx"
    return write_bright_detector(path, threshold=0.9)


@pytest.fixture(scope="module")
def five_detector(tmp_path_factory):
    """Write the same with five points per face, rotated by 30 degrees; faces from 8 px."""
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("five") / "five.onnx"
    return write_bright_detector(path, turn_deg=30.0, threshold=0.9, min_face_px=8)


def white_at(height, width, *corners):
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in corners:
        image[y : y + 8, x : x + 8] = 255
    return image


def test_a_white_cell_is_found_in_place_at_the_scale_of_the_image(
    bright_detector,
):
    found = FaceDetector(bright_detector, enlarge=1.0, coarse_sides=())(
        white_at(100, 70, (16, 40))
    )
    # cell of pixels 16..23 and 40..47 covers [15.5, 23.5] x [39.5, 47.5]
    assert found.boxes.tolist() == [[15.5, 39.5, 23.5, 47.5]]
    assert found.scores == pytest.approx([1.0])
    assert found.roll_deg == pytest.approx([45.0])


def test_boxes_are_mapped_back_to_the_image_after_enlarging(bright_detector):
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


def test_small_faces_in_a_large_image_need_tiles_and_are_found_once(
    bright_detector,
):
    # at half size a white cell fills a quarter of a cell, too dark to detect; tiles have full size
    corners = [(8, 8), (152, 152), (160, 160), (312, 8), (200, 304)]
    image = white_at(320, 320, *corners)
    options = {"side": 160, "enlarge": 1.0, "coarse_sides": ()}
    tiled = FaceDetector(bright_detector, **options)(image)
    wanted = sorted([x - 0.5, y - 0.5, x + 7.5, y + 7.5] for x, y in corners)
    # multiples of 8, so cells are aligned alike in every tile
    assert {start for start, _, _ in tile_spans(320, 160, 80)} == {0, 80, 160}
    assert sorted(tiled.boxes.tolist()) == wanted
    # faces from 64 px are 32 px of the input at half size, so a single pass is enough
    large = FaceDetector(bright_detector, min_face="64px", **options)
    assert len(large(image)) == 0


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


def test_padding_adds_black_at_the_right_and_the_bottom_only():
    padded = pad_to_multiple(np.full((33, 64, 3), 7, np.uint8))
    assert padded.shape == (64, 64, 3)
    assert (padded[:33] == 7).all()
    assert (padded[33:] == 0).all()


def test_threads_that_share_a_detector_find_the_same_faces(bright_detector):
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


def test_wrong_images_and_files_are_rejected_with_what_to_do(bright_detector, tmp_path):
    detector = FaceDetector(bright_detector)
    with pytest.raises(
        ShapeError,
        match=r"image is float64 \(4, 4, 3\); expected uint8 \(H, W, 3\) in RGB",
    ):
        detector(np.zeros((4, 4, 3)))
    with pytest.raises(ShapeError, match="image is str; expected uint8"):
        detector("photo.jpg")
    with pytest.raises(ModelError, match="no model file at"):
        FaceDetector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not an ONNX model that can be run"):
        FaceDetector(tmp_path / "bad.onnx")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ModelError, match="not a card"):
        FaceDetector(tmp_path / "bad.onnx")


def test_a_network_of_another_kind_is_rejected(tmp_path):
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
        ModelError, match=r"has the outputs \['other'\]; expected a face detector"
    ):
        FaceDetector(tmp_path / "o.onnx")


def test_the_packaged_detector_finds_nothing_in_a_gray_image():
    if not (
        Path(__file__).parents[1] / "src/lineament/weights/detector.onnx"
    ).is_file():
        pytest.skip("weights/detector.onnx is not built")
    found = FaceDetector()(np.full((480, 640, 3), 128, np.uint8))
    assert len(found.boxes) == 0


def test_the_packaged_detector_finds_small_faces_in_a_large_image():
    name = "five faces of 50 px, 4000 x 3000"
    image, centers = min_face.make_scene(name)
    boxes = FaceDetector(min_face="40px")(image).boxes
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = np.linalg.norm(middles[:, None] - centers, axis=2)
    assert len(boxes) == len(centers) == 5
    assert (away.min(0) < min_face.MAX_SHIFT * 50).all()


def turned_five(turn_deg):
    angle = np.deg2rad(turn_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    return FIVE @ np.array([[cos, sin], [-sin, cos]])


def test_landmarks_of_a_detector_are_mapped_back_with_their_boxes(five_detector):
    found = FaceDetector(five_detector, enlarge=1.0)(white_at(100, 70, (16, 40)))
    assert found.scheme == "five"
    assert found.boxes.tolist() == [[15.5, 39.5, 23.5, 47.5]]
    wanted = turned_five(30.0) + np.array([19.5, 43.5])
    np.testing.assert_allclose(found.landmarks, [wanted], atol=1e-4)
    # twice the size, the cell 40..47, 16..23: lengths in the image are half
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:12, 20:24] = 255
    found = FaceDetector(five_detector, threshold=0.7)(image)
    wanted = turned_five(30.0) / 2 + np.array([21.5, 9.5])
    np.testing.assert_allclose(found.landmarks, [wanted], atol=1e-4)


@pytest.mark.parametrize("turn_deg", [0.0, 30.0, -100.0, 179.0])
def test_the_roll_uses_all_five_points_even_for_a_profile(turn_deg):
    # symmetric points, so that the fit itself adds no rotation
    assert five_roll_deg(turned_five(turn_deg)[None]) == pytest.approx([turn_deg])
    # in profile both eyes coincide, so they define no direction
    profile = turned_five(turn_deg) - turned_five(turn_deg)[:1]
    profile[1] = profile[0]
    off = (five_roll_deg(profile[None])[0] - turn_deg + 180) % 360 - 180
    assert abs(off) < 25


def test_an_empty_result_also_has_the_scheme_of_the_detector(five_detector):
    for shape in ((64, 64, 3), (0, 5, 3)):
        found = FaceDetector(five_detector)(np.zeros(shape, np.uint8))
        assert (found.scheme, found.landmarks.shape) == ("five", (0, 5, 2))


def test_every_face_in_tiles_is_found_with_its_landmarks(five_detector):
    # faces of 8 px in 2400 x 1600 px: more than one pass takes, so they are tiled
    corners = [(0, 0), (1200, 800), (2392, 1592), (632, 312), (400, 1200)]
    image = white_at(1600, 2400, *corners)
    detector = FaceDetector(five_detector, min_face="8px")
    assert detector.plan(image.shape).tiled == (1.0,)
    for length in (2400, 1600):  # cells are aligned alike in every tile
        starts = [start for start, _, _ in tile_spans(length, 640, 160)]
        assert {start % 8 for start in starts} == {0}
    found = detector(image)
    for x, y in corners:
        row = np.flatnonzero((np.abs(found.boxes[:, :2] - (x, y)) <= 1).all(1))
        assert len(row) == 1
        wanted = turned_five(30.0) + np.array([x + 3.5, y + 3.5])
        np.testing.assert_allclose(found.landmarks[row[0]], wanted, atol=1e-3)


def test_the_card_states_the_search_that_suits_the_network(five_detector, tmp_path):
    detector = FaceDetector(five_detector)
    assert (detector.coarse_sides, detector.support, detector.threshold) == ((), 1, 0.9)
    assert detector.network.min_face_px == 8
    older = write_bright_detector(tmp_path / "older.onnx")
    assert FaceDetector(older).coarse_sides == (256, 128)
    assert FaceDetector(older).network.min_face_px == 32
    card = {"coarse_sides": [96], "support": 2, "threshold": 0.3}
    path = write_bright_detector(tmp_path / "own.onnx", turn_deg=0.0, **card)
    detector = FaceDetector(path)
    assert (detector.coarse_sides, detector.support) == ((96,), 2)
    assert (detector.threshold, detector.network.min_face_px) == (0.3, 16)
    assert FaceDetector(path, coarse_sides=(), support=1).coarse_sides == ()


def test_proposals_have_a_separate_threshold(five_detector, tmp_path):
    assert FaceDetector(five_detector, proposals=True).threshold == 0.9
    card = {"threshold": 0.6, "proposal_threshold": 0.3}
    path = write_bright_detector(tmp_path / "own.onnx", turn_deg=0.0, **card)
    assert FaceDetector(path).threshold == 0.6
    assert FaceDetector(path, proposals=True).threshold == 0.3
    assert FaceDetector(path, proposals=True, threshold=0.4).threshold == 0.4


def test_an_invalid_face_size_is_rejected(five_detector):
    with pytest.raises(InputError, match="min_face is '5%'; expected the side of"):
        FaceDetector(five_detector, min_face="5%")


@pytest.mark.parametrize("longest", [160, 300, 640, 1024, 1280])
def test_scales_cover_every_face_size(five_detector, longest):
    detector = FaceDetector(five_detector)
    scales = [1.0, *detector.steps_to(96 / longest, 1.0)]
    assert scales[-1] == pytest.approx(96 / longest)
    ranges = scale_ranges(scales, detector.network.largest_px)
    assert (ranges[0][0], ranges[-1][1]) == (0, np.inf)
    for fine, coarse in pairwise(ranges):
        assert coarse[0] <= fine[1] * (1 + 1e-9)
