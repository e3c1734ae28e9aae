"""Cascades of ferns, trees and ridge on HOG: fitting, resuming, exporting, predicting."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from commands import call
from faces import draw_face, write_faces
from lineament import Predictor
from lineament.classic.cascade import Cascade
from lineament.classic.forest import Forest, ShapePixels, principal_basis
from lineament.classic.hog import BINS, orientation_maps, read_histograms
from lineament.classic.shapes import (
    as_rows,
    fit_rotation_and_scale,
    from_complex,
    from_rows,
    to_complex,
)
from lineament.errors import ModelError, TrainError
from lineament.estimator import ValidationLimits
from lineament.geometry import apply_affine, landmark_box, similarity
from lineament.inference.registry import load_numpy_model
from lineament.recipe.classic import CascadeSettings
from lineament.recipe.file import make_recipe
from lineament.schemes import convert, scheme
from lineament.training.classic.boosting import (
    Pixels,
    best_splits,
    draw_pairs,
    fit_ferns,
    fit_trees,
    leaf_outputs,
)
from lineament.training.classic.cascade_fit import CascadeFit
from lineament.training.classic.faces import (
    GrayFaces,
    draw_starts,
    representative_shapes,
)
from lineament.training.classic.trainer import ClassicTrainer

MEAN = to_complex(scheme("ibug68").mean_shape * 60 + 40)
REGRESSORS = ("ferns", "trees", "ridge")


def recipe_of(folder, regressor="trees", steps=2, **model):
    values = {
        "kind": "cascade",
        "regressor": regressor,
        "size": 64,
        "trees": 20,
        "pixels": 80,
        "initial_shapes": 3,
        "initial_shapes_per_face": 4,
        "fern_prior": 10,
        **model,
    }
    return make_recipe(
        {
            "name": "drawn",
            # with 68 points, the regression would have 4,897 features
            "scheme": "five" if regressor == "ridge" else "ibug68",
            "model": values,
            "data": [{"reader": "folder", "folder": str(folder)}],
            "augment": {"rotation_deg": 5, "scale": 0.05, "shift": 0.03},
            "train": {"steps": steps},
        },
        "test",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of drawn faces."""
    path = tmp_path_factory.mktemp("faces")
    write_faces(path, 40)
    return path


