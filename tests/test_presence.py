"""Presence and visibility: trained next to the landmarks, calibrated, exported, kept optional."""

import csv

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faces import write_faces
from lineament.data.negatives import PresenceCrops
from lineament.errors import RecipeError
from lineament.models.heads.output import HeadOutput
from lineament.models.landmark_net import LandmarkNet
from lineament.models.profile import multiply_adds
from lineament.models.registry import build_network
from lineament.training.batch import Batch, collate
from lineament.training.build import load_any
from lineament.training.checkpoint import load_checkpoint
from lineament.training.distill.masks import visible_with_masks
from lineament.training.distill.task import mean_of_faces
from lineament.training.freeze import freeze
from lineament.training.log import RATES
from lineament.training.losses import loss_counts, total_loss
from lineament.training.presence_rates import roc_auc, state_rates
from lineament.training.registry import task_for
from lineament.training.trainer import Trainer
from no_face import write_detection
from test_trainer import assert_same
from tiny import killed, small

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
LOSSES = {"cross_entropy": 1.0, "smooth_l1": 1.0, "presence": 1.0, "visible": 0.5}
SETTINGS = {"photos": ["objects", "pets"], "negative_fraction": 0.3}
OF_LANDMARKS = set(RATES) - {"presence_auc_without_star"}
"""Rates of landmark networks; the last one is of dpm-cnn."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root with photos without a face, photos with boxed faces, and drawn faces."""
    folder = tmp_path_factory.mktemp("presence")
    write_detection(folder)
    write_faces(folder / "faces", 30)
    return folder


def recipe_with_presence(root, **changes):
    changes = {"losses": LOSSES, "presence": SETTINGS, "model.presence": True} | changes
    return small(root / "faces", **changes)


def run(recipe, root, folder, resume=False, kind="train"):
    return Trainer(task_for(recipe, kind), folder, root, root / "cache", resume)


def batch_of(trainer, rows):
    samples = trainer.samples
    return collate(
        [samples.make(0, position, *row) for position, row in enumerate(rows)]
    )


def net(presence=True):
    torch.manual_seed(0)
    return LandmarkNet("tiny", 5, "heatmap2d", 64, 16, False, presence=presence).eval()


def test_presence_does_not_change_landmarks_and_their_loss():
    plain, extended = net(False), net()
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        wanted, found = plain(crops), extended(crops)
    assert torch.equal(found.landmarks, wanted.landmarks)
    assert torch.equal(found.variance, wanted.variance)
    assert wanted.presence_logits is None
    assert found.presence_logits.shape == (2,)
    assert found.visible_logits.shape == (2, 5)


@pytest.mark.parametrize("backbone", ["mobilenetv2-160", "hrnet-w18", "hourglass"])
def test_the_branch_adds_less_than_one_percent_to_the_network(backbone):
    crop = torch.zeros((1, 128, 128, 3), dtype=torch.uint8)
    costs = []
    for presence in (False, True):
        network = LandmarkNet(
            backbone, 68, "heatmap2d", 128, 64, False, presence=presence
        )
        costs.append(multiply_adds(network.eval(), crop))
    assert costs[0] < costs[1] < 1.01 * costs[0]


