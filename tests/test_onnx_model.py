"""ONNX models: the shipped ones load and check their crops, foreign files are refused."""

import hashlib
import os
import signal
import threading

import numpy as np
import pytest

from lineament.errors import ModelError, ShapeError
from lineament.inference.model_files import find_model, list_models, weights_folder
from lineament.inference.onnx_model import Model
from lineament.inference.registry import load_model
from tiny_onnx import ALL, PLACES, SIZE, VISIBLE, write_model

NAMES = ("accurate", "best", "fast", "tiny")


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return load_model(request.param, threads=1)


def crops_of(model: Model, count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 255, (count, 6, 6, 3), dtype=np.uint8)
    return np.ascontiguousarray(
        coarse.repeat(model.size // 6 + 1, 1).repeat(model.size // 6 + 1, 2)
    )[:, : model.size, : model.size].copy()


def test_heads_have_one_row_per_crop_and_sane_values(model):
    heads = model.predict(crops_of(model, 3))
    assert heads.landmarks_crop.shape == (3, model.points, 2)
    assert heads.scores.shape == heads.sigma_px.shape == (3, model.points)
    assert ((heads.scores >= 0) & (heads.scores <= 1)).all()
    assert (heads.sigma_px > 0).all()


def test_batched_prediction_equals_single_prediction(model):
    crops = crops_of(model, 5)
    together = model.predict(crops)
    apart = [model.predict(crops[i : i + 1]) for i in range(5)]
    # the order of summation depends on the batch size; 0.001 pixels is negligible
    np.testing.assert_allclose(
        together.landmarks_crop,
        np.concatenate([h.landmarks_crop for h in apart]),
        atol=1e-3,
    )
    np.testing.assert_allclose(
        together.sigma_px, np.concatenate([h.sigma_px for h in apart]), atol=1e-3
    )


def test_no_crop_gives_empty_heads(model):
    heads = model.predict(np.zeros((0, model.size, model.size, 3), np.uint8))
    assert heads.landmarks_crop.shape == (0, model.points, 2)


def run_by_many_threads(
    model: Model, crops: np.ndarray, times: int
) -> list[np.ndarray]:
    """Return the landmarks of four threads that run the model at once, each several times."""
    found = [None] * 4

    def work(slot: int) -> None:
        found[slot] = [model.predict(crops).landmarks_crop for _ in range(times)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [result for results in found for result in results]


def test_many_threads_share_one_model(model):
    crops = crops_of(model, 2)
    wanted = model.predict(crops).landmarks_crop
    for result in run_by_many_threads(model, crops, 3):
        np.testing.assert_array_equal(result, wanted)


def test_fewer_crops_per_call_give_the_same(model):
    crops = crops_of(model, 5)
    few = load_model(model.name, 1)
    few.chunk = 2
    for name in ("landmarks_crop", "scores", "sigma_px"):
        wanted, found = getattr(model.predict(crops), name), few.predict(crops)
        np.testing.assert_allclose(getattr(found, name), wanted, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 5, 150])
def test_several_workers_equal_one(model, count):
    crops = crops_of(model, count)
    one, side_by_side = (
        model.predict(crops),
        load_model(model.name, 1, workers=3).predict(crops),
    )
    np.testing.assert_allclose(
        side_by_side.landmarks_crop, one.landmarks_crop, atol=1e-3
    )
    np.testing.assert_allclose(side_by_side.scores, one.scores, atol=1e-3)


def test_workers_are_shared_by_threads_and_reused():
    model = load_model("fast", 1, workers=2)
    crops = crops_of(model, 3)
    wanted, before = model.predict(crops).landmarks_crop, threading.active_count()
    for result in run_by_many_threads(model, crops, 5):
        np.testing.assert_array_equal(result, wanted)
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # about forking with threads, which is tested here
def test_a_forked_process_starts_its_own_workers():
    model = load_model("fast", 1, workers=2)
    crops = crops_of(model, 2)
    wanted = model.predict(crops).landmarks_crop
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(
            0 if np.array_equal(model.predict(crops).landmarks_crop, wanted) else 1
        )
    assert os.waitpid(child, 0)[1] == 0


def test_crops_of_another_size_or_type_are_rejected(model):
    with pytest.raises(
        ShapeError, match=r"crops are uint8 \(1, 7, 7, 3\); expected uint8 \(F, "
    ):
        model.predict(np.zeros((1, 7, 7, 3), np.uint8))
    with pytest.raises(ShapeError, match="crops are float32"):
        model.predict(np.zeros((1, model.size, model.size, 3), np.float32))


def test_the_same_model_is_loaded_once():
    assert load_model("fast") is load_model("fast")
    assert load_model(weights_folder() / "fast.onnx") is load_model("fast")


def test_the_face_detector_is_no_landmark_model_and_not_offered_as_one():
    with pytest.raises(
        ModelError,
        match="'detector' is the face detector and finds no landmarks; choose accurate",
    ):
        load_model("detector")
    with pytest.raises(
        ModelError, match="choose one of accurate, best, dense, fast, tiny"
    ):
        load_model("xyz")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(
        ModelError,
        match=r"unknown model 'fats'; give the path of an .onnx file.*: did you mean 'fast'\?",
    ):
        find_model("fats")


def test_a_missing_file_raises_a_clear_error(tmp_path):
    with pytest.raises(
        ModelError, match=r"no model file at .*gone\.onnx; expected an ONNX file"
    ):
        Model(tmp_path / "gone.onnx")


def test_a_file_that_is_not_onnx_raises_a_clear_error(tmp_path):
    path = tmp_path / "fake.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not an ONNX model that can be run") as caught:
        Model(path)
    assert "\n" not in str(caught.value)


