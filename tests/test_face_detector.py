"""The face detector of the package: tiles, scales and refusals, on a tiny network made here."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineament.errors import ModelError, ShapeError
from lineament.inference.face_detector import FaceDetector, pad_to_multiple, tile_spans


@pytest.fixture(scope="module")
def bright_detector(tmp_path_factory):
    """Write an ONNX file for which each white 8x8 cell is a face of score mean / 255."""
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


def test_a_small_face_in_a_huge_image_is_found_once_by_tiles_and_missed_without(
    bright_detector,
):
    # at 160 of 320 pixels a lone white cell is a quarter of a cell: too dark; a tile has all of it
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
    }  # multiples of 8, so cells are aligned alike in every tile
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


def test_the_detector_of_the_package_finds_nothing_on_grey():
    if not (
        Path(__file__).parents[1] / "src/lineament/weights/detector.onnx"
    ).is_file():
        pytest.skip("weights/detector.onnx is not built")
    found = FaceDetector()(np.full((480, 640, 3), 128, np.uint8))
    assert len(found.boxes) == 0
