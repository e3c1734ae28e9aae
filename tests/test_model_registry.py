"""models/registry.py: one entry is enough to train, export and load a kind of model."""

from typing import Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from torch import nn

import tiny
from faces import write_faces
from lineament import load_model
from lineament import recipe as recipes
from lineament.errors import RecipeError
from lineament.export import gate
from lineament.export.registry import EXPORTERS, export_trained
from lineament.models.export_form import ExportForm
from lineament.models.heads.output import HeadOutput
from lineament.models.registry import KINDS, Kind
from lineament.recipe import MODEL_KINDS, ModelSettings
from lineament.recipe.file import make_recipe
from lineament.training.build import load_any
from lineament.training.classic.registry import FITS
from lineament.training.registry import TRAINED

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class ToySettings(ModelSettings):
    kind: Literal["toy"] = "toy"
    pool: int = 8


class Toy(nn.Module):
    """Landmarks of a crop by one dense layer on a pooled image."""

    def __init__(self, points, size, pool):
        super().__init__()
        self.size, self.pool, self.points = size, pool, points
        self.out = nn.Linear(3 * pool * pool, 2 * points)

    def place(self, x):
        flat = nn.functional.avg_pool2d(x, self.size // self.pool).flatten(1)
        return (self.out(flat).view(-1, self.points, 2) + 0.5) * self.size

    def forward(self, crops):
        landmarks = self.place(crops.permute(0, 3, 1, 2).float() / 255)
        return HeadOutput(landmarks, torch.ones_like(landmarks[..., 0]))

    def for_export(self, int8=False):
        return ToyForm(self.eval())


class ToyForm(ExportForm):
    def __init__(self, net):
        super().__init__(
            net.size, torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), 255.0)
        )
        self.net = net

    def forward(self, crops, memory=None):
        landmarks = self.net.place(self.normalize(crops))
        return landmarks, torch.ones_like(landmarks[..., 0])


def build_toy(recipe):
    return Toy(68, recipe.model.size, recipe.model.pool)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(MODEL_KINDS, "toy", ToySettings)
    monkeypatch.setitem(KINDS, "toy", Kind(build_toy))


def values(faces, **model):
    return {
        "name": "toy",
        "data": [{"reader": "folder", "folder": str(faces)}],
        "model": {"kind": "toy", "size": 64} | model,
        "losses": {"smooth_l1": 1.0},
        "train": {
            "steps": 2,
            "batch": 4,
            "warmup": 0,
            "bf16": False,
            "threads": 1,
            "num_workers": 0,
        },
    }


def test_one_registry_entry_is_enough_to_train_export_and_load(
    toy, tmp_path, monkeypatch
):
    write_faces(tmp_path / "faces", 30)
    recipe = make_recipe(values(tmp_path / "faces", pool=4))
    assert recipe.kind == "toy"
    checkpoint = tiny.trainer(recipe, tmp_path / "run").run()
    model, read = load_any(checkpoint)
    assert isinstance(model, Toy)
    assert read.model == recipe.model
    monkeypatch.setattr(gate, "NME_CHANGE", 0.2)
    export_trained(checkpoint, tmp_path, "toy", False, tmp_path, tmp_path / "cache")
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    found = load_model(tmp_path / "toy.onnx").predict(crops).landmarks_crop
    with torch.no_grad():
        wanted = model(torch.from_numpy(crops)).landmarks.numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_settings_of_a_kind_are_its_own(toy, tmp_path):
    with pytest.raises(
        RecipeError, match=r"unknown key 'model\.pol'; did you mean 'pool'"
    ):
        make_recipe(values(tmp_path, pol=4))
    with pytest.raises(
        RecipeError, match=r"model\.pool \(given much\): Input should be a valid"
    ):
        make_recipe(values(tmp_path, pool="much"))
    with pytest.raises(
        RecipeError, match="unknown model kind 'toi'; did you mean 'toy'"
    ):
        make_recipe(values(tmp_path, kind="toi"))
    with pytest.raises(
        RecipeError, match="a model of kind 'toy'; expected a landmark-net"
    ):
        make_recipe(values(tmp_path)).landmark_net  # noqa: B018


def test_a_recipe_keeps_the_settings_of_its_kind_as_json(toy, tmp_path):
    recipe = make_recipe(values(tmp_path, pool=4))
    assert recipe.model_dump(mode="json")["model"]["pool"] == 4
    assert recipes.Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_recipe_that_names_no_kind_has_a_landmark_net(tmp_path):
    plain = values(tmp_path)
    del plain["model"]
    assert make_recipe(plain).kind == "landmark-net"


def test_every_kind_has_settings_a_task_and_an_exporter():
    assert set(MODEL_KINDS) == (set(KINDS) - {"face-detector"}) | set(FITS)
    for kind in KINDS.values():
        assert kind.task in TRAINED
        assert kind.file in EXPORTERS
