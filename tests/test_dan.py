"""Deep alignment networks: heatmap, stages, export, training stage by stage."""

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament import Predictor
from lineament.errors import RecipeError
from lineament.geometry import landmark_box
from lineament.recipe.file import make_recipe

torch = pytest.importorskip("torch")
from lineament.models.dan import landmark_heatmap
from lineament.models.registry import build_network
from lineament.training.build import load_any
from lineament.training.registry import make_trainer


def recipe_of(folder, stages=1, steps=2, **values):
    return make_recipe(
        {
            "name": f"dan{stages}",
            "model": {
                "kind": "deep-alignment",
                "size": 32,
                "padding": 1.3,
                "stages": stages,
                "width": 0.13,
            },
            "data": [{"reader": "folder", "folder": str(folder)}],
            "losses": {"smooth_l1": 1.0, "gaussian_nll": 0.1},
            "train": {"steps": steps, "batch": 4, "num_workers": 0},
            **values,
        },
        "test",
    )


def test_the_heatmap_is_one_at_a_landmark_and_falls_with_the_distance():
    landmarks = torch.tensor([[[3.0, 2.0], [10.0, 12.0]]])
    heatmap = landmark_heatmap(landmarks, 16)[0, 0]
    assert heatmap[2, 3].item() == pytest.approx(1, abs=2e-3)
    # 3 and 4 pixels from the first landmark: 1 / (1 + 5)
    assert heatmap[6, 6].item() == pytest.approx(1 / 6, abs=1e-3)


def test_an_untrained_network_predicts_the_mean_shape(tmp_path):
    recipe = recipe_of(tmp_path, stages=3)
    net = build_network(recipe).eval()
    crops = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    output = net(crops)
    box = landmark_box(output.landmarks[0].detach().numpy())
    assert box[2:].max() - box[:2].min() == pytest.approx(32 / 1.3, abs=1.5)
    np.testing.assert_allclose(
        output.landmarks.detach(), net.mean_shape.expand(2, -1, 2), atol=1e-3
    )
    assert (output.variance > 0).all()


def test_a_crop_that_is_no_multiple_of_16_is_refused(tmp_path):
    recipe = recipe_of(tmp_path).with_model(size=40)
    with pytest.raises(RecipeError, match="size is 40; wanted a multiple of 16"):
        build_network(recipe)


def test_a_second_stage_starts_from_the_first_and_leaves_it_as_it_is(tmp_path):
    folder, cache = tmp_path / "faces", tmp_path / "cache"
    write_faces(folder, 24)
    first = make_trainer(recipe_of(folder), tmp_path / "one", folder, cache)
    checkpoint = first.run()
    values = {"init_from": str(checkpoint)}
    recipe = recipe_of(folder, stages=2, **values)
    frozen = recipe.train.model_copy(update={"freeze": ("stages.0",)})
    recipe = recipe.model_copy(update={"train": frozen})
    second = make_trainer(recipe, tmp_path / "two", folder, cache).run()
    one, two = load_any(checkpoint)[0], load_any(second)[0]
    for name, value in one.stages[0].state_dict().items():
        torch.testing.assert_close(two.stages[0].state_dict()[name], value)
    assert two.stages[1].fc2.weight.abs().sum() > 0


def test_an_exported_network_equals_torch(tmp_path):
    from lineament.export.registry import export_trained

    folder, cache = tmp_path / "faces", tmp_path / "cache"
    write_faces(folder, 40)
    recipe = recipe_of(folder, stages=2, steps=3)
    checkpoint = make_trainer(recipe, tmp_path / "run", folder, cache).run()
    card = export_trained(checkpoint, tmp_path, "dan", False, folder, cache)
    assert card["gate"]["largest_move_px"] < 0.05
    image, landmarks = draw_face(3)
    face = Predictor(tmp_path / "dan.onnx")(image, landmark_box(landmarks))[0]
    assert face.landmarks.shape == (68, 2)
    with pytest.raises(RecipeError, match="have no int8 form; leave --int8 out"):
        export_trained(checkpoint, tmp_path, "dan8", True, folder, cache)
