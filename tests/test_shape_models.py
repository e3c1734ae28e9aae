"""Active shape and appearance models: shapes, profiles, meshes, and fits of drawn faces."""

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament import Predictor
from lineament.classic.active_appearance import Warps, feature_maps, read_texture
from lineament.classic.pixels import sample_bilinear
from lineament.classic.profiles import (
    Discriminant,
    LineProfiles,
    Mahalanobis,
    PatchProfiles,
    neighbors,
)
from lineament.classic.pyramid import (
    from_level,
    gray_crops,
    level_scale,
    shrink,
    to_level,
)
from lineament.classic.shape_model import ShapeModel
from lineament.classic.shapes import as_rows, centered, to_complex
from lineament.errors import ModelError, RecipeError
from lineament.geometry import landmark_box
from lineament.inference.registry import load_numpy_model
from lineament.recipe.file import make_recipe
from lineament.schemes import scheme
from lineament.training.classic.active_appearance_fit import (
    delaunay_triangles,
    main_directions,
    rasterize,
    shape_parameters,
    steepest_descent,
)
from lineament.training.classic.active_shape_fit import fit_discriminant, fit_whitening
from lineament.training.classic.registry import FITS
from lineament.training.classic.trainer import ClassicTrainer
from lineament.training.registry import make_trainer

MEAN = to_complex(scheme("ibug68").mean_shape * 60 + 40)
MODELS = {
    "asm-line": {"kind": "active-shape", "profile": "line"},
    "asm-patch": {"kind": "active-shape", "profile": "patch"},
    "aam-pixels": {"kind": "active-appearance", "features": "pixels"},
    "aam-hog": {"kind": "active-appearance", "features": "hog"},
}


def moved_shapes(count, rng):
    """Return shapes that vary along one direction, each with a random similarity."""
    direction = centered(rng.normal(size=68) + 1j * rng.normal(size=68))
    shapes = MEAN + rng.normal(size=(count, 1)) * direction
    factors = rng.uniform(0.8, 1.2, (count, 1)) * np.exp(
        1j * rng.normal(0, 0.2, (count, 1))
    )
    return shapes * factors + rng.normal(0, 9, (count, 1)) * (1 + 1j)