def test_crops_without_a_face_change_no_gradient_of_the_landmarks(root, tmp_path):
    trainer = run(recipe_with_presence(root), root, tmp_path / "run")
    model = trainer.model.eval()  # batch norms do depend on the other crops
    weights = {"cross_entropy": 1.0, "smooth_l1": 1.0}
    gradients = []
    for rows in ([(0, 0), (0, 1)], [(0, 0), (0, 1), (-1, 0), (-2, 3)]):
        batch = batch_of(trainer, rows)
        assert int((batch.presence == 0).sum()) == len(rows) - 2
        model.zero_grad()
        raw = model(batch.crops)
        losses = total_loss(raw, batch.landmarks, weights, 4, 1.2)
        losses["total"].backward()
        named = model.named_parameters()
        gradients.append({name: p.grad for name, p in named if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_losses_of_two_halves_add_up_to_those_of_the_batch():
    torch.manual_seed(0)
    nan = float("nan")
    raw = HeadOutput(
        torch.rand(4, 5, 2) * 60,
        torch.ones(4, 5),
        presence_logits=torch.randn(4),
        visible_logits=torch.randn(4, 5),
    )
    landmarks = torch.rand(4, 5, 2) * 60
    landmarks[2:] = nan
    presence = torch.tensor([1.0, nan, 0.0, 0.0])
    visible = torch.tensor([1.0, 0, nan, 1, 1]).expand(4, 5).clone()
    visible[2:] = nan
    weights = {"smooth_l1": 1.0, "presence": 2.0, "visible": 0.5}
    whole = total_loss(raw, landmarks, weights, 4, 1.2, None, presence, visible)
    count = loss_counts(landmarks, presence, visible)
    assert count.tolist() == [10, 3, 8, 2]
    sums = dict.fromkeys(whole, 0.0)
    for part in (slice(0, 1), slice(1, 4)):
        given = HeadOutput(
            raw.landmarks[part],
            raw.variance[part],
            presence_logits=raw.presence_logits[part],
            visible_logits=raw.visible_logits[part],
        )
        targets = landmarks[part], weights, 4, 1.2, count, presence[part], visible[part]
        for name, value in total_loss(given, *targets).items():
            sums[name] += value
    for name, value in whole.items():
        torch.testing.assert_close(sums[name], value)
    # the mean of three cross-entropies, times 2
    logits = raw.presence_logits[[0, 2, 3]]
    wanted = torch.log1p(torch.exp(logits * torch.tensor([-1.0, 1, 1]))).mean()
    torch.testing.assert_close(whole["presence"], 2 * wanted)


def test_a_killed_and_resumed_training_equals_an_uninterrupted_one_exactly(
    root, tmp_path
):
    recipe = recipe_with_presence(root)
    whole = load_checkpoint(run(recipe, root, tmp_path / "whole").run())
    killed(run(recipe, root, tmp_path / "killed"), saved=5, dies=7)
    resumed = run(recipe, root, tmp_path / "killed", resume=True)
    assert_same(load_checkpoint(resumed.run()), whole)


def test_validation_logs_the_rates_next_to_the_error(root, tmp_path):
    changes = {"presence": SETTINGS | {"box_only": ["wider"]}}
    trainer = run(recipe_with_presence(root, **changes), root, tmp_path / "run")
    reports = []
    trainer.run(reports.append)
    # no point of a drawn face is known not to be visible: no visible_auc
    assert set(reports[-1].validation) == {"folder"} | OF_LANDMARKS - {"visible_auc"}
    words = reports[-1].results()
    assert words.startswith("validation NME: folder ")
    assert "presence_auc" in words
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert row["validation"].startswith("nme_folder=")
    assert " presence_missed=" in row["validation"]
    assert float(row["loss_presence"]) > 0
    assert float(row["loss_visible"]) > 0
    # wider is drawn next to the folder of faces
    assert trainer.samples.sources[1].per_epoch == round(0.05 / 0.65 * 27)


def test_the_rates_match_their_definitions():
    crops = PresenceCrops([_faces(4)], [_faces(5)])
    presence = np.array([0.9, 0.8, 0.4, 0.7, 0.1, 0.6, 0.2, 0.3, 0.5])
    visible = np.array([[0.9, 0.2]] * 4)
    rates = state_rates(presence, visible, crops)
    assert set(rates) == OF_LANDMARKS
    assert rates["presence_missed"] == 0.25  # 0.4 of four
    assert rates["presence_false"] == 0.4  # 0.6 and 0.5 of five
    assert rates["visible_auc"] == 1.0


def _faces(count):
    from lineament.data.crop_cache import CropCache

    return CropCache(
        np.zeros((count, 8, 8, 3), np.uint8),
        np.zeros((count, 2, 2)),
        np.tile([0, 0, 4, 4.0], (count, 1)),
        visible=np.tile(np.array([1, 0], np.float32), (count, 1)),
    )


def test_the_area_under_the_curve_counts_pairs_in_order():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 8, 60) / 8, rng.random(60) < 0.4
    pairs = scores[positive][:, None] - scores[~positive][None]
    wanted = (pairs > 0).mean() + (pairs == 0).mean() / 2
    assert roc_auc(scores, positive) == pytest.approx(wanted)
    assert np.isnan(roc_auc(scores, np.ones(60, bool)))


def test_weights_without_presence_start_a_network_with_it(root, tmp_path):
    plain = small(root / "faces", **{"train.steps": 1})
    checkpoint = run(plain, root, tmp_path / "plain").run()
    recipe = recipe_with_presence(root, init_from=str(checkpoint))
    started = run(recipe, root, tmp_path / "started").model.state_dict()
    average = load_checkpoint(checkpoint)["average"]
    for key, value in average.items():
        assert torch.equal(started[key], value)
    fresh = build_network(recipe).state_dict().keys() - average.keys()
    assert {key.split(".")[0] for key in fresh} == {"presence"}
    # the old checkpoint itself loads as it is
    assert load_any(checkpoint)[0].presence is None


def test_presence_can_be_frozen_and_left_untrained(root, tmp_path):
    recipe = small(
        root / "faces", **{"model.presence": True, "train.freeze": ["presence"]}
    )
    trainer = run(recipe, root, tmp_path / "run")
    before = trainer.model.presence.face.weight.clone()
    trainer.run()
    assert torch.equal(trainer.model.presence.face.weight, before)
    assert freeze(net(), ["presence"]) == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"model.presence": False}, "'presence' needs a network .*model.presence"),
        ({"presence": None}, "needs crops with and without a face; add \\[presence\\]"),
        ({"losses": {"smooth_l1": 1.0}}, "no loss uses them; add presence and"),
        (
            {"losses": {"smooth_l1": 1.0, "presence": 1.0}},
            "no loss trains 'visible'; add it to losses, or freeze 'presence'",
        ),
        ({"losses": LOSSES | {"presense": 1.0}}, "did you mean 'presence'"),
    ],
)
def test_a_recipe_that_does_not_fit_is_rejected(changes, wanted, root):
    with pytest.raises(RecipeError, match=wanted):
        task_for(recipe_with_presence(root, **changes))