def train(folder, out, cache, resume=False, **model):
    trainer = ClassicTrainer(
        CascadeFit, recipe_of(folder, **model), out, folder, cache, resume
    )
    return load_numpy_model(trainer.run())


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Return the checkpoint of a two-stage cascade per regressor."""
    out, cache = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("cache")
    for regressor in REGRESSORS:
        train(folder, out / regressor, cache, regressor=regressor)
    return {name: out / name / "checkpoint.safetensors" for name in REGRESSORS}


def test_a_step_shorter_than_a_tick_of_the_clock_is_logged(
    folder, tmp_path, monkeypatch
):
    clock = SimpleNamespace(monotonic=lambda: 5.0)
    monkeypatch.setattr("lineament.training.classic.trainer.time", clock)
    reports = []
    recipe = recipe_of(folder, "ridge", steps=1)
    positions = tmp_path / "run", folder, tmp_path / "cache"
    ClassicTrainer(CascadeFit, recipe, *positions).run(reports.append)
    assert [report.step for report in reports] == [1]


def test_fit_rotation_and_scale_inverts_a_similarity():
    affine = similarity(1.7, 25.0, np.zeros(2), np.array([3.0, -8.0]))
    moved = to_complex(apply_affine(affine, from_complex(MEAN)))
    factor = fit_rotation_and_scale(moved, MEAN)
    assert abs(factor) == pytest.approx(1 / 1.7)
    back = factor * (moved - moved.mean()) + MEAN.mean()
    np.testing.assert_allclose(back, MEAN, atol=1e-9)


def test_updates_survive_conversion_to_rows():
    updates = np.array([[1 + 2j, 3 - 4j]])
    np.testing.assert_array_equal(as_rows(updates), [[1, 3, 2, -4]])
    np.testing.assert_array_equal(from_rows(as_rows(updates)), updates)


def test_shape_pixels_turn_with_the_shape():
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 30, 60] = 200  # ten pixels to the right of (50, 30)
    image[0, 40, 50] = 100  # ten pixels below it
    shape = np.array([[50 + 30j, 70 + 30j, 50 + 60j]])
    mean = shape[0]
    pixels = ShapePixels(np.array([0], np.uint16), np.array([10 + 0j]))
    rows = np.zeros(1, int)
    assert pixels.read(image, rows, shape, mean) == [[200]]
    turned = (
        50 + 30j + (shape - (50 + 30j)) * 1j
    )  # by 90 degrees about the first landmark
    assert pixels.read(image, rows, turned, mean) == [[100]]


def test_a_fern_shares_one_split_per_level_and_a_tree_has_one_per_node():
    values = np.array([[9, 0, 0], [0, 9, 0], [9, 9, 0], [0, 0, 0]], np.int16)
    outputs = np.arange(4.0).reshape(1, 4, 1)
    fern = Forest(
        np.array([[[0, 2], [1, 2]]], np.uint16), np.zeros((1, 2), np.int16), outputs
    )
    np.testing.assert_array_equal(fern.leaves(values)[:, 0], [2, 1, 3, 0])
    # the second child's own split is always 0 - 0 > 0, never true
    nodes = np.array([[[0, 2], [1, 2], [2, 2]]], np.uint16)
    tree = Forest(nodes, np.zeros((1, 3), np.int16), outputs)
    np.testing.assert_array_equal(tree.leaves(values)[:, 0], [2, 1, 2, 0])
    np.testing.assert_array_equal(tree(values)[:, 0], [2, 1, 2, 0])


def test_the_best_split_of_a_node_maximizes_the_explained_variance():
    residuals = np.array([[1.0], [1], [-1], [-1], [5], [7]], np.float32)
    node = np.array([0, 0, 0, 0, 1, 1])
    is_second = np.array(
        [
            [True, False, True, False, True, True],
            [True, True, False, False, True, False],
        ]
    )
    # node 0: the second candidate explains all; node 1: 6^2 * 2 = 72 against 5^2 + 7^2 = 74
    np.testing.assert_array_equal(best_splits(is_second, residuals, node, 2), [1, 1])


def test_a_leaf_is_its_mean_residual_shrunk_by_the_prior():
    residuals = np.array([[2.0], [4], [9]], np.float32)
    leaf = np.array([1, 1, 3])
    np.testing.assert_allclose(leaf_outputs(leaf, residuals, 4, 0)[:, 0], [0, 3, 0, 9])
    # (2 + 4) / (2 + 1) and 9 / (1 + 1)
    np.testing.assert_allclose(
        leaf_outputs(leaf, residuals, 4, 1)[:, 0], [0, 2, 0, 4.5]
    )


def test_pairs_of_pixels_are_near_each_other():
    rng = np.random.default_rng(0)
    positions = rng.random(200) + 1j * rng.random(200)
    drawn = draw_pairs(rng, positions, 500)
    assert drawn.shape == (500, 2)
    # far below 0.52, the mean distance of two points of the unit square
    assert np.abs(positions[drawn[:, 0]] - positions[drawn[:, 1]]).mean() < 0.3


@pytest.mark.parametrize("learn", [fit_ferns, fit_trees])
def test_boosting_explains_residuals_that_depend_on_a_difference_of_pixels(learn):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (20, 2000)).astype(np.int16)
    residuals = np.sign(values[3] - values[11])[:, None].astype(np.float32)
    before = (residuals**2).sum()
    positions = np.zeros(20, complex)
    settings = CascadeSettings(trees=60, depth=3, fern_prior=1.0, candidates=60)
    learn(Pixels(values, positions), residuals, settings, rng)
    assert (residuals**2).sum() < 0.3 * before


def test_a_basis_explains_the_given_share_of_the_updates():
    rng = np.random.default_rng(0)
    updates = rng.normal(size=(500, 1)) * (1 + 1j) * np.ones(4) + 0.01 * rng.normal(
        size=(500, 4)
    )
    basis = principal_basis(updates, 0.99)
    assert basis.shape == (1, 8)
    np.testing.assert_allclose(basis @ basis.T, [[1]], atol=1e-5)


def test_an_edge_contributes_to_the_bin_of_its_direction():
    image = np.zeros((32, 32), np.uint8)
    image[:, 16:] = 200  # brightness grows to the right: direction 0
    maps = orientation_maps(image, 4.0)
    assert maps.shape == (32, 32, BINS)
    assert maps[16, 16].argmax() == 0
    assert maps[16, 16, 0] > 0.99 * maps[16, 16].sum()
    factors = np.ones(1, complex)
    found = read_histograms(maps, np.array([[16 + 16j, 0 + 0j]]), factors, 4.0)
    assert found.shape == (1, 2 * 9 * BINS)
    assert 0.7 < np.linalg.norm(found[0, : 9 * BINS]) < 1
    # its cells reach x = 4, five standard deviations from the edge
    assert found[0, 9 * BINS :].max() < 0.01


def test_initial_shapes_have_the_noise_of_the_recipe(folder):
    recipe = recipe_of(folder, size=100, padding=1.25)
    still = recipe.model_copy(
        update={
            "augment": recipe.augment.model_copy(
                update={"rotation_deg": 0, "scale": 0, "shift": 0}
            )
        }
    )
    box = np.array([20.0, 20, 99, 99])
    faces = GrayFaces(
        np.zeros((2, 120, 120), np.uint8),
        np.stack([MEAN, MEAN + 1]),
        np.array([box, [21.0, 20, 100, 99]]),
    )
    rows, starts = draw_starts(np.random.default_rng(0), faces, still, 3)
    np.testing.assert_array_equal(rows, [0, 0, 0, 1, 1, 1])
    # both faces have the same position in their box, so each initial shape is the face itself
    np.testing.assert_allclose(starts, faces.shapes[rows], atol=1e-9)
    _, moved = draw_starts(np.random.default_rng(0), faces, recipe, 3)
    # the first initial shape of each face is the mean shape
    np.testing.assert_allclose(moved[::3], faces.shapes, atol=1e-9)
    assert 0.5 < np.abs(moved - faces.shapes[rows]).mean() < 20


def test_representative_shapes_are_the_mean_and_shapes_on_both_sides():
    rng = np.random.default_rng(0)
    shapes = MEAN + rng.normal(0, 2, (300, 1))  # they differ only in x
    found = representative_shapes(shapes, 3)
    np.testing.assert_allclose(found[0], shapes.mean(0))
    np.testing.assert_allclose((found[1] + found[2]) / 2, found[0], atol=1e-9)
    # 1.5 standard deviations of 2 px
    assert np.abs(found[1] - found[0]).mean() == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize("regressor", REGRESSORS)
def test_each_stage_lowers_the_error_of_drawn_faces(regressor, trained):
    model = load_numpy_model(trained[regressor])
    errors = []
    for count in range(3):
        settings = model.settings | {"stages": count}
        predictor = Predictor(Cascade(settings, model.arrays), recrop=None)
        of_faces = []
        for seed in range(100, 110):
            image, landmarks = draw_face(seed)
            face = predictor(image, landmark_box(landmarks))[0]
            truth = convert(landmarks, "ibug68", model.scheme).points
            of_faces.append(np.linalg.norm(face.landmarks - truth, axis=1).mean())
        errors.append(np.mean(of_faces))
    assert errors[0] > errors[1] > 0.9 * errors[2]
    assert errors[2] < 0.6 * errors[0]


@pytest.mark.parametrize("regressor", REGRESSORS)
def test_batched_prediction_equals_single_prediction(regressor, trained):
    model = load_numpy_model(trained[regressor])
    crops = np.stack([draw_face(seed, 64)[0] for seed in range(3)])
    together = model.predict(crops)
    for row in range(3):
        alone = model.predict(crops[row : row + 1])
        np.testing.assert_allclose(
            alone.landmarks_crop[0], together.landmarks_crop[row], atol=1e-3
        )
        np.testing.assert_allclose(alone.sigma_px[0], together.sigma_px[row], atol=1e-3)
    assert model.predict(crops[:0]).landmarks_crop.shape == (0, model.points, 2)


@pytest.mark.parametrize("regressor", REGRESSORS)
def test_a_resumed_cascade_equals_an_uninterrupted_one(
    regressor, folder, trained, tmp_path
):
    short = ClassicTrainer(
        CascadeFit,
        recipe_of(folder, regressor),
        tmp_path / "run",
        folder,
        tmp_path / "cache",
    )
    next(short.steps())
    resumed = train(
        folder, tmp_path / "run", tmp_path / "cache", resume=True, regressor=regressor
    )
    unbroken = load_numpy_model(trained[regressor])
    assert resumed.arrays.keys() == unbroken.arrays.keys()
    for name, array in unbroken.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)


def test_a_cascade_is_not_resumed_with_another_recipe(folder, trained):
    other = recipe_of(folder, trees=21)
    run = trained["trees"].parent
    with pytest.raises(TrainError, match=r"another recipe \(model.trees differ\)"):
        ClassicTrainer(CascadeFit, other, run, folder, run / "cache", resume=True)
    with pytest.raises(TrainError, match="already contains a run"):
        ClassicTrainer(CascadeFit, other, run, folder, run / "cache")


def test_a_cascade_that_lacks_a_stage_is_rejected(trained):
    model = load_numpy_model(trained["trees"])
    arrays = {name: array for name, array in model.arrays.items() if name != "1.pairs"}
    with pytest.raises(ModelError, match=r"'drawn' lacks '1.pairs'; train it again"):
        Cascade(model.settings, arrays)


def test_the_commands_train_export_and_use_a_cascade(folder, tmp_path):
    text = """