def recipe_of(folder, name):
    model = {"size": 64, "padding": 1.3, "levels": 2, **MODELS[name]}
    return make_recipe(
        {
            "name": name,
            "model": model,
            "data": [{"reader": "folder", "folder": str(folder)}],
            "train": {"steps": 2},
        },
        "test",
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder, cache = tmp_path_factory.mktemp("faces"), tmp_path_factory.mktemp("cache")
    write_faces(folder, 40)
    runs = tmp_path_factory.mktemp("runs")
    found = {}
    for name in MODELS:
        recipe = recipe_of(folder, name)
        fit = FITS[recipe.kind]
        trainer = ClassicTrainer(fit, recipe, runs / name, folder, cache)
        found[name] = trainer.run()
    return found


def test_one_direction_of_variation_is_found_at_any_pose():
    shapes = moved_shapes(303, np.random.default_rng(0))
    model = ShapeModel.fit(shapes[:300], 0.98)
    assert model.directions.shape == (1, 136)
    # so unseen shapes are reconstructed
    rest = shapes[300:]
    assert np.abs(model.plausible(rest, 9.0) - rest).max() < 0.3


def test_a_coefficient_stays_within_the_limit():
    model = ShapeModel.fit(moved_shapes(300, np.random.default_rng(0)), 0.98)
    step = 8 * model.deviations[0] * model.directions[0]
    far = (model.mean + step[:68] + 1j * step[68:])[None]
    b, _ = model.coefficients(model.plausible(far, 3.0))
    assert abs(b[0, 0]) == pytest.approx(3 * model.deviations[0], rel=0.05)


def test_a_coefficient_shrinks_by_the_noise_of_landmarks():
    """If prior and noise have variance d^2, the MAP coefficient is half the measured one."""
    model = ShapeModel.fit(moved_shapes(300, np.random.default_rng(0)), 0.98)
    step = model.deviations[0] * model.directions[0]
    shape = (model.mean + step[:68] + 1j * step[68:])[None]
    b, _ = model.coefficients(model.plausible(shape, 3.0, model.deviations[0]))
    assert b[0, 0] == pytest.approx(model.deviations[0] / 2, rel=0.02)


def test_a_shape_model_is_restored_from_its_arrays():
    model = ShapeModel.fit(moved_shapes(50, np.random.default_rng(0)), 0.98)
    again = ShapeModel.read(model.arrays())
    shapes = moved_shapes(4, np.random.default_rng(2))
    np.testing.assert_allclose(
        again.plausible(shapes, 3.0), model.plausible(shapes, 3.0), atol=1e-3
    )


def test_levels_keep_the_positions_of_pixels():
    assert [level_scale(level, 3) for level in range(3)] == [0.25, 0.5, 1.0]
    # the middle of the first two pixels is the first pixel of half the size
    np.testing.assert_allclose(to_level(np.array([0.5 + 0.5j]), 0.5), [0])
    np.testing.assert_allclose(from_level(to_level(MEAN, 0.25), 0.25), MEAN)
    images = np.zeros((2, 16, 16), np.uint8)
    images[:, 4:8, 8:12] = 200
    small = shrink(images, 0.25)
    assert small.shape == (2, 4, 4)
    assert small[0, 1, 2] == 200
    assert small.sum() == 400


def test_neighbors_follow_the_lines_of_the_scheme():
    before, after = neighbors("ibug68")
    assert (before[8], after[8]) == (7, 9)
    assert (before[0], after[0]) == (0, 1)
    assert (before[16], after[16]) == (15, 16)


def test_normals_of_the_jaw_are_consistently_oriented():
    profiles = LineProfiles("ibug68", 3, 2)
    axes = profiles.axes(MEAN[None], MEAN)[0]
    np.testing.assert_allclose(np.abs(axes), 1)
    # either way, but the same for all of the jaw: the chin's is vertical
    assert abs(axes[8].imag) > 0.99
    outward = (axes[:17] * (MEAN[:17] - MEAN.mean()).conj()).real
    assert (outward > 0).all() or (outward < 0).all()


def test_a_line_profile_finds_an_edge_along_its_normal():
    image = np.zeros((1, 60, 60), np.uint8)
    image[:, :, 32:] = 200  # an edge between x = 31 and 32
    profiles = LineProfiles("ibug68", 2, 3)
    shapes = np.full((1, 68), 30 + 30j)
    found = profiles.read(image, shapes, np.ones((1, 68), complex))
    assert found.shape == (1, 68, 7, 5)
    # the derivative over one pixel at x is value(x + 1/2) - value(x - 1/2): 31 and 32 share it
    # candidate 4, of x = 31, has the edge at its center and right of it
    assert found[0, 0, 4].argmax() in (2, 3)
    assert found[0, 0, 4, 2:4].sum() > 0.9


def test_a_patch_has_the_histograms_of_its_cells():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 50, 50), dtype=np.uint8)
    profiles = PatchProfiles(2, 1)
    shapes = np.full((1, 68), 24 + 25j)
    axes = np.ones((1, 68), complex)
    found = profiles.read(image, shapes, axes)
    assert found.shape == (1, 68, 9, 72)
    alone = PatchProfiles(2, 0)
    candidates = profiles.candidates()
    for number in (0, 5, 8):
        moved = alone.read(image, shapes + candidates[number], axes)
        np.testing.assert_allclose(found[0, 0, number], moved[0, 0, 0], atol=1e-6)


def test_a_whitened_difference_has_the_mahalanobis_length():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5000, 2)) * [3.0, 0.5]
    whitening = fit_whitening(rows, 0.999)
    matcher = Mahalanobis(
        np.zeros((1, 2), np.float32), whitening[None].astype(np.float32)
    )
    found = matcher.distances(np.array([[[[3.0, 0.5]]]], np.float32))
    # one deviation along each axis
    assert found[0, 0, 0] == pytest.approx(2, rel=0.1)


def test_a_discriminant_is_lower_for_its_own_features():
    rng = np.random.default_rng(0)
    own, away = rng.normal(1, 1, (400, 3)), rng.normal(-1, 1, (400, 3))
    weights, offset = fit_discriminant(own, away)
    matcher = Discriminant(
        weights[None].astype(np.float32), np.array([offset], np.float32)
    )
    found = matcher.distances(np.ones((1, 1, 1, 3), np.float32))
    other = matcher.distances(-np.ones((1, 1, 1, 3), np.float32))
    assert found < 0 < other
    # equally far from both
    assert abs(matcher.distances(np.zeros((1, 1, 1, 3), np.float32))) < 0.5


