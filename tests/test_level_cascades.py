"""Cascades of levels that sample their own crops: Sun's for five points, Face++'s for 68."""

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament import Predictor
from lineament.errors import RecipeError
from lineament.geometry import landmark_box
from lineament.recipe.file import make_recipe

torch = pytest.importorskip("torch")
from lineament.models.dcnn import FACE, HALF, PATCH, ConvNet
from lineament.models.facepp import PARTS, BoxStep, enlarged_boxes
from lineament.models.layers.local import AbsTanh, LocallySharedConv2d
from lineament.models.registry import build_network
from lineament.training.build import load_any
from lineament.training.registry import make_trainer

KINDS = {"conv-cascade": "five", "coarse-to-fine": "ibug68"}


def recipe_of(folder, kind, levels, steps=2, **values):
    return make_recipe(
        {
            "name": f"levels{levels}",
            "scheme": KINDS[kind],
            "model": {"kind": kind, "size": 64, "padding": 1.3, "levels": levels},
            "data": [{"reader": "folder", "folder": str(folder)}],
            "losses": {"smooth_l1": 1.0, "gaussian_nll": 0.1},
            "train": {"steps": steps, "batch": 4, "num_workers": 0},
            **values,
        },
        "test",
    )


def test_one_region_is_a_plain_convolution():
    layer = LocallySharedConv2d(2, 3, 3, (1, 1))
    x = torch.randn(2, 2, 8, 8)
    torch.testing.assert_close(layer(x), layer.parts[0](x))


def test_each_region_has_its_own_weights():
    layer = LocallySharedConv2d(2, 3, 3, (2, 2))
    x = torch.randn(1, 2, 8, 10)
    found = layer(x)
    assert found.shape == (1, 3, 6, 8)
    for number, (rows, columns) in enumerate(
        [(slice(0, 3), slice(0, 4)), (slice(0, 3), slice(4, 8)),
         (slice(3, 6), slice(0, 4)), (slice(3, 6), slice(4, 8))]
    ):  # fmt: skip
        expected = layer.parts[number](x)[:, :, rows, columns]
        torch.testing.assert_close(found[:, :, rows, columns], expected)


def test_the_rectification_is_the_absolute_value_of_tanh_with_a_gain():
    layer = AbsTanh(2)
    layer.gain.data[1] = 3.0
    found = layer(torch.tensor([[[[-1.0]], [[0.5]]]]))
    expected = [[[[np.tanh(1.0)]], [[3 * np.tanh(0.5)]]]]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("side", "layers", "dense", "outputs"),
    [((39, 39), FACE, 120, 10), ((31, 39), HALF, 100, 6), ((15, 15), PATCH, 60, 2)],
)
def test_the_networks_have_the_sizes_of_the_paper(side, layers, dense, outputs):
    net = ConvNet(side, layers, dense, outputs)
    assert net(torch.zeros(2, 1, *side)).shape == (2, outputs)


def test_a_box_step_moves_and_scales_along_both_axes():
    step = BoxStep()
    step.net.out.bias.data = torch.tensor([0.4, 0, 4 * np.log(2), 0]).float()
    landmarks = torch.tensor([[[10.0, 10], [20, 30]]])
    moved = step(torch.zeros(1, 1, 40, 40), landmarks)
    # the box is 10 wide: moved by a tenth of it to the right, and doubled about its middle
    np.testing.assert_allclose(moved[0].detach(), [[6, 10], [26, 30]], atol=1e-4)
    np.testing.assert_allclose(enlarged_boxes(landmarks, 2.0), [[5, 0, 25, 40]])


def test_the_parts_are_all_inner_points_in_order():
    assert [point for part in PARTS for point in part] == list(range(17, 68))


@pytest.mark.parametrize(
    ("kind", "deepest"), [("conv-cascade", 3), ("coarse-to-fine", 4)]
)
def test_an_untrained_level_moves_no_point(kind, deepest, tmp_path):
    torch.manual_seed(0)
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    deep = build_network(recipe_of(tmp_path, kind, deepest)).eval()
    shallow = build_network(recipe_of(tmp_path, kind, 1)).eval()
    shallow.load_state_dict(deep.state_dict(), strict=False)
    torch.testing.assert_close(
        deep(crops).landmarks, shallow(crops).landmarks, atol=1e-3, rtol=0
    )
    with pytest.raises(RecipeError, match="scheme is wflw98"):
        build_network(
            recipe_of(tmp_path, kind, 1).model_copy(update={"scheme": "wflw98"})
        )


FROZEN = {
    "conv-cascade": (("first",), ("first", "refinements.0")),
    "coarse-to-fine": (
        ("inner_box", "contour_box"),
        ("inner_box", "contour_box", "inner", "contour"),
        ("inner_box", "contour_box", "inner", "contour", "parts"),
    ),
}
"""Parts of a cascade that stay when its second level is trained, its third and so on."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("faces")
    write_faces(path, 40)
    return path


@pytest.fixture(scope="module", params=FROZEN)
def chain(request, folder, tmp_path_factory):
    """Return a kind, and the recipe and checkpoint of each of its levels."""
    root, kind = tmp_path_factory.mktemp("runs"), request.param
    recipes, checkpoints, start = [], [], ""
    for number, frozen in enumerate(((), *FROZEN[kind])):
        recipe = recipe_of(folder, kind, number + 1, init_from=start)
        kept = recipe.train.model_copy(update={"freeze": frozen})
        recipes.append(recipe.model_copy(update={"train": kept}))
        run = make_trainer(recipes[-1], root / str(number), folder, root / "cache")
        checkpoints.append(run.run())
        start = str(checkpoints[-1])
    return kind, recipes, checkpoints


def test_levels_are_trained_one_after_the_other(chain):
    kind, _, checkpoints = chain
    states = [load_any(path)[0].state_dict() for path in checkpoints]
    for frozen, before, after in zip(FROZEN[kind], states, states[1:], strict=False):
        moved = False
        for name, value in after.items():
            if name.startswith(tuple(f"{part}." for part in frozen)):
                torch.testing.assert_close(value, before[name])
            elif name.endswith("net.out.bias") or name.endswith(".out.weight"):
                moved = moved or bool(value.abs().sum() > 0)
        assert moved


def test_the_deepest_level_resumes_exactly(chain, folder, tmp_path):
    _, recipes, checkpoints = chain
    places = folder, tmp_path / "cache"
    part = make_trainer(recipes[-1], tmp_path / "part", *places)
    next(part.steps())
    part.save()
    resumed = make_trainer(recipes[-1], tmp_path / "part", *places, resume=True).run()
    own = load_any(resumed)[0].state_dict()
    for name, value in load_any(checkpoints[-1])[0].state_dict().items():
        torch.testing.assert_close(own[name], value, rtol=0, atol=0)


def test_the_deepest_level_is_exported(chain, folder, tmp_path):
    from lineament.export.registry import export_trained

    checkpoint, places = chain[2][-1], (folder, tmp_path / "cache")
    card = export_trained(checkpoint, tmp_path, "levels", False, *places)
    assert card["gate"]["largest_move_px"] < 0.05
    image, landmarks = draw_face(3)
    face = Predictor(tmp_path / "levels.onnx")(image, landmark_box(landmarks))[0]
    assert np.isfinite(face.landmarks).all()