name = "small"
data = [{ reader = "folder", folder = "FOLDER" }]
augment = { rotation_deg = 5, scale = 0.05, shift = 0.03 }
train.steps = 1

[model]
kind = "cascade"
regressor = "ferns"
size = 64
trees = 10
initial_shapes_per_face = 2
"""
    recipe = tmp_path / "small.toml"
    recipe.write_text(text.replace("FOLDER", str(folder)))
    positions = ("--data", folder, "--cache", tmp_path / "cache")
    code, out, err = call("train", recipe, "--out", tmp_path / "run", *positions)
    assert code == 0, err
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    assert out.strip() == str(checkpoint)
    assert (tmp_path / "run" / "log.csv").read_text().startswith("step,loss_total,")
    code, out, err = call(
        "export", checkpoint, "--name", "ferns", "--out", tmp_path, *positions
    )
    assert code == 0, err
    assert "ferns.safetensors" in out
    card = json.loads((tmp_path / "ferns.json").read_text())
    assert card["kind"] == "cascade"
    assert card["steps_done"] == 1
    assert card["recipe"]["model"]["regressor"] == "ferns"
    options = ("--protocol", "folder", "--data", folder, "--format", "json")
    code, out, err = call(
        "evaluate", *options, "--model", tmp_path / "ferns.safetensors"
    )
    assert code == 0, err
    assert json.loads(out)["nme"] > 0
    code, _, err = call("export", checkpoint, "--int8", "--out", tmp_path, *positions)
    assert code == 1
    assert "a model without a network; omit --int8 and --scheme" in err
    code, _, err = call("distill", recipe, "--out", tmp_path / "other", *positions)
    assert code == 1
    assert "a cascade model, which has no network to distill" in err


@pytest.mark.parametrize("regressor", REGRESSORS)
def test_an_exported_file_predicts_like_its_checkpoint(
    regressor, trained, folder, tmp_path
):
    from lineament.export.registry import export_trained

    checkpoint = trained[regressor]
    card = export_trained(
        checkpoint, tmp_path, "same", False, folder, tmp_path / "cache"
    )
    model, exported = (
        load_numpy_model(path) for path in (checkpoint, tmp_path / "same.safetensors")
    )
    side = model.size
    crops = np.stack([draw_face(seed, side)[0] for seed in range(60, 64)])
    before, after = model.predict(crops), exported.predict(crops)
    np.testing.assert_array_equal(after.landmarks_crop, before.landmarks_crop)
    assert (after.sigma_px > 0).all()
    assert exported.validation_limits == ValidationLimits.read(card)
