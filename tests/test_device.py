"""Steps can be captured as CUDA graphs: no synchronization and no copies to the device."""

import pytest

pytest.importorskip("torch")

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lineament.data.synthetic_clips import ClipSettings
from lineament.training import device
from lineament.training.batch import Batch
from lineament.training.device import (
    TrainingDevice,
    autocast,
    find_device,
    has_bfloat16,
)
from lineament.training.optimizer import keep_rates_on, make_optimizer, set_rates
from lineament.training.temporal import task as temporal
from tiny import Tiny, small, trained, trainer

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique")
"""Operations whose result the program waits for."""
BRINGS = ("lift_fresh", "lift_fresh_copy")
"""Operations that make a tensor of Python numbers, copied to a GPU in each step."""


class Watch(TorchDispatchMode):
    """Record the operations that a CUDA graph cannot capture."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in (*WAITS, *BRINGS):
            self.found.add(name)
        return func(*args, **(kwargs or {}))


def watched(run):
    """Return the operations of forward and backward pass that a CUDA graph cannot capture."""
    batch = run.task.prepare(next(iter(run.batches())))
    batch.landmarks[0, ..., 3, :] = torch.nan
    count = run.task.count(batch)
    run.model.train()
    with Watch() as watch:
        run.task.losses(run.model, batch, count)["total"].backward()
    return watch.found


@pytest.fixture
def instructions(monkeypatch):
    """Set the CPU instructions that torch reports."""
    has_bfloat16.cache_clear()

    def report(**found):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)

    yield report
    has_bfloat16.cache_clear()


@pytest.mark.parametrize("name", device.BFLOAT16_INSTRUCTIONS)
def test_networks_run_in_bfloat16_on_a_cpu_that_supports_it(instructions, name):
    instructions(avx2=True, **{name: True})
    with autocast("cpu", True):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with autocast("cpu", False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_networks_run_in_float32_on_a_cpu_that_would_emulate_bfloat16(
    instructions,
):
    instructions(avx2=True, avx512_f=True, avx512_bf16=False)
    with autocast("cpu", True):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_run_notes_that_it_trains_in_float32_instead_of_bfloat16(
    instructions, faces, tmp_path
):
    lines = []
    instructions(avx2=True)
    recipe = small(faces, **{"train.bf16": True})
    trainer(recipe, tmp_path / "run", note=lines.append)
    assert any("training in float32" in line for line in lines)


def test_processes_of_one_machine_use_a_gpu_each(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert find_device("auto") == torch.device("cuda", 0)
    for rank in ("0", "1", "2"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        find_device("cuda")
    assert chosen == [0, 0, 1, 0]
    assert find_device("cpu") == torch.device("cpu")


def test_the_recorder_detects_synchronization_and_copies():
    with Watch() as watch:
        torch.tensor([1.0, 2.0])[torch.tensor([True, False])]
        torch.ones(1).item()
    assert watch.found >= {"lift_fresh", "_local_scalar_dense"}


@pytest.mark.parametrize(
    ("head", "losses"),
    [
        ("heatmap2d", {"cross_entropy": 1.0, "smooth_l1": 1.0, "gaussian_nll": 0.1}),
        ("gaussian2d", {"mse": 1.0}),
        ("coordinates", {"wing": 0.02, "gaussian_nll": 0.2}),
        ("attentive1d", {"cross_entropy_1d": 1.0, "smooth_l1": 1.0, "wing": 1.0}),
        ("attentive1d-gaussian", {"mse_1d": 1.0}),
    ],
)
def test_a_training_step_has_no_synchronization_or_copies(
    head, losses, faces, tmp_path
):
    recipe = small(faces, losses=losses, **{"model.head": head})
    assert watched(trainer(recipe, tmp_path / "run")) == set()


@pytest.mark.parametrize("head", ["heatmap2d", "gaussian2d"])
def test_a_distillation_step_has_no_synchronization_or_copies(head, faces, tmp_path):
    losses = {"mse": 1.0} if head == "gaussian2d" else {"cross_entropy": 1.0}
    trained(small(faces, **{"train.steps": 1}), tmp_path / "teacher")
    distill = dict.fromkeys(
        ("pixel_wise", "pair_wise", "heatmap_kl", "mimicry", "landmarks", "peer_kl"),
        1.0,
    )
    distill |= {
        "teacher": str(tmp_path / "teacher/checkpoint.pt"),
        "students": 2,
        "mask_prob": 0.8,
    }
    recipe = small(faces, losses=losses, distill=distill, **{"model.head": head})
    assert watched(trainer(recipe, tmp_path / "run", kind="distill")) == set()


def test_a_temporal_refinement_step_has_no_synchronization_or_copies(
    faces, tmp_path, monkeypatch
):
    monkeypatch.setattr(temporal, "CLIP", ClipSettings(frames=6, size=96, expression=0))
    monkeypatch.setattr(temporal, "VALIDATION_CLIPS", 1)
    monkeypatch.setattr(temporal, "VALIDATION_FRAMES", 3)
    head = {"losses": {"mse_1d": 1.0}, "model.head": "attentive1d-gaussian"}
    trained(small(faces, **head, **{"train.steps": 1}), tmp_path / "detector")
    start = str(tmp_path / "detector/checkpoint.pt")
    refine = {"window": 3, "clips": 4, "frames": 4}
    recipe = small(faces, init_from=start, refine=refine, **head)
    assert watched(trainer(recipe, tmp_path / "run", kind="refine")) == set()


def test_a_batch_keeps_its_names_when_its_tensors_change():
    batch = Batch(
        torch.zeros(2, 4, 4, 3),
        boxes=torch.ones(2, 1, 4),
        attributes={"a": torch.ones(2)},
    )
    assert list(batch.tensors()) == ["crops", "boxes", "attributes.a"]
    moved = batch.map(lambda tensor: tensor[:1] * 2)
    assert len(moved) == 1
    assert moved.landmarks is None
    assert moved.boxes.tolist() == [[[2.0] * 4]]
    assert moved.attributes["a"].tolist() == [2.0]


@pytest.mark.parametrize(
    "backbone",
    ["hr-supernet", "light-resnet50", "mobilenetv2", "efficientnet-lite0", "hrnet-w18"],
)
def test_no_backbone_has_synchronization_or_copies(backbone, faces, tmp_path):
    kind = "slim" if backbone == "hr-supernet" else "train"
    more = {"slim": {}} if backbone == "hr-supernet" else {}
    recipe = small(faces, **more, **{"model.backbone": backbone})
    assert watched(trainer(recipe, tmp_path / "run", kind=kind)) == set()


def test_learning_rates_are_plain_numbers_on_a_cpu(faces):
    model, recipe = Tiny(), small(faces)
    optimizer = make_optimizer(model, recipe.train)
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(3.0)  # as stored in a checkpoint from a GPU
    keep_rates_on(torch.device("cpu"), optimizer)
    set_rates(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25] * len(
        optimizer.param_groups
    )


def test_a_place_without_a_gpu_uses_the_cpu():
    device = TrainingDevice("cpu")
    with device.on_stream():
        assert not device.on_gpu
        assert torch.ones(1).device == device.device


def test_the_random_state_of_a_gpu_is_saved_and_restored(monkeypatch):
    device = TrainingDevice("cpu")
    assert list(device.random_state()) == ["rng"]
    drawn = {"state": torch.tensor([1])}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: drawn["state"])
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: drawn.update(state=state)
    )
    device.on_gpu = True
    before = device.random_state()
    first = torch.rand(3)
    drawn["state"] = torch.tensor([2])
    device.set_random_state(before)
    assert drawn["state"].tolist() == [1]
    assert torch.equal(torch.rand(3), first)
    # a checkpoint of an earlier version, or of a run on a CPU
    device.set_random_state({"rng": before["rng"]})
