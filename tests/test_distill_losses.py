"""Distillation losses match their equations and have no gradient with respect to the teacher."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lineament.errors import RecipeError
from lineament.training.distill.losses import (
    feature_mimicry,
    heatmap_kl,
    pair_wise,
    peer_ensemble,
    pixel_wise,
)

pytestmark = pytest.mark.torch


def maps(*shape, seed=0, gradient=False):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return made.requires_grad_() if gradient else made


def pair_wise_reference(student, teacher):
    """Return eq. 4 and 5 for one crop, by a double loop over positions."""
    a, b = (f.reshape(f.shape[0], -1).T.double().numpy() for f in (student, teacher))
    total = 0.0
    for i in range(len(a)):
        for j in range(len(a)):
            s = a[i] @ a[j] / np.linalg.norm(a[i]) / np.linalg.norm(a[j])
            t = b[i] @ b[j] / np.linalg.norm(b[i]) / np.linalg.norm(b[j])
            total += (s - t) ** 2
    return total / len(a) ** 2


def test_the_pair_wise_loss_is_equation_5():
    student, teacher = maps(2, 6, 3, 4), maps(2, 9, 3, 4, seed=1)
    wanted = [pair_wise_reference(s, t) for s, t in zip(student, teacher, strict=True)]
    np.testing.assert_allclose(pair_wise(student, teacher).numpy(), wanted, rtol=1e-5)


def test_the_gradient_of_the_pair_wise_loss_is_that_of_the_full_matrices():
    student, teacher = maps(2, 6, 4, 4, gradient=True), maps(2, 9, 4, 4, seed=1)
    pair_wise(student, teacher).sum().backward()
    given = student.grad.clone()
    student.grad = None
    a, b = (
        torch.nn.functional.normalize(x.flatten(2), dim=1) for x in (student, teacher)
    )
    ((a.transpose(1, 2) @ a - b.transpose(1, 2) @ b) ** 2).mean((1, 2)).sum().backward()
    assert given.abs().max() > 1e-4
    torch.testing.assert_close(given, student.grad, atol=1e-7, rtol=1e-4)


def test_the_pair_wise_loss_of_equal_structure_is_zero_for_features_of_any_length():
    student = maps(1, 6, 3, 4)
    assert float(pair_wise(student, 3 * student)) == pytest.approx(0, abs=1e-6)


def test_the_pixel_wise_loss_adds_squares_over_each_map():
    student, teacher = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3)
    teacher[0, 1, 0, 2], teacher[0, 1, 1, 1] = 3.0, -1.0
    assert pixel_wise(student, teacher).tolist() == [[0.0, 10.0]]


def test_the_divergence_of_two_known_distributions():
    # softmax of log p is p: 0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75)
    teacher, student = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    given = heatmap_kl(student.view(1, 1, 1, 2), teacher.view(1, 1, 1, 2))
    assert given.item() == pytest.approx(
        0.5 * np.log(2) + 0.5 * np.log(2 / 3), rel=1e-6
    )
    assert heatmap_kl(
        teacher.view(1, 1, 1, 2) + 7, teacher.view(1, 1, 1, 2)
    ).item() == pytest.approx(0, abs=1e-7)


def test_a_high_temperature_keeps_the_size_of_the_gradient():
    teacher, sizes = maps(1, 3, 4, 4, seed=1), []
    for temperature in (4.0, 8.0):
        student = maps(1, 3, 4, 4, gradient=True)
        heatmap_kl(student, teacher, temperature).sum().backward()
        sizes.append(student.grad.abs().mean().item())
    assert sizes[1] / sizes[0] == pytest.approx(1, abs=0.2)


def test_peers_agree_on_the_mean_of_their_distributions():
    one, two = maps(2, 3, 4, 5), maps(2, 3, 4, 5, seed=1)
    mean = (one.flatten(2).softmax(-1) + two.flatten(2).softmax(-1)) / 2
    torch.testing.assert_close(peer_ensemble([one, two]).flatten(2).softmax(-1), mean)
    with pytest.raises(RecipeError, match="1 peers; expected at least 2"):
        peer_ensemble([one])


@pytest.mark.parametrize("loss", [pixel_wise, pair_wise, heatmap_kl, feature_mimicry])
def test_no_loss_has_a_gradient_for_the_teacher(loss):
    student, teacher = (
        maps(1, 3, 4, 4, gradient=True),
        maps(1, 3, 4, 4, seed=1, gradient=True),
    )
    loss(student, teacher).sum().backward()
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


def test_maps_of_two_sizes_are_rejected():
    for loss in (pixel_wise, pair_wise, heatmap_kl, feature_mimicry):
        with pytest.raises(
            RecipeError,
            match=r"the student's .* are \(1, 3, 4, 4\), the teacher's \(1, 3, 8, 8\)",
        ):
            loss(maps(1, 3, 4, 4), maps(1, 3, 8, 8))
    assert pair_wise(maps(1, 3, 4, 4), maps(1, 5, 4, 4)).shape == (1,)
    with pytest.raises(RecipeError, match="the student's feature maps"):
        feature_mimicry(maps(1, 3, 4, 4), maps(1, 5, 4, 4))
