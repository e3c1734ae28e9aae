"""Third-party ONNX files described by TOML: crops in, landmarks out, in any convention."""

import json
import pickle

import numpy as np
import pytest

from commands import call
from faces import write_faces
from lineament import Predictor
from lineament.errors import ModelError, ShapeError
from lineament.estimator import ValidationLimits
from lineament.inference.acceptance import min_score_for
from lineament.inference.foreign_model import ForeignModel
from lineament.inference.registry import load_model
from tiny_sets import picture, text

onnx = pytest.importorskip("onnx")
SIZE = 12
PLACES = np.array([[0.25, 0.3], [0.75, 0.3], [0.5, 0.5], [0.3, 0.75], [0.7, 0.75]])
"""Landmarks of `five` in every crop, fractions."""
DESCRIBED = {"scheme": "five", "size": SIZE, "padding": 1.2}


def write_foreign(path, shape=("F", 3, SIZE, SIZE), outputs=PLACES, kind=None):
    """Write a model whose outputs are constants plus the value of a crop's first pixel.

    This reveals how crops were prepared: `outputs` are those for a first value of 0.
    """
    from onnx import TensorProto, helper, numpy_helper

    kind = kind or TensorProto.FLOAT
    count = outputs.size
    constants = {
        "places": outputs.reshape(1, -1).astype(np.float32),
        "begin": np.zeros(4, np.int64),
        "end": np.array([2**31, 1, 1, 1]),
        "flat": np.array([-1, 1]),
    }
    steps = [
        helper.make_node("Cast", ["data"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["values", "begin", "end"], ["first"]),
        helper.make_node("Reshape", ["first", "flat"], ["column"]),
        helper.make_node("Add", ["column", "places"], ["points"]),
        helper.make_node("Identity", ["column"], ["angle"]),
    ]
    rows = shape[0]
    graph = helper.make_graph(
        steps,
        "foreign",
        [helper.make_tensor_value_info("data", kind, shape)],
        [
            helper.make_tensor_value_info("angle", TensorProto.FLOAT, [rows, 1]),
            helper.make_tensor_value_info("points", TensorProto.FLOAT, [rows, count]),
        ],
        [numpy_helper.from_array(a, name) for name, a in constants.items()],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))


def describe(path, **changes):
    """Write the description of a model and return its path."""
    lines = []
    for key, value in (DESCRIBED | changes).items():
        lines.append(f"{key} = {json.dumps(value)}")
    return text(path, "\n".join(lines))


def crops_of(*first):
    """Return black crops whose first pixel has these RGB values."""
    crops = np.zeros((len(first), SIZE, SIZE, 3), np.uint8)
    crops[:, 0, 0] = np.reshape(first, (-1, 3))
    return crops


def test_fractions_become_pixels_of_the_crop(tmp_path):
    write_foreign(tmp_path / "mine.onnx")
    model = ForeignModel(describe(tmp_path / "mine.toml"))
    found = model.predict(crops_of((0, 0, 0), (51, 0, 0)))
    # the edges of the crop are at -0.5 and 11.5
    np.testing.assert_allclose(found.landmarks_crop[0], PLACES * 12 - 0.5, atol=1e-5)
    # red 51 of 255 adds 0.2 of 12 pixels
    moved = found.landmarks_crop[1] - found.landmarks_crop[0]
    np.testing.assert_allclose(moved, 2.4, atol=1e-5)
    # an error of 0.03 sides; the crop has 1.2 sides in 12 pixels
    np.testing.assert_allclose(found.sigma_px, 0.3, rtol=1e-6)
    # Rayleigh: 1 - exp(-0.05^2 / (2 (0.03 / 1.2533)^2))
    np.testing.assert_allclose(found.scores, 0.8871, atol=1e-4)


def test_a_model_with_a_large_error_lowers_the_score_limits(tmp_path):
    write_foreign(tmp_path / "mine.onnx")
    model = ForeignModel(describe(tmp_path / "mine.toml", error=0.2))
    found = model.predict(crops_of((0, 0, 0)))
    limits = ValidationLimits.of(model)
    assert 0 < limits.low_score < found.scores.mean() < 0.1
    assert min_score_for(model, None) == limits.low_score


