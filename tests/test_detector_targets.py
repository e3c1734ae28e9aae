"""Targets of the face detector: which cells are trained as which face."""

import pytest

torch = pytest.importorskip("torch")
from lineament.models.face_detector import all_centers
from lineament.training.detector.targets import MIN_SIDE, assign

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("side", [8, 12, 20, 36, 40, 60, 80, 120, 150, 230])
def test_every_face_in_the_image_has_cells_of_a_stride_that_suits_its_size(side):
    centers, strides = all_centers(256, 256)
    for x, y in ((128.0, 128.0), (131.3, 119.9), (15.5, 255 - 15.5)):
        box = torch.tensor([[x - side / 2, y - side / 2, x + side / 2, y + side / 2]])
        face, scored = assign(
            box,
            torch.tensor([True]),
            torch.ones(len(centers), dtype=torch.bool),
            centers,
            strides,
        )
        own = face == 0
        assert own.any()
        assert scored[own].all()
        assert (side / strides[own] <= 11).all() or side > 176
        # at most 1.25 strides from the center, and half a stride beyond 40 % of the face
        assert (
            (centers[own] - torch.tensor([x, y])).abs() <= 1.25 * strides[own, None]
        ).all()


def test_unrecognizable_tiny_and_unlabeled_areas_are_ignored():
    centers, strides = all_centers(128, 128)
    boxes = torch.tensor(
        [[20.0, 20, 60, 60], [90, 90, 90 + MIN_SIDE - 1, 90 + MIN_SIDE - 1]]
    )
    unknown = centers[:, 0] > 100
    face, scored = assign(
        boxes, torch.tensor([False, True]), ~unknown, centers, strides
    )
    assert (face == -1).all()
    inside = ((centers > 20) & (centers < 60)).all(1)
    assert not scored[inside].any()
    assert not scored[unknown].any()
    assert scored[(centers < 20).all(1)].all()


def test_faces_share_no_cell_and_each_keeps_its_nearest():
    centers, strides = all_centers(128, 128)
    boxes = torch.tensor([[20.0, 20, 44, 44], [40.0, 20, 64, 44]])
    face, _ = assign(
        boxes,
        torch.tensor([True, True]),
        torch.ones(len(centers), dtype=torch.bool),
        centers,
        strides,
    )
    for i, x in enumerate((32, 52)):
        nearest = (
            (centers - torch.tensor([x, 32.0]))
            .abs()
            .sum(1)
            .masked_fill(strides != 8, 1e9)
            .argmin()
        )
        assert face[nearest] == i
