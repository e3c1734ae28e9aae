"""VGG16 and Light-VGGNet: sizes, overfitting, resuming, and the curves of a study."""

import io
import itertools

import cv2
import numpy as np
import pytest

from lineament.data.cifar10 import first_of_each_class, read_cifar10
from lineament.errors import DataError, InputError, RecipeError
from lineament.recipe.file import make_recipe

torch = pytest.importorskip("torch")
parquet = pytest.importorskip("pyarrow.parquet")
import pyarrow

from lineament.export.registry import export_trained
from lineament.models.profile import multiply_adds, parameters
from lineament.models.vgg import Classifier, narrowed
from lineament.study.curves import draw_study_curves, mean_curve, run_curve
from lineament.study.settings import Study
from lineament.training.build import load_any
from lineament.training.checkpoint import load_checkpoint
from lineament.training.classifier_task import measure_classifier
from lineament.training.registry import make_trainer

pytestmark = pytest.mark.torch


def conv_block(places, *channels):
    """Return parameters and multiply-adds of 3 x 3 convolutions, from input channels onwards."""
    pairs = list(itertools.pairwise(channels))
    weights = sum(9 * a * b + b for a, b in pairs)
    return weights, places * sum(9 * a * b for a, b in pairs)


def test_vgg16_has_its_published_layers():
    net = Classifier("vgg16", 32, 10)
    # the sides are 32, 16, 8, 4, 2
    blocks = [
        conv_block(1024, 3, 64, 64),
        conv_block(256, 64, 128, 128),
        conv_block(64, 128, 256, 256, 256),
        conv_block(16, 256, 512, 512, 512),
        conv_block(4, 512, 512, 512, 512),
    ]
    dense = 512 * 4096 + 4096 * 4096 + 4096 * 10
    weights = sum(each[0] for each in blocks) + dense + 4096 + 4096 + 10
    assert parameters(net) == weights == 33_638_218
    images = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    products = sum(each[1] for each in blocks) + dense
    assert multiply_adds(net, images) == products == 332_111_872


def test_light_vggnet_has_600_channels_prelu_and_one_dense_layer():
    net = Classifier("light-vggnet", 32, 10)
    blocks = [
        conv_block(1024, 3, 64, 64),
        conv_block(256, 64, 128, 128),
        conv_block(64, 128, 256, 256, 256),
        conv_block(16, 256, 600, 600, 600),
        conv_block(4, 600, 600, 600, 600),
    ]
    # one slope per channel
    slopes = 2 * 64 + 2 * 128 + 3 * 256 + 6 * 600
    weights = sum(each[0] for each in blocks) + slopes + 600 * 10 + 10
    assert parameters(net) == weights == 19_332_250
    images = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    products = sum(each[1] for each in blocks) + 600 * 10
    assert multiply_adds(net, images) == products == 355_197_552
    kinds = [type(layer) for layer in net.net.features]
    assert kinds.count(torch.nn.MaxPool2d) == 4
    assert kinds[-1] is torch.nn.AvgPool2d
    assert torch.nn.ReLU not in kinds


def test_narrow_networks_have_multiples_of_8_channels():
    assert [narrowed(600, width) for width in (1.0, 0.5, 0.01)] == [600, 304, 8]
    assert narrowed(64, 0.25) == 16


BLOCKS = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
PATTERNS = np.kron(BLOCKS, np.ones((1, 8, 8, 1), np.uint8))
"""An image per class: 4 x 4 blocks of random colors."""


def write_set(folder, rows):
    """Write train and test images, one pattern per class."""
    (folder / "cifar10").mkdir(parents=True)
    for part, count in (("train", rows), ("test", 20)):
        classes = [number % 10 for number in range(count)]
        images = []
        for number in classes:
            png = cv2.imencode(".png", PATTERNS[number, :, :, ::-1])[1]
            images.append(png.tobytes())
        table = pyarrow.table(
            {"image": images, "label": pyarrow.array(classes, pyarrow.int8())}
        )
        parquet.write_table(table, folder / "cifar10" / f"{part}.parquet")