@pytest.mark.parametrize(
    ("changes", "added"),
    [
        ({"color": "bgr"}, 30 / 255),
        ({"color": "gray"}, (0.299 * 10 + 0.587 * 20 + 0.114 * 30) / 255),
        ({"mean": [4.0, 0.0, 0.0], "std": [60.0, 1.0, 1.0]}, 0.1),
        ({"mean": 127.5, "std": 127.5}, 10 / 127.5 - 1),
    ],
)
def test_colors_are_prepared_as_described(changes, added, tmp_path):
    channels = 1 if changes.get("color") == "gray" else 3
    write_foreign(tmp_path / "a.onnx", ("F", channels, SIZE, SIZE))
    model = ForeignModel(describe(tmp_path / "a.toml", unit="pixels", **changes))
    found = model.predict(crops_of((10, 20, 30)))
    np.testing.assert_allclose(found.landmarks_crop[0], PLACES + added, atol=1e-5)


@pytest.mark.parametrize(
    ("unit", "outputs"),
    [("centered", 2 * PLACES - 1), ("pixels", PLACES * SIZE - 0.5)],
)
def test_units_of_outputs_agree(unit, outputs, tmp_path):
    write_foreign(tmp_path / "a.onnx", outputs=outputs)
    model = ForeignModel(describe(tmp_path / "a.toml", unit=unit))
    found = model.predict(crops_of((0, 0, 0))).landmarks_crop[0]
    np.testing.assert_allclose(found, PLACES * SIZE - 0.5, atol=1e-5)


def test_outputs_may_have_all_x_before_all_y(tmp_path):
    write_foreign(tmp_path / "a.onnx", outputs=PLACES.T)
    model = ForeignModel(describe(tmp_path / "a.toml", order="xxyy"))
    found = model.predict(crops_of((0, 0, 0))).landmarks_crop[0]
    np.testing.assert_allclose(found, PLACES * SIZE - 0.5, atol=1e-5)


