"""Recurrent state keeps its position in the image when the crop moves."""

import numpy as np

from lineament.geometry import crop_affine
from lineament.inference.recurrent_state import RecurrentState

SIZE, LENGTH = 64, 32
BOX = np.array([10.0, 20, 60, 70])


def state(*boxes):
    maps = (
        np.random.default_rng(0)
        .normal(size=(len(boxes), 2, 3, LENGTH))
        .astype(np.float32)
    )
    return RecurrentState(
        maps, np.stack([crop_affine(box, SIZE, 1.3) for box in boxes])
    )


def test_the_state_is_unchanged_if_the_crop_does_not_move():
    before = state(BOX, BOX + 5)
    np.testing.assert_allclose(
        before.moved_to(before.image_to_crop, SIZE), before.maps, atol=1e-4
    )


def test_a_shift_by_whole_cells_shifts_the_cells_of_that_axis():
    before = state(BOX)
    cell_px = 50 * 1.3 / LENGTH  # a cell in image pixels
    now = crop_affine(BOX + 3 * cell_px * np.array([1, 0, 1, 0]), SIZE, 1.3)
    moved = before.moved_to(now[None], SIZE)
    np.testing.assert_allclose(moved[0, 0, :, :-3], before.maps[0, 0, :, 3:], atol=1e-4)
    np.testing.assert_allclose(moved[0, 1], before.maps[0, 1], atol=1e-4)


def test_each_face_moves_with_its_own_crop():
    both = state(BOX, BOX + 30)
    now = np.stack([crop_affine(BOX + 2, SIZE, 1.3), crop_affine(BOX + 29, SIZE, 1.3)])
    moved = both.moved_to(now, SIZE)
    for k in range(2):
        alone = RecurrentState(both.maps[k : k + 1], both.image_to_crop[k : k + 1])
        np.testing.assert_array_equal(alone.moved_to(now[k : k + 1], SIZE)[0], moved[k])
