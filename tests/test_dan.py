"""Deep alignment networks: heatmap, stages, export, training stage by stage."""

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament import Predictor, load_model
from lineament.data.crop_cache import CropCache
from lineament.errors import ModelError, RecipeError
from lineament.geometry import apply_affine, landmark_box, similarity
from lineament.recipe.file import make_recipe
from mtfl_faces import write_mtfl

torch = pytest.importorskip("torch")
from lineament.models.dan import landmark_heatmap
from lineament.models.heads.output import HeadOutput
from lineament.models.registry import build_network
from lineament.training.build import load_any, load_initial_weights
from lineament.training.checkpoint import load_checkpoint, save_checkpoint
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


def test_a_crop_size_that_is_not_a_multiple_of_16_is_rejected(tmp_path):
    recipe = recipe_of(tmp_path).with_model(size=40)
    with pytest.raises(RecipeError, match="size is 40; expected a multiple of 16"):
        build_network(recipe)


def test_a_second_stage_starts_from_the_frozen_first_stage(tmp_path):
    folder, cache = tmp_path / "faces", tmp_path / "cache"
    write_faces(folder, 24)
    first = make_trainer(recipe_of(folder), tmp_path / "one", folder, cache)
    checkpoint = first.run()
    values = {"init_from": str(checkpoint)}
    recipe = recipe_of(folder, stages=2, **values)
    frozen = recipe.train.model_copy(update={"freeze": ("stages.0",)})
    recipe = recipe.model_copy(update={"train": frozen})
    trainer = make_trainer(recipe, tmp_path / "two", folder, cache)
    second = trainer.run()
    # a frozen stage must not use dropout, or the next one would train on noise
    assert not trainer.model.stages[0].drop.training
    assert trainer.model.stages[1].drop.training
    # a frozen stage records no gradients
    assert not trainer.model.stages[0](torch.zeros(2, 1, 32, 32))[0].requires_grad
    one, two = load_any(checkpoint)[0], load_any(second)[0]
    for name, value in one.stages[0].state_dict().items():
        torch.testing.assert_close(two.stages[0].state_dict()[name], value)
    assert two.stages[1].fc2.weight.abs().sum() > 0


def test_a_new_stage_starts_with_the_weights_of_the_previous_one(tmp_path):
    torch.manual_seed(0)
    for stages in (2, 3):
        net = build_network(recipe_of(tmp_path, stages=stages)).eval()
        net.initialize_missing({f"stages.{stages - 1}.fc1.weight"})
        inputs = torch.randn(2, 3, 32, 32)
        older = inputs[:, :1] if stages == 2 else inputs
        new, shift, _ = net.stages[-1](inputs)
        # the norm of the input has no statistics yet: it divides by the root of 1 + 1e-5
        torch.testing.assert_close(net.stages[-2](older)[0], new, rtol=1e-3, atol=1e-4)
        assert (shift == 0).all()


def test_weights_of_another_width_are_rejected(tmp_path):
    folder = tmp_path / "faces"
    write_faces(folder, 12)
    recipe = recipe_of(folder).with_model(width=0.25)
    checkpoint = make_trainer(
        recipe, tmp_path / "one", folder, tmp_path / "cache"
    ).run()
    recipe = recipe_of(folder, stages=2, init_from=str(checkpoint))
    # otherwise the frozen first stage would keep its random weights
    with pytest.raises(ModelError, match=r"stages\.0"):
        load_initial_weights(build_network(recipe), recipe)


def rotate_first_stage(checkpoint):
    """Let the first stage predict a rotated mean shape, which the second one has to align."""
    state = load_checkpoint(checkpoint)
    weights = state["average"]
    mean = weights["mean_shape"].double().numpy()
    rotated = apply_affine(similarity(1.1, 40, mean.mean(0), mean.mean(0)), mean)
    biases = weights["stages.0.fc2.bias"].view(-1, 3)
    biases[:, :2] += torch.from_numpy(rotated - mean).float() / (32 / 10)
    save_checkpoint(checkpoint, state)


def test_an_exported_network_equals_torch(tmp_path):
    from lineament.export.registry import export_trained

    folder, cache = tmp_path / "faces", tmp_path / "cache"
    write_faces(folder, 40)
    recipe = recipe_of(folder, stages=2, steps=3)
    checkpoint = make_trainer(recipe, tmp_path / "run", folder, cache).run()
    rotate_first_stage(checkpoint)
    card = export_trained(checkpoint, tmp_path, "dan", False, folder, cache)
    assert card["gate"]["largest_move_px"] < 0.05
    image, landmarks = draw_face(3)
    face = Predictor(tmp_path / "dan.onnx")(image, landmark_box(landmarks))[0]
    assert face.landmarks.shape == (68, 2)
    with pytest.raises(RecipeError, match="cannot be exported in int8; omit --int8"):
        export_trained(checkpoint, tmp_path, "dan8", True, folder, cache)