def test_the_triangles_cover_the_hull_of_the_mean_shape():
    triangles = delaunay_triangles(MEAN)
    assert triangles.max() == 67
    assert len(np.unique(triangles)) == 68
    mesh, pixels = rasterize(MEAN, triangles)
    np.testing.assert_allclose(mesh.weights.sum(1), 1, atol=1e-5)
    # pixels of the mean shape's mesh map to themselves
    low = np.floor(MEAN.real.min()) + 1j * np.floor(MEAN.imag.min())
    expected = low + pixels[:, 1] + 1j * pixels[:, 0]
    np.testing.assert_allclose(mesh.positions(MEAN[None])[0], expected, atol=1e-3)


def test_a_warp_of_a_turned_shape_turns_its_steps():
    triangles = delaunay_triangles(MEAN)
    warps = Warps(MEAN, triangles)
    turned = (MEAN[None] - 9) * 2j  # rotated by 90 degrees, twice as large
    steps = np.full((1, 68), 0.5 + 0j)
    np.testing.assert_allclose(warps.move(turned, steps), turned + 1j, atol=1e-9)


def test_parameter_steps_are_orthonormal_and_span_the_pose():
    model = ShapeModel.fit(moved_shapes(100, np.random.default_rng(0)), 0.98)
    parameters = shape_parameters(model)
    np.testing.assert_allclose(parameters @ parameters.T, np.eye(5), atol=1e-9)
    for pose in (model.mean, 1j * model.mean, np.ones(68) + 0j):
        row = as_rows(pose[None])[0].astype(float)
        np.testing.assert_allclose(parameters.T @ (parameters @ row), row, atol=1e-4)


def test_steepest_descent_of_a_ramp_is_its_slope():
    shape = np.array([0j, 8, 8j, 8 + 8j])
    triangles = np.array([[0, 1, 2], [1, 2, 3]], np.uint16)
    mesh, pixels = rasterize(shape, triangles)
    mean = 3.0 * pixels[:, 1].astype(np.float32)  # three per pixel to the right
    right = np.array([[1.0, 1, 1, 1, 0, 0, 0, 0]])
    found = steepest_descent(mean, mesh, pixels, right)
    inner = ((pixels > 0) & (pixels < 8)).all(1)
    np.testing.assert_allclose(found[inner, 0], 3, atol=1e-5)


def test_principal_directions_are_orthonormal_and_explain_the_share():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(30, 2)) @ rng.normal(size=(2, 50))).astype(np.float32)
    rows += 0.01 * rng.normal(size=rows.shape).astype(np.float32)
    found = main_directions(rows, 0.99)
    assert found.shape == (2, 50)
    np.testing.assert_allclose(found @ found.T, np.eye(2), atol=1e-3)


@pytest.mark.parametrize("name", ["asm-patch", "aam-hog", "aam-pixels"])
def test_a_drawn_face_is_found_better_than_by_the_mean_shape(name, trained):
    model = load_numpy_model(trained[name])
    errors = {"mean": [], "fitted": []}
    for seed in range(100, 106):
        image, landmarks = draw_face(seed)
        box = landmark_box(landmarks)
        start = type(model)(model.settings | {"step": 0}, model.arrays)
        for key, used in (("mean", start), ("fitted", model)):
            face = Predictor(used, recrop=None)(image, box)[0]
            errors[key].append(
                np.linalg.norm(face.landmarks - landmarks, axis=1).mean()
            )
    assert np.mean(errors["fitted"]) < 0.7 * np.mean(errors["mean"])