def test_channels_may_be_last_and_uint8(tmp_path):
    write_foreign(
        tmp_path / "a.onnx", ("F", SIZE, SIZE, 3), kind=onnx.TensorProto.UINT8
    )
    model = ForeignModel(describe(tmp_path / "a.toml", layout="nhwc", unit="pixels"))
    found = model.predict(crops_of((7, 0, 0))).landmarks_crop[0]
    np.testing.assert_allclose(found, PLACES + 7, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_file_with_a_fixed_batch_size_accepts_any_number_of_crops(batch, tmp_path):
    write_foreign(tmp_path / "a.onnx", (batch, 3, SIZE, SIZE))
    model = ForeignModel(describe(tmp_path / "a.toml", unit="pixels"))
    found = model.predict(crops_of((0, 0, 0), (255, 0, 0), (0, 0, 0)))
    moved = found.landmarks_crop[1:] - found.landmarks_crop[0]
    np.testing.assert_allclose(moved[0], 1, atol=1e-5)
    np.testing.assert_allclose(moved[1], 0, atol=1e-5)
    assert len(found.landmarks_crop) == 3
    assert model.predict(crops_of()).landmarks_crop.shape == (0, 5, 2)
    with pytest.raises(ShapeError, match="expected uint8"):
        model.predict(np.zeros((1, 9, 9, 3), np.uint8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paddings": 1.2}, "unknown key 'paddings'; did you mean 'padding'"),
        ({"scheme": "ibug68"}, "expected one output of 136"),
        ({"size": 0}, "size: Input should be greater than 0"),
        ({"layout": "nhwc"}, r"12 pixels, nhwc, rgb: its input is \['F', 3, 12, 12\]"),
        ({"std": 0}, "std: expected at least 1, because pixels are from 0 to 255"),
        ({"std": [0.229, 0.224, 0.225]}, "multiply a mean and std of .* by 255"),
        ({"mean": [1, 2]}, "mean: expected one number, or one per channel"),
        ({"output": "angle"}, "expected one output of 10"),
        ({"file": "absent.onnx"}, "no model file at"),
        ({"scheme": "nonsense"}, "unknown scheme 'nonsense'"),
    ],
)
def test_a_wrong_description_raises_a_clear_error(changes, message, tmp_path):
    write_foreign(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=message):
        ForeignModel(describe(tmp_path / "a.toml", **changes))


def test_a_model_is_found_by_its_description_and_can_be_pickled(tmp_path):
    write_foreign(tmp_path / "a.onnx")
    path = describe(tmp_path / "a.toml")
    model = load_model(path, 1)
    assert model is load_model(path, 1)
    copied = pickle.loads(pickle.dumps(model))
    crops = crops_of((9, 9, 9))
    assert np.array_equal(
        copied.predict(crops).landmarks_crop, model.predict(crops).landmarks_crop
    )
    with pytest.raises(ModelError, match=r"describe it in a\.toml next to it"):
        load_model(tmp_path / "a.onnx")


def test_faces_are_those_of_the_crops(tmp_path):
    write_foreign(tmp_path / "a.onnx")
    predict = Predictor(describe(tmp_path / "a.toml"), recrop=None)
    faces = predict(np.zeros((60, 60, 3), np.uint8), [[10, 10, 30, 30]])
    # the crop has 24 pixels about (20, 20)
    np.testing.assert_allclose(faces[0].landmarks, 20 + (PLACES - 0.5) * 24, atol=1e-4)
    np.testing.assert_allclose(faces[0].sigma_px, 0.6, rtol=1e-6)


def test_commands_take_a_third_party_model(tmp_path):
    write_foreign(tmp_path / "a.onnx")
    model = describe(tmp_path / "a.toml")
    photo = picture(tmp_path / "photo.png", size=(60, 60))
    boxes = ("--boxes", "10,10,30,30")
    code, shown, noted = call("detect", photo, "--model", model, *boxes)
    assert code == 0, noted
    assert json.loads(shown)["faces"][0]["landmarks"]
    # the eyes, nose and mouth of the drawn faces
    five = [36, 45, 30, 48, 54]
    write_faces(tmp_path / "faces", 3, lambda landmarks: landmarks[five])
    reports = []
    for name in ("first", "second"):
        out = tmp_path / name
        given = ("--data", tmp_path / "faces", "--scheme", "five", "--report", out)
        code, shown, noted = call(
            "evaluate", "--protocol", "folder", "--model", model, *given
        )
        assert code == 0, noted
        reports.append(out)
    code, shown, noted = call("compare", *reports)
    assert code == 0, noted


def test_a_third_party_model_can_be_a_teacher(tmp_path, tiny):
    pytest.importorskip("torch")
    import torch

    from lineament.training.distill.teacher import Teacher

    write_foreign(tmp_path / "a.onnx")
    teacher = Teacher(describe(tmp_path / "a.toml"), torch.device("cpu"))
    assert (teacher.scheme, teacher.size, teacher.padding) == ("five", SIZE, 1.2)
    found = teacher.landmarks(crops_of((0, 0, 0)))
    np.testing.assert_allclose(found[0], PLACES * SIZE - 0.5, atol=1e-5)


def test_a_student_is_distilled_from_a_third_party_model(tmp_path, tiny):
    pytest.importorskip("torch")
    from tiny import small, trained

    write_foreign(tmp_path / "a.onnx")
    teacher = describe(tmp_path / "a.toml", padding=1.3)  # the student's
    five = [36, 45, 30, 48, 54]
    write_faces(tmp_path / "faces", 12, lambda landmarks: landmarks[five])
    recipe = small(
        tmp_path / "faces",
        **{"scheme": "five", "train.steps": 2},
        distill={"teacher": str(teacher), "landmarks": 1.0},
    )
    state = trained(recipe, tmp_path / "run", kind="distill")
    assert state["step"] == 2


def test_a_description_is_not_saved_without_its_model(tmp_path):
    write_foreign(tmp_path / "a.onnx")
    predictor = Predictor(describe(tmp_path / "a.toml"))
    with pytest.raises(ModelError, match="copy both files"):
        predictor.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_gray_crops_in_bytes_are_rounded(tmp_path):
    from onnx import TensorProto

    write_foreign(tmp_path / "a.onnx", ("F", 1, SIZE, SIZE), kind=TensorProto.UINT8)
    model = ForeignModel(describe(tmp_path / "a.toml", color="gray", unit="pixels"))
    levels = [(level,) * 3 for level in range(256)]
    found = model.predict(crops_of(*levels)).landmarks_crop[:, 0, 0]
    # a gray pixel keeps its level, to which the network adds the place
    np.testing.assert_allclose(found, np.arange(256) + PLACES[0, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("content", "kind"), [("points = []", "a scheme"), ("data = []", "a recipe")]
)
def test_another_toml_file_is_not_taken_for_a_description(content, kind, tmp_path):
    path = text(tmp_path / "a.toml", content)
    with pytest.raises(ModelError, match=f"{kind}, not the description of a third-"):
        load_model(path)