def test_a_third_party_onnx_model_is_rejected(tmp_path):
    onnx = pytest.importorskip("onnx")
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y]
    )
    opset = onnx.helper.make_opsetid("", 17)
    path = tmp_path / "foreign.onnx"
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path)
    )
    with pytest.raises(ModelError, match="not one that `lineament export` wrote"):
        Model(path)


def test_the_detector_is_not_taken_for_a_landmark_model():
    with pytest.raises(
        ModelError,
        match=r"detector\.onnx: a face detector, .* give it to FaceDetector or --detector",
    ):
        load_model(weights_folder() / "detector.onnx")


def test_every_shipped_model_has_a_card_that_matches_it():
    cards = {card["name"]: card for card in list_models()}
    assert set(NAMES) <= set(cards)
    for name, card in cards.items():
        data = (weights_folder() / f"{name}.onnx").read_bytes()
        assert card["sha256"] == hashlib.sha256(data).hexdigest()
        assert card["bytes"] == len(data) < 12_000_000
        assert {"data", "license", "limits", "figures"} <= set(card)


def colored(*colors):
    return np.tile(np.uint8(colors)[:, None, None], (1, SIZE, SIZE, 1))


CROPS = colored((255, 0, 51), (51, 255, 102), (0, 102, 255))


@pytest.mark.parametrize(
    "outputs", [ALL, (*ALL[::-1], "memory_after"), ("still", *ALL)]
)
def test_outputs_are_read_by_name_in_any_order_and_unknown_ones_ignored(
    tmp_path, outputs
):
    pytest.importorskip("onnx")
    model = Model(write_model(tmp_path / "tiny.onnx", outputs))
    found = model.predict(CROPS)
    # 51, 102 and 255 of 255 are 0.2, 0.4 and 1
    np.testing.assert_allclose(found.presence, [1, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(found.visible, np.outer([0, 1, 0.4], VISIBLE), atol=1e-6)
    np.testing.assert_allclose(found.scores[:, 0], [0.2, 0.4, 1], atol=1e-6)
    np.testing.assert_allclose(found.sigma_px[:, 4], [1.2, 1.4, 2], atol=1e-6)
    np.testing.assert_array_equal(found.landmarks_crop, [PLACES] * 3)
    if "memory_after" in outputs:
        np.testing.assert_array_equal(found.memory, np.ones((3, 2, 1, 1)))
        again = model.predict(CROPS, found.memory)
        np.testing.assert_array_equal(again.memory, np.full((3, 2, 1, 1), 2))
    else:
        assert found.memory is None


def test_workers_and_chunks_keep_presence_and_visibility_in_order(tmp_path):
    pytest.importorskip("onnx")
    path = write_model(tmp_path / "tiny.onnx")
    crops = colored(*[(k, 255 - k, 7) for k in range(150)])
    one, three = (Model(path, 1, workers=n).predict(crops) for n in (1, 3))
    np.testing.assert_allclose(one.presence, np.arange(150) / 255, atol=1e-6)
    np.testing.assert_array_equal(three.presence, one.presence)
    np.testing.assert_array_equal(three.visible, one.visible)


def test_a_file_without_presence_and_visibility_predicts_none(tmp_path):
    pytest.importorskip("onnx")
    model = Model(write_model(tmp_path / "tiny.onnx", ALL[:3]))
    for crops in (CROPS, CROPS[:0]):
        found = model.predict(crops)
        assert found.presence is None
        assert found.visible is None


def test_no_crop_has_empty_presence_and_visibility(tmp_path):
    pytest.importorskip("onnx")
    found = Model(write_model(tmp_path / "tiny.onnx")).predict(CROPS[:0])
    assert found.presence.shape == (0,)
    assert found.visible.shape == (0, 5)