# the emotion head


def emotional(folder, mtfl, steps=2, **values):
    """Return the recipe of a stage with a head, on faces of 68 points and on MTFL's."""
    data = [
        {"reader": "folder", "folder": str(folder)},
        {"reader": "mtfl", "folder": str(mtfl)},
    ]
    tasks = {"groups": {"smiling": ["smiling"]}}
    given = {"data": data, "tasks": tasks, **values}
    return recipe_of(folder, steps=steps, **given)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Return a folder of faces of 68 points, and one in MTFL's layout."""
    faces, mtfl = (tmp_path_factory.mktemp(name) for name in ("faces", "mtfl"))
    write_faces(faces, 12)
    write_mtfl(mtfl, range(24))
    return faces, mtfl


@pytest.mark.parametrize("names", [["smiling"], ["sad", "angry", "happy", "calm"]])
def test_a_head_has_any_number_of_classes(names, tmp_path):
    recipe = recipe_of(tmp_path, stages=2, tasks={"groups": {"emotion": names}})
    crops = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        output = build_network(recipe).eval()(crops)
    assert output.class_logits.shape == (3, len(names))
    assert output.landmarks.shape == (3, 68, 2)
    assert recipe_of(tmp_path).tasks is None


def test_the_joint_loss_adds_the_weighted_emotion(places, tmp_path):
    recipe = emotional(*places)
    trainer = make_trainer(recipe, tmp_path / "run", places[0], tmp_path / "cache")
    batch = next(iter(trainer.batches()))
    found = trainer.task.losses(trainer.model, batch, trainer.task.count(batch))
    parts = [found[name] for name in ("smooth_l1", "gaussian_nll", "smiling")]
    torch.testing.assert_close(found["total"], torch.stack(parts).sum())
    found["smiling"].backward()
    assert trainer.model.emotion.weight.grad.abs().sum() > 0
    # the shared features are also trained by it
    assert trainer.model.stages[0].fc1.weight.grad.abs().sum() > 0


def test_resumed_training_with_a_head_equals_an_uninterrupted_one(places, tmp_path):
    recipe = emotional(*places, steps=4)
    folders = places[0], tmp_path / "cache"
    unbroken = make_trainer(recipe, tmp_path / "unbroken", *folders)
    unbroken.run()
    part = make_trainer(recipe, tmp_path / "part", *folders)
    steps = part.steps()
    for _ in range(2):
        next(steps)
    part.save()
    resumed = make_trainer(recipe, tmp_path / "part", *folders, resume=True)
    resumed.run()
    own = resumed.model.state_dict()
    for name, value in unbroken.model.state_dict().items():
        torch.testing.assert_close(own[name], value, rtol=0, atol=0)


def test_an_exported_head_equals_torch(places, tmp_path):
    from lineament.export.registry import export_trained

    cache = tmp_path / "cache"
    recipe = emotional(*places)
    checkpoint = make_trainer(recipe, tmp_path / "run", places[0], cache).run()
    export_trained(checkpoint, tmp_path, "emotion", False, places[0], cache)
    crops = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    model, net = load_model(tmp_path / "emotion.onnx"), load_any(checkpoint)[0]
    with torch.no_grad():
        wanted = net(torch.from_numpy(crops))
    found = model.predict(crops)
    np.testing.assert_allclose(found.landmarks_crop, wanted.landmarks, atol=1e-3)
    smiling = wanted.class_logits[:, 0].sigmoid()
    np.testing.assert_allclose(found.attributes["smiling"], smiling, atol=1e-4)
    for row in range(4):
        alone = model.predict(crops[row : row + 1])
        np.testing.assert_allclose(
            alone.landmarks_crop[0], found.landmarks_crop[row], atol=1e-3
        )
        np.testing.assert_allclose(alone.attributes["smiling"], smiling[row], atol=1e-4)


class Cheerful(torch.nn.Module):
    """A network that predicts a smile for every face."""

    def forward(self, crops):
        nothing = torch.zeros(len(crops), 0)
        return HeadOutput(nothing, nothing, class_logits=torch.ones(len(crops), 1))


def test_the_accuracy_is_the_share_of_correct_classes(places):
    from lineament.study.task_accuracy import task_accuracy

    smiling = np.array([1, 0, 1, 1], np.float32)
    faces = CropCache(
        np.zeros((4, 40, 40, 3), np.uint8),
        np.zeros((4, 68, 2)),
        np.tile([8.0, 8, 30, 30], (4, 1)),
        attributes={"smiling": smiling},
    )
    recipe = emotional(*places)
    assert task_accuracy(Cheerful(), recipe, [faces], "smiling") == 0.75
