"""refinement.py: equation 13 as a recursion, and a network that is refined."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lineament.crop import scale_and_shift
from lineament.errors import RecipeError
from lineament.geometry import apply_affine, crop_affine
from lineament.inference.recurrent_state import RecurrentState
from lineament.models.heads.attentive_1d import LENGTHS
from lineament.models.heads.output import HeadSettings
from lineament.models.landmark_net import LandmarkNet
from lineament.models.refinement import (
    WIDTH,
    RefinedNet,
    Refinement,
    moved_memory,
)

pytestmark = pytest.mark.torch


def frames(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        tuple(torch.randn(2, 5, 32, generator=generator) for _ in range(2))
        for _ in range(count)
    ]


def randomized(refine):
    """Return `refine` with random decoder weights, as if it were trained."""
    for decoder in (refine.decode_x, refine.decode_y):
        torch.nn.init.normal_(decoder[-1].weight, 0, 0.1)
    return refine.eval()


def refinement(fade):
    torch.manual_seed(3)
    return randomized(Refinement(5, fade, 1.0))


def refined(head="attentive1d-gaussian", fade=0.3):
    torch.manual_seed(0)
    net = LandmarkNet(
        "mobilenetv2", 5, head, 64, 16, imagenet=False, settings=HeadSettings(1.0)
    )
    return RefinedNet(net, 5, fade)


def pictures(seed, count=2):
    return torch.randint(
        0,
        255,
        (count, 64, 64, 3),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(seed),
    )


def between(before, now, size):
    """Return the scale (B,) and shift (B, 2) for `moved_memory`.

    Args:
        before, now: The same two points (B, 2, 2) in pixels of the old and of the new
            crop.
        size: Side of the crops, pixels.
    """
    old, new = (points[:, 1] - points[:, 0] for points in (before, now))
    # the similarity through both, as a complex number: turn and scale
    lengths = old.square().sum(-1)
    real = (old * new).sum(-1) / lengths
    imaginary = (old[:, 0] * new[:, 1] - old[:, 1] * new[:, 0]) / lengths
    scale = torch.hypot(real, imaginary)
    middle = (size - 1) / 2
    x, y = (middle - before[:, 0]).unbind(-1)
    there = now[:, 0] + torch.stack(
        [real * x - imaginary * y, imaginary * x + real * y], -1
    )
    return scale, there - scale[:, None] * middle


def test_the_recursion_is_the_sum_of_equation_13_over_all_past_frames():
    refine, seen, memory = refinement(0.3), frames(7), None
    for t, (x, y) in enumerate(seen):
        found_x, found_y, memory = refine(x, y, memory)
        for axis, (maps, found, encode, decode) in enumerate(
            [
                (x, found_x, refine.encode_x, refine.decode_x),
                (y, found_y, refine.encode_y, refine.decode_y),
            ]
        ):
            past = [encode(frame[axis]) for frame in seen[: t + 1]]
            summed = past[t] + sum(
                (0.3 ** (t - tau) * past[tau] for tau in range(t)), torch.zeros(())
            )
            torch.testing.assert_close(
                found, maps + decode(summed), atol=1e-5, rtol=1e-5
            )
        assert memory.shape == (2, 2, WIDTH, 32)  # of the first frame as of the last


def test_without_decay_and_with_a_new_refinement_the_detector_is_unchanged():
    refine, memory = refinement(0.0), None
    for x, y in frames(3):
        found_x, found_y, memory = refine(x, y, memory)
        assert torch.equal(found_x, x)
        assert torch.equal(found_y, y)
    fresh = Refinement(5, 0.3, 1.0)
    x, y = frames(1)[0]
    torch.testing.assert_close(fresh(x, y)[0], x)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_receptive_field_is_the_same_at_every_length(length):
    """It is about 20 px to each side for any cell size."""
    torch.manual_seed(0)
    refine, cells = randomized(Refinement(2, 0.3, 1 / length)), round(128 * length)
    maps = torch.randn(1, 2, cells, requires_grad=True)
    refine(maps, maps)[0][0, :, cells // 2].sum().backward()
    reached = torch.nonzero(maps.grad.abs().sum((0, 1)))[:, 0]
    far = (reached - cells // 2).abs().max().item() / length
    assert 16 <= far <= 32


def test_the_state_keeps_its_position_in_the_image():
    """A peak along each axis follows the image content below it when the crop moves."""
    size, length = 64, 128
    before = crop_affine([10, 20, 60, 70], size, 1.3)
    now = crop_affine([13, 18, 68, 73], size, 1.3, 4.0)
    place = np.array([36.0, 44.0])
    cells = (apply_affine(before, place) + 0.5) * length / size - 0.5
    maps = np.exp(-((np.arange(length) - cells[:, None]) ** 2) / 50)[
        None, :, None
    ].astype(np.float32)
    moved = RecurrentState(maps, before[None]).moved_to(now[None], size)[0, :, 0]
    peaks = (moved * np.arange(length)).sum(1) / moved.sum(1)
    wanted = (apply_affine(now, place) + 0.5) * length / size - 0.5
    # the ignored rotation of 4 degrees has little effect near the center of the crop
    assert np.abs(peaks - wanted).max() < 0.07 * np.abs(wanted - length / 2).max() + 0.2
    corners = np.array([[0.0, 0.0], [90.0, 80.0]])
    motion = between(
        *(torch.from_numpy(apply_affine(a, corners)[None]) for a in (before, now)), size
    )
    assert motion[0].item() == pytest.approx(scale_and_shift(before, now, size)[0])
    assert motion[1][0].tolist() == pytest.approx(
        scale_and_shift(before, now, size)[1].tolist()
    )
    by_torch = moved_memory(
        torch.from_numpy(maps), motion[0].float(), motion[1].float(), size
    )[0, :, 0]
    np.testing.assert_allclose(by_torch, moved, atol=1e-4)


def test_the_state_is_unchanged_if_the_crop_does_not_move():
    memory = torch.randn(3, 2, 4, 16)
    assert torch.allclose(
        moved_memory(memory, torch.ones(3), torch.zeros(3, 2), 64), memory, atol=1e-5
    )


def test_the_state_is_zero_before_the_first_frame():
    refine, (x, y) = refinement(0.3), frames(1)[0]
    for a, b in zip(
        refine(x, y), refine(x, y, torch.zeros(2, 2, WIDTH, 32)), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("head", ["attentive1d", "attentive1d-gaussian"])
def test_predictions_are_refined_by_earlier_frames_of_the_same_video(head):
    model = refined(head).eval()
    first = model(pictures(1))
    own = model.net(pictures(1))
    assert torch.equal(first.landmarks, own.landmarks)  # untrained
    randomized(model.refine)
    _, memory = model.follow(pictures(1), None)
    raw, _ = model.follow(pictures(2), memory)
    assert not torch.allclose(raw.landmarks, model(pictures(2)).landmarks)
    alone, _ = model.follow(pictures(2)[1:], memory[1:])
    torch.testing.assert_close(raw.landmarks[1:], alone.landmarks, atol=1e-3, rtol=0)
    assert memory.shape == (2, 2, WIDTH, model.cells)


def test_the_network_itself_is_not_trained_and_keeps_its_norms():
    model = refined().train()
    assert [name for name, module in model.net.named_modules() if module.training] == [
        "head"
    ]  # which only decodes
    before = {key: value.clone() for key, value in model.net.state_dict().items()}
    raw, memory = model.follow(pictures(1), None)
    raw, _ = model.follow(pictures(2), memory)
    raw.heatmaps_x.square().sum().backward()
    learning = {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    assert learning
    assert all(name.startswith("refine.") for name in learning)
    assert all(
        torch.equal(value, before[key]) for key, value in model.net.state_dict().items()
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Refinement(5, 1.0, 1.0),
            r"the decay of earlier frames is 1\.0; expected at least 0 and below 1",
        ),
        (
            lambda: refined("heatmap2d"),
            "only 1D heatmaps can be refined; set model.head = 'attentive1d'",
        ),
    ],
)
def test_networks_that_cannot_be_refined_are_rejected(make, message):
    with pytest.raises(RecipeError, match=message):
        make()