def test_a_refinement_does_not_train_presence(root):
    recipe = recipe_with_presence(
        root, refine={}, init_from="x.pt", **{"model.head": "attentive1d"}
    )
    with pytest.raises(RecipeError, match="a refinement uses the presence of its"):
        task_for(recipe)


@pytest.mark.parametrize("cached", [False, True])
def test_a_student_learns_presence_from_a_teacher_without_it(cached, root, tmp_path):
    teacher = run(small(root / "faces"), root, tmp_path / "teacher").run()
    distill = {"teacher": str(teacher), "landmarks": 1.0, "mask_prob": 0.5}
    distill |= {"cached": True} if cached else {"pixel_wise": 1.0, "pair_wise": 1.0}
    recipe = recipe_with_presence(root, distill=distill)
    trainer = run(recipe, root, tmp_path / "run", kind="distill")
    before = trainer.model.students[0].presence.face.weight.clone()
    checkpoint = trainer.run()
    assert not torch.equal(trainer.model.students[0].presence.face.weight, before)
    assert load_any(checkpoint)[0].presence is not None


def test_crops_without_a_face_do_not_count_towards_a_teacher():
    crops = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
    each = torch.tensor([[1.0, 3], [2, 2], [50, 50], [5, 7]])
    plain = mean_of_faces(each, Batch(crops), torch.tensor(4))
    assert plain == each.mean()
    presence = torch.tensor([1.0, float("nan"), 0.0, 1.0])
    found = mean_of_faces(each, Batch(crops, presence=presence), torch.tensor(3))
    assert found == each[[0, 1, 3]].mean()
    rows = mean_of_faces(each[:, 0], Batch(crops, presence=presence), torch.tensor(3))
    assert rows == each[[0, 1, 3], 0].mean()


def test_points_under_a_mask_are_not_visible_to_its_student():
    landmarks = torch.tensor([[[3.0, 3], [10, 10], [float("nan")] * 2]]).repeat(2, 1, 1)
    visible = torch.tensor([[1.0, 1, float("nan")]] * 2)
    masks = torch.tensor([[2, 2, 6, 6, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]])
    found = visible_with_masks(visible, landmarks, masks)
    wanted = torch.tensor([[0.0, 1, float("nan")], [1, 1, float("nan")]])
    torch.testing.assert_close(found, wanted, equal_nan=True)


def test_pruned_channels_keep_the_branch():
    pytest.importorskip("torch_pruning")
    from lineament.training.layer_shapes import fit_shapes
    from lineament.training.prune.channels import slimmed_channels

    torch.manual_seed(0)
    network = LandmarkNet(
        "mobilenetv2", 5, "heatmap2d", 64, 32, False, presence=True
    ).eval()
    slim = slimmed_channels(network, 0.5)
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    narrow, wide = slim.presence.hidden, network.presence.hidden
    assert narrow.in_features < wide.in_features
    fit_shapes(network, slim.state_dict())
    network.load_state_dict(slim.state_dict())
    with torch.no_grad():
        wanted, found = slim(crops), network(crops)
    assert torch.equal(found.visible_logits, wanted.visible_logits)


def test_points_of_another_scheme_have_no_visibility_to_start_from(root, tmp_path):
    recipe = recipe_with_presence(root, **{"train.steps": 1})
    checkpoint = run(recipe, root, tmp_path / "run").run()
    # fgnet68 also has 68 points, but with other meanings
    other = replace_scheme(recipe, "fgnet68", str(checkpoint))
    torch.manual_seed(other.train.seed)
    drawn = build_network(other).state_dict()
    started = run(other, root, tmp_path / "other").model.state_dict()
    given = load_checkpoint(checkpoint)["average"]
    assert torch.equal(
        started["presence.visible.weight"], drawn["presence.visible.weight"]
    )
    assert torch.equal(
        started["presence.hidden.weight"], given["presence.hidden.weight"]
    )


def replace_scheme(recipe, name, init_from):
    return recipe.model_copy(update={"scheme": name, "init_from": init_from})