@pytest.mark.parametrize("name", MODELS)
def test_batched_fitting_equals_single_fitting(name, trained):
    model = load_numpy_model(trained[name])
    crops = np.stack([draw_face(seed, 64)[0] for seed in range(10)])
    together = model.predict(crops)
    alone = model.predict(crops[9:])
    np.testing.assert_allclose(
        alone.landmarks_crop[0], together.landmarks_crop[9], atol=1e-3
    )
    assert (together.sigma_px > 0).all()
    assert ((together.scores >= 0) & (together.scores <= 1)).all()


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_file_predicts_like_its_checkpoint(name, trained, tmp_path):
    pytest.importorskip("torch")
    from lineament.export.registry import export_trained

    folder = tmp_path / "faces"
    folder.mkdir()
    write_faces(folder, 40)
    export_trained(trained[name], tmp_path, "same", False, folder, tmp_path / "cache")
    crops = np.stack([draw_face(seed, 64)[0] for seed in range(60, 64)])
    before = load_numpy_model(trained[name]).predict(crops)
    after = load_numpy_model(tmp_path / "same.safetensors").predict(crops)
    np.testing.assert_array_equal(after.landmarks_crop, before.landmarks_crop)
    assert (after.sigma_px > 0).all()


@pytest.mark.parametrize("name", ["aam-pixels", "aam-hog"])
def test_no_step_or_initial_shape_makes_an_appearance_fit_worse(name, trained):
    model = load_numpy_model(trained[name])
    # noise, whose gradient steps do not reduce the error
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, model.size, model.size)).astype(np.uint8)
    faces = [gray_crops(draw_face(seed, model.size)[0][None])[0] for seed in (60, 61)]
    images = np.concatenate([noise, faces])

    def differences(rounds, starts):
        settings = model.settings | {"rounds": rounds}
        # one level: each round must be at least as good as that before
        arrays = model.arrays | {"starts": model.arrays["starts"][[0, *starts]]}
        arrays["starts"] = arrays["starts"] + np.arange(1 + len(starts))[:, None, None]
        level = type(model)(settings | {"levels": 1, "step": 1}, arrays)
        texture = level.textures[0]
        maps = feature_maps(images, level.features)
        appearance = read_texture(maps, texture.mesh, level.fit(images)[0])
        return texture.distance(appearance - texture.mean)

    one = [differences(rounds, []) for rounds in (1, 2, 4, 8)]
    assert (np.diff(one, axis=0) <= 0).all()
    assert one[-1].mean() < one[0].mean()
    assert (differences(8, [0, 0]) <= one[-1]).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_rounds_of_a_search_are_counted_over_its_levels(name, trained):
    model = load_numpy_model(trained[name])
    crops = np.stack([draw_face(seed, 64)[0] for seed in range(3)])
    rounds = model.count_rounds(crops)
    levels = model.levels
    assert rounds.shape == (3,)
    assert (rounds >= levels).all()
    assert (rounds <= levels * model.settings["rounds"]).all()
    assert len(model.count_rounds(crops[:1])) == 1


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("asm-patch", "1.weights", "active shape model 'asm-patch' lacks '1.weights'"),
        ("aam-hog", "0.gain", "active appearance model 'aam-hog' lacks '0.gain'"),
    ],
)
def test_a_model_that_lacks_an_array_is_rejected(name, array, words, trained):
    model = load_numpy_model(trained[name])
    arrays = {key: value for key, value in model.arrays.items() if key != array}
    with pytest.raises(ModelError, match=f"{words}; train it again"):
        type(model)(model.settings, arrays)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"init_from": "fast.safetensors"}, "init_from"),
        ({"tasks": {}}, r"\[tasks\]"),
        ({"data": [{"reader": "300w", "annotated": False}]}, r"data\.0\.annotated = "),
    ],
)
def test_settings_of_networks_are_rejected_for_models_without_one(
    changes, key, tmp_path
):
    values = {"name": "mean", "model": {"kind": "mean-shape"}, "train": {"steps": 1}}
    recipe = make_recipe(values | {"data": [{"reader": "300w"}]} | changes)
    with pytest.raises(
        RecipeError, match=f"has {key}.*, which a mean-shape model does"
    ):
        make_trainer(recipe, tmp_path / "run", tmp_path, tmp_path / "cache")


def test_more_positions_are_read_than_opencv_takes_at_once():
    image = np.arange(200, dtype=np.uint8)[None, None].repeat(200, axis=1)
    positions = np.linspace(0, 199, 70_000)[None] + 7j
    np.testing.assert_allclose(
        sample_bilinear(image, positions), positions.real, atol=0.02
    )
