"""The cascade with parts: geometry, the star, levels one after the other, files."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament import Predictor, load_model
from lineament.errors import RecipeError
from lineament.geometry import landmark_box
from lineament.recipe.file import make_recipe
from lineament.schemes import scheme

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from lineament.models.dpm_cnn import DpmCnn
from lineament.models.facepp import PARTS
from lineament.models.layers.pooled_prelu import PooledPReLU
from lineament.models.layers.resample import apply_affines
from lineament.models.part_cascade import PartCascade
from lineament.models.parts import (
    END_POINTS,
    ENDS,
    PartOutput,
    corners,
    ends_of,
    enlarged,
    fit_contour,
    fit_parts,
    move_points,
    part_affines,
    place_parts,
)
from lineament.models.profile import multiply_adds, parameters
from lineament.models.registry import build_network
from lineament.models.star import StarModel
from lineament.training.batch import Batch
from lineament.training.build import load_any
from lineament.training.parts.box_errors import box_errors
from lineament.training.parts.losses import part_losses
from lineament.training.registry import make_trainer
from tiny import killed

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
MEAN = torch.from_numpy(100 * scheme("ibug68").mean_shape + 80).float()
SMALL = {"width": 0.1, "contour_width": 0.1}
FROZEN = (), ("face",), ("face", "contour_box", "inner")
"""Frozen parts of each level."""


def recipe_of(folder, levels, steps=2, **values):
    return make_recipe(
        {
            "name": f"level{levels}",
            "model": {"kind": "part-cascade", "size": 96, "levels": levels, **SMALL},
            "data": [{"reader": "folder", "folder": str(folder)}],
            "losses": {"gaussian_nll": 0.1},
            "train": {
                "steps": steps, "batch": 4, "num_workers": 0, "bf16": False, "warmup": 0,
                "ema": 0.0, "lr": 1e-3, "threads": 1,
            },
            **values,
        },
        "test",
    )  # fmt: skip


# points, boxes, the star


def test_each_part_has_two_ends_among_its_points():
    for ends, part in zip(ENDS, PARTS, strict=True):
        assert set(ends) <= set(part)
    assert len(END_POINTS) == 12
    # the ends of mirrored parts are mirrored
    mirror = scheme("ibug68").mirror
    assert {tuple(sorted(mirror[list(ends)])) for ends in ENDS[:2]} == set(ENDS[:2])


def test_the_mean_shape_lies_in_its_own_box_and_between_its_own_ends():
    both = torch.stack([MEAN, 2 * MEAN + 7])
    contour = fit_contour(MEAN, "contour", corners(both, "contour"))
    torch.testing.assert_close(contour, both[:, :17], rtol=0, atol=1e-3)
    by_face = fit_contour(MEAN, "face", corners(both, "face"))
    torch.testing.assert_close(by_face, both[:, :17], rtol=0, atol=1e-3)
    inner = fit_parts(MEAN, ends_of(both))
    torch.testing.assert_close(inner, both[:, 17:], rtol=0, atol=1e-2)


def test_boxes_enclose_their_points_in_any_order_of_corners():
    found = corners(MEAN[None], "inner")
    low, high = MEAN[17:].amin(0), MEAN[17:].amax(0)
    torch.testing.assert_close(found[0], torch.stack([low, high]))
    expected = torch.cat([low - 0.1 * (high - low), high + 0.1 * (high - low)])
    torch.testing.assert_close(enlarged(found, 1.2)[0], expected)
    torch.testing.assert_close(enlarged(found.flip(1), 1.2)[0], expected)


def test_the_crop_of_a_part_is_rotated_and_scaled_like_its_ends():
    placed = place_parts(MEAN, 48)
    # the corners of the right eye are level, 1.5 times their distance fits
    torch.testing.assert_close(placed[3][0], torch.tensor([7.5, 23.5]))
    torch.testing.assert_close(placed[3][3], torch.tensor([39.5, 23.5]))
    # a face turned by a quarter, twice as large, gives the same crops
    turned = 2 * torch.stack([-MEAN[:, 1], MEAN[:, 0]], dim=1)[None] + 9
    affines = part_affines(ends_of(turned), torch.cat(placed)).unbind(1)
    for part, affine, points in zip(PARTS, affines, placed, strict=True):
        found = apply_affines(affine, turned[:, list(part)])[0]
        torch.testing.assert_close(found, points, rtol=0, atol=1e-3)


def test_a_step_is_in_tenths_of_the_crop_of_a_box():
    gray = torch.zeros(2, 1, 100, 100)
    boxes = torch.tensor([[10.0, 10, 50, 50], [0, 0, 80, 20]])
    start = torch.tensor([[24.0, 30]])
    moved = move_points(
        lambda crops: torch.tensor([[1.0, -2]]).expand(len(crops), -1),
        gray, boxes, 48, start,
    )  # fmt: skip
    # a tenth of 48 pixels to the right, twice as much up; the longer sides are 40 and 80
    steps = torch.tensor([[[24 + 4.8 - 23.5, 30 - 9.6 - 23.5]]])
    expected = torch.tensor([[[30.0, 30]], [[40, 10]]]) + steps * torch.tensor(
        [[[40 / 48]], [[80 / 48]]]
    )
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-3)


def test_pooling_before_prelu_changes_the_output_only_for_negative_slopes():
    torch.manual_seed(0)
    crops = torch.randint(0, 256, (2, 160, 160, 3), dtype=torch.uint8)
    after = PartCascade(MEAN, 160, 3, 0.125, 0.125)
    before = PartCascade(MEAN, 160, 3, 0.125, 0.125, pool_first=True)
    # untrained output layers are 0
    for _, value in after.named_parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.01)
    before.load_state_dict(after.state_dict())
    assert sum(isinstance(m, PooledPReLU) for m in before.modules()) == 33
    torch.testing.assert_close(before.run(crops).landmarks, after.run(crops).landmarks)
    for net in (after, before):
        net.face.first[0].weight.data.mul_(10)
        net.face.first[1].weight.data.fill_(-0.5)
    moved = (before.run(crops).landmarks - after.run(crops).landmarks).abs()
    assert moved.max() > 1e-3


def test_the_star_cost_is_one_for_its_faces_and_larger_for_others():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.normal(0, 3, (4000, 12, 2)))
    points = ends_of(MEAN[None]).double() + noise
    boxes = enlarged(corners(MEAN[None].double(), "face"), 1.0).expand(4000, -1)
    star = StarModel(12).double()
    star.fit(points, boxes)
    # the mean over two coordinates of squares of unit variance
    assert float(star(points, boxes).mean()) == pytest.approx(1, abs=0.12)
    # the cost is invariant to moving and scaling box and points together
    other = star(3 * points + 5, 3 * boxes + 5)
    torch.testing.assert_close(other, star(points, boxes))
    swapped = points.flip(1)
    assert float(star(swapped, boxes).min()) > 50


def test_losses_are_sums_of_distances_over_the_width_of_the_face():
    truth = torch.stack([MEAN, torch.full((68, 2), float("nan"))])
    box = corners(truth, "face") + torch.tensor([3.0, 4])
    ends = ends_of(truth) + torch.tensor([0.0, 2])
    output = PartOutput({"face": box}, ends, truth, trained=("face", "ends"))
    losses = part_losses(output, truth, 0.5, torch.tensor(2))
    width = 100.0  # of the mean shape here; one face of two counts
    assert float(losses["face_box"]) == pytest.approx(2 * 5 / width / 2, rel=1e-4)
    assert float(losses["parts"]) == pytest.approx(0.5 * 12 * 2 / width / 2, rel=1e-4)
    assert "parts" not in part_losses(output, truth, 0.0, torch.tensor(2))
    last = PartOutput({"face": box}, ends, truth + 1, trained=("landmarks",))
    losses = part_losses(last, truth, 1.0, torch.tensor(1))
    assert list(losses) == ["landmarks"]
    assert float(losses["landmarks"]) == pytest.approx(68 * 2**0.5 / width, rel=1e-4)


# networks


def test_dpm_cnn_has_the_layers_of_the_paper():
    net = DpmCnn(112, 28)
    # pooled maps of 4 x 4, of the second, third and fourth stage
    assert net.units == 16 * (128 + 256 + 600)
    channels = (1, 64, 128, 256, 600)
    weights = products = 0
    for a, b, side in zip(channels, channels[1:], (56, 28, 14, 7), strict=False):
        weights += 9 * a * b + b + b
        products += side**2 * 9 * a * b
    assert parameters(net) == weights + net.units * 28 + 28
    example = torch.zeros(1, 1, 112, 112)
    assert multiply_adds(net, example) == products + net.units * 28
    units = 9 * (128 + 256 + 600)
    assert DpmCnn(96, 28).features(torch.zeros(2, 1, 96, 96)).shape == (2, units)


def test_a_network_that_is_not_trained_gives_the_mean_shape(tmp_path):
    torch.manual_seed(0)
    crops = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    for levels in (1, 2, 3):
        net = build_network(recipe_of(tmp_path, levels)).eval()
        with torch.no_grad():
            found = net(crops).landmarks
        expected = net.mean_shape.expand(2, -1, -1)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.02)
    recipe = recipe_of(tmp_path, 1).model_copy(update={"scheme": "wflw98"})
    with pytest.raises(RecipeError, match="scheme is wflw98"):
        build_network(recipe)
    with pytest.raises(RecipeError, match="4 levels; expected 1 to 3"):
        PartCascade(MEAN, 96, 4)


# levels


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """Return the folder of drawn faces, the cache and the checkpoint of each level."""
    root = tmp_path_factory.mktemp("levels")
    write_faces(root / "faces", 40)
    runs, start = [], ""
    for number, parts in enumerate(FROZEN, 1):
        recipe = recipe_of(root / "faces", number, 25, init_from=start)
        train = recipe.train.model_copy(update={"freeze": parts})
        recipe = recipe.model_copy(update={"train": train})
        run = make_trainer(recipe, root / str(number), root, root / "cache").run()
        runs.append(run)
        start = str(run)
    return root, runs


def test_each_level_keeps_those_before_it_and_moves_its_own(levels):
    nets = [load_any(run)[0].state_dict() for run in levels[1]]
    for before, after in itertools.pairwise(nets):
        for name, value in before.items():
            if name != "log_variance":
                torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    assert nets[0]["face.out.weight"].abs().sum() > 0
    assert nets[1]["contour_box.out.weight"].abs().sum() > 0
    assert nets[1]["inner.out.weight"].abs().sum() > 0
    assert nets[2]["contour.out.weight"].abs().sum() > 0
    assert all(nets[2][f"parts.{k}.out.weight"].abs().sum() > 0 for k in range(6))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_killed_level_is_resumed_with_the_same_numbers(levels, tmp_path, number):
    root, runs = levels
    start = str(runs[number - 2]) if number > 1 else ""
    freeze = FROZEN[number - 1]

    def trainer(folder, resume=False):
        recipe = recipe_of(root / "faces", number, 4, init_from=start)
        train = recipe.train.model_copy(update={"freeze": freeze, "ema": 0.9})
        recipe = recipe.model_copy(update={"train": train})
        return make_trainer(recipe, tmp_path / folder, root, root / "cache", resume)

    whole = load_any(trainer("whole").run())[0].state_dict()
    killed(trainer("killed"), saved=2, dies=3)
    resumed = load_any(trainer("killed", resume=True).run())[0].state_dict()
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0)


def test_boxes_are_measured_in_crops_like_a_detectors(levels):
    root, (first, second, _) = levels
    from lineament.data.mixture import read_mixture

    net, recipe = load_any(second)
    crop = recipe.model.size, recipe.model.padding
    _, found = read_mixture(recipe.data, "ibug68", root, root / "cache", crop=crop)
    (faces,) = found.values()
    errors = box_errors(net, faces, recipe.model.padding, draws=2)
    assert set(errors) == {"face", "contour", "inner"}
    assert len(errors["face"]) == 2 * len(faces)
    by_pupils = box_errors(net, faces, recipe.model.padding, 2, "interpupil")
    # pupils are nearer to each other than the outer corners of the eyes
    assert (by_pupils["face"] > errors["face"]).all()
    assert set(box_errors(load_any(first)[0], faces, 1.6)) == {"face"}
    log = first.with_name("log.csv").read_text()
    assert "nme_folder:face_box=" in log


def test_the_cascade_exports_to_one_file_that_predicts_like_torch(levels, tmp_path):
    from lineament.export.registry import export_trained

    root, (*_, last) = levels
    card = export_trained(last, tmp_path, "cascade", False, root, root / "cache")
    assert card["gate"]["largest_move_px"] < 0.05
    crops = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    net, model = load_any(last)[0], load_model(tmp_path / "cascade.onnx")
    with torch.no_grad():
        wanted = net(torch.from_numpy(crops)).landmarks
    np.testing.assert_allclose(model.predict(crops).landmarks_crop, wanted, atol=0.05)
    image, landmarks = draw_face(3)
    face = Predictor(tmp_path / "cascade.onnx")(image, landmark_box(landmarks))[0]
    assert np.isfinite(face.landmarks).all()
    with pytest.raises(RecipeError, match="omit --int8"):
        net.for_export(int8=True)


# slimming and distillation


@pytest.fixture(scope="module")
def cuts(levels):
    """Return the whole cascade and one with half of its channels, as rows of the table."""
    pytest.importorskip("torch_pruning")
    from lineament.recipe import SlimSettings
    from lineament.study.prune_sweep import sweep

    root, (*_, last) = levels
    lines = []
    slim = SlimSettings(pruning_ratios=(0.5,))
    rows = sweep(last, root / "slim", slim, root, root / "cache", lines.append)
    assert lines == []
    return rows


def test_a_slimmed_cascade_is_smaller_and_can_be_trained_on(levels, cuts):
    root, (whole, cut) = levels[0], cuts
    assert (whole.kept, cut.kept) == ("100 % of the channels", "50 % of the channels")
    assert cut.parameters < 0.7 * whole.parameters
    assert cut.multiply_adds < 0.7 * whole.multiply_adds
    # a cascade has no int8 file
    assert np.isfinite([whole.nme, cut.nme]).all()
    assert np.isnan([whole.nme_int8, cut.nme_int8]).all()
    assert (root / "slim" / "pareto.png").read_bytes().startswith(b"\x89PNG")
    net, recipe = load_any(Path(cut.checkpoint))
    assert recipe.model.pruned_from == cut.checkpoint
    assert [side for _, side in net.subnetworks()] == [112, 96, 96, 96, *[48] * 6]
    # without [train.freeze], all levels learn at once
    recipe = recipe_of(root / "faces", 3, 2, init_from=cut.checkpoint)
    run = make_trainer(recipe, root / "tuned", root, root / "cache").run()
    before, after = net.state_dict(), load_any(run)[0].state_dict()
    for part in ("face", "contour_box", "inner", "contour", "parts.0"):
        assert before[f"{part}.out.weight"].shape == after[f"{part}.out.weight"].shape
        assert not torch.equal(
            before[f"{part}.out.weight"], after[f"{part}.out.weight"]
        )
    log = run.with_name("log.csv").read_text()
    for name in ("face_box", "contour_box", "inner_box", "parts", "landmarks"):
        assert f"loss_{name}" in log


def test_a_slimmed_cascade_is_distilled_from_the_whole_one(levels, cuts):
    root, (*_, last) = levels
    teacher = {"teacher": str(last), "landmarks": 2.0}

    def trainer(folder, changes=teacher, start=cuts[1].checkpoint, resume=False):
        recipe = recipe_of(root / "faces", 3, 4, init_from=start, distill=changes)
        places = root / folder, root, root / "cache"
        return make_trainer(recipe, *places, resume=resume, kind="distill")

    whole = trainer("whole")
    batch = Batch(torch.randint(0, 256, (3, 96, 96, 3), dtype=torch.uint8))
    with torch.no_grad():
        output = whole.task.teacher.run(batch.crops)
    count = torch.tensor([0, 0, 0, 3, 3])
    losses = whole.task.more_losses(output, batch, count)
    # the teacher agrees with itself, up to the constant below the root
    assert list(losses) == ["teacher_landmarks"]
    assert float(losses["teacher_landmarks"]) < 2 * 68 * 2e-3 / 10
    moved = replace(output, landmarks=output.landmarks + 3)
    assert float(whole.task.more_losses(moved, batch, count)["teacher_landmarks"]) > 1
    final = load_any(whole.run())[0].state_dict()
    log = (root / "whole" / "log.csv").read_text()
    for name in ("teacher_face_box", "teacher_landmarks", "landmarks"):
        assert f"loss_{name}" in log
    killed(trainer("killed"), saved=2, dies=2)
    resumed = load_any(trainer("killed", resume=True).run())[0].state_dict()
    for key, value in final.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0)
    for changes, message in (
        (teacher | {"heatmap_kl": 1.0}, "distill.heatmap_kl does not apply"),
        ({"teacher": str(last)}, "set distill.teacher and distill.landmarks"),
    ):
        with pytest.raises(RecipeError, match=message):
            trainer("refused", changes)