def recipe_of(steps, **model):
    values = {
        "name": "small",
        "model": {"kind": "classifier", "width": 0.1, **model},
        "train": {
            "steps": steps, "batch": 20, "num_workers": 0, "bf16": False, "ema": 0.0,
            "warmup": 0, "threads": 1, "lr": 1e-3, "validate_every": 10,
            "schedule": "steps", "milestones": [],
            "checkpoint_minutes": 0.0,
        },
    }  # fmt: skip
    return make_recipe(values, "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_set(folder, 100)
    return folder


def test_images_are_read_and_a_tenth_is_used_for_validation(root):
    training, validation = read_cifar10(root, "train"), read_cifar10(root, "validation")
    assert len(training) + len(validation) == 100
    assert 3 <= len(validation) <= 20
    assert len(read_cifar10(root, "test")) == 20
    np.testing.assert_array_equal(training.images, PATTERNS[training.classes])
    few = first_of_each_class(training, 30)
    assert np.bincount(few.classes, minlength=10).tolist() == [3] * 10
    assert first_of_each_class(training, 0) is training


def test_a_missing_file_or_one_without_images_is_rejected(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_cifar10(tmp_path, "test")
    (tmp_path / "cifar10").mkdir()
    table = pyarrow.table({"image": [b"no image"], "label": [1]})
    file = io.BytesIO()
    parquet.write_table(table, file)
    (tmp_path / "cifar10" / "test.parquet").write_bytes(file.getvalue())
    with pytest.raises(DataError, match="row 0 is not an image of 32 x 32"):
        read_cifar10(tmp_path, "test")


def test_a_classifier_learns_the_classes_and_logs_them(root, tmp_path):
    run = make_trainer(recipe_of(120), tmp_path / "run", root, tmp_path / "cache").run()
    net, recipe = load_any(run)
    assert recipe.data == ()
    assert measure_classifier(net, read_cifar10(root, "train"))[0] == 1.0
    assert measure_classifier(net, read_cifar10(root, "test"))[0] == 1.0
    log = run.with_name("log.csv")
    steps, accuracy = run_curve(log, "class_accuracy")
    assert steps.tolist() == list(range(10, 121, 10))
    assert accuracy[-1] == 1.0
    assert run_curve(log, "class_training_accuracy")[1, -1] > 0.9
    assert run_curve(log, "loss")[1, -1] < run_curve(log, "loss")[1, 0]
    with pytest.raises(RecipeError, match="did you mean 'class_accuracy'"):
        run_curve(log, "class_acuracy")
    with pytest.raises(InputError, match="is a classifier"):
        export_trained(run, tmp_path, "c", False, root, tmp_path)


def test_a_resumed_classifier_equals_an_uninterrupted_one(root, tmp_path):
    recipe, places = recipe_of(6, network="vgg16"), (root, tmp_path / "cache")
    whole = make_trainer(recipe, tmp_path / "whole", *places).run()
    broken = make_trainer(recipe, tmp_path / "broken", *places)
    steps = broken.steps()
    while next(steps) < 3:
        pass
    steps.close()
    resumed = make_trainer(recipe, tmp_path / "broken", *places, resume=True).run()
    for key, value in load_checkpoint(whole)["average"].items():
        torch.testing.assert_close(
            load_checkpoint(resumed)["average"][key], value, rtol=0, atol=0
        )
    rows = [run.with_name("log.csv").read_text() for run in (whole, resumed)]
    # the last column is the training accuracy
    assert rows[0].split(",")[-1] == rows[1].split(",")[-1]


def test_the_curves_of_a_study_have_one_line_per_row(root, tmp_path):
    pytest.importorskip("matplotlib")
    mean = mean_curve(
        [np.array([[1.0, 2], [3, 5]]), np.array([[1.0, 2, 3], [5, 5, 9]])]
    )
    np.testing.assert_allclose(mean, [[1, 2], [4, 5]])
    run = make_trainer(recipe_of(4), tmp_path / "run", root, tmp_path / "cache").run()
    values = {
        "name": "s",
        "title": "s",
        "recipe": "r.toml",
        "rows": [{"name": "one"}, {"name": "none"}],
        "curves": ["loss", "class_accuracy"],
    }
    study = Study.model_validate(values)
    rows = {"one": {1: run}, "none": {1: tmp_path / "absent" / "checkpoint.pt"}}
    shown = draw_study_curves(study, rows, tmp_path / "page.md")
    assert shown == [
        "![training loss by step](page-loss.png)",
        "![class accuracy by step](page-class_accuracy.png)",
    ]
    assert (tmp_path / "page-loss.png").stat().st_size > 1000
