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
from lineament.models.facepp import PARTS, BoxStep, boxes_of
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


def test_the_rectification_is_the_size_of_tanh_with_a_gain():
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
    np.testing.assert_allclose(boxes_of(landmarks, 2.0), [[5, 0, 25, 40]])


def test_the_parts_are_all_inner_points_in_order():
    assert [point for part in PARTS for point in part] == list(range(17, 68))


@pytest.mark.parametrize(
    ("kind", "deepest"), [("conv-cascade", 3), ("coarse-to-fine", 4)]
)
def test_a_level_that_is_not_trained_moves_nothing(kind, deepest, tmp_path):
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


@pytest.mark.parametrize(
    ("kind", "frozen"), [("conv-cascade", "first"), ("coarse-to-fine", "inner_box")]
)
def test_levels_are_trained_one_after_the_other_and_exported(kind, frozen, tmp_path):
    from lineament.export.registry import export_trained

    folder, cache = tmp_path / "faces", tmp_path / "cache"
    write_faces(folder, 40)
    first = make_trainer(
        recipe_of(folder, kind, 1), tmp_path / "1", folder, cache
    ).run()
    second = recipe_of(folder, kind, 2, init_from=str(first))
    kept = second.train.model_copy(update={"freeze": (frozen,)})
    second = second.model_copy(update={"train": kept})
    checkpoint = make_trainer(second, tmp_path / "2", folder, cache).run()
    one, two = load_any(first)[0].state_dict(), load_any(checkpoint)[0].state_dict()
    for name, value in one.items():
        if name.startswith(frozen):
            torch.testing.assert_close(two[name], value)
    card = export_trained(checkpoint, tmp_path, "levels", False, folder, cache)
    assert card["gate"]["largest_move_px"] < 0.05
    image, landmarks = draw_face(3)
    face = Predictor(tmp_path / "levels.onnx")(image, landmark_box(landmarks))[0]
    assert np.isfinite(face.landmarks).all()
