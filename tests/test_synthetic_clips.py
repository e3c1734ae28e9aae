"""Synthetic clips: landmarks are where the frames show them, and equal seeds give equal clips."""

import numpy as np
import pytest

from lineament import Predictor, read_image
from lineament.data.synthetic_clips import ClipSettings, make_clip
from lineament.errors import InputError, ShapeError
from scenes import PICTURES

IMAGE = read_image(PICTURES / "astronaut.jpg")
LANDMARKS = Predictor("fast", threads=1)(IMAGE)[0].landmarks
PLAIN = ClipSettings(frames=40, size=160, noise=0, quality=0, light=0, occluders=0)


def clip(seed=0, **changes):
    settings = ClipSettings(**{**PLAIN.__dict__, **changes})
    return list(make_clip(IMAGE, LANDMARKS, "ibug68", seed, settings))


def test_landmarks_move_with_their_pixels():
    dots = IMAGE.copy()
    marked = (30, 36, 45, 48, 54, 8)
    for k in marked:
        x, y = LANDMARKS[k].round().astype(int)
        dots[y - 3 : y + 4, x - 3 : x + 4] = (0, 255, 0)
    frames = list(make_clip(dots, LANDMARKS, "ibug68", 3, PLAIN))
    for frame in frames[::5]:
        green = (
            frame.image[..., 1].astype(int) - frame.image[..., [0, 2]].max(-1)
        ).clip(0)
        for k in marked:
            x, y = frame.landmarks[k].round().astype(int)
            near = green[y - 6 : y + 7, x - 6 : x + 7]
            rows, columns = np.mgrid[y - 6 : y + 7, x - 6 : x + 7]
            middle = (
                np.array([(near * columns).sum(), (near * rows).sum()]) / near.sum()
            )
            # the mark is drawn at integer pixels of the still, half a pixel off at most,
            # and shown about as large
            assert np.abs(middle - frame.landmarks[k]).max() < 1.0


def test_the_face_moves_talks_blinks_and_pauses():
    frames = clip(frames=240, still=0.5)
    path = np.stack([frame.landmarks for frame in frames])
    nose = np.linalg.norm(np.diff(path[:, 27], axis=0), axis=-1)
    assert nose.max() > 0.4
    assert (nose < 0.02).mean() > 0.2
    eyes = np.linalg.norm(path[:, 45] - path[:, 36], axis=-1)
    mouth = np.linalg.norm(path[:, 66] - path[:, 62], axis=-1) / eyes
    lids = np.linalg.norm(path[:, 37] - path[:, 41], axis=-1) / eyes
    assert np.ptp(mouth) > 0.08
    assert lids.min() < 0.7 * np.median(lids)


def test_timestamps_follow_the_rate_and_images_have_the_size():
    frames = clip(frames=3, rate=25)
    assert [frame.timestamp for frame in frames] == pytest.approx([0, 0.04, 0.08])
    assert frames[0].image.shape == (160, 160, 3)
    assert frames[0].image.dtype == np.uint8


def test_equal_seeds_give_equal_clips_and_others_do_not():
    settings = {"frames": 5, "noise": 3, "quality": 60, "occluders": 1}
    first, again, other = clip(1, **settings), clip(1, **settings), clip(2, **settings)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        assert not np.array_equal(a.image, c.image)


def test_landmarks_under_an_occluder_are_marked():
    frames = clip(frames=150, occluders=2)
    occluded = np.stack([frame.occluded for frame in frames])
    assert 0 < occluded.mean() < 0.5
    plain = clip(frames=150)
    for frame, bare in zip(frames[::10], plain[::10], strict=True):
        x, y = frame.landmarks.round().astype(int).clip(0, 159).T
        changed = np.abs(frame.image.astype(int) - bare.image)[y, x].max(-1) > 0
        assert (
            changed >= frame.occluded
        ).mean() > 0.95  # except on an occluder of the color under it
        assert not bare.occluded.any()


def test_other_schemes_move_without_an_expression():
    from lineament import convert

    five = convert(LANDMARKS, "ibug68", "five").points
    path = np.stack(
        [frame.landmarks for frame in make_clip(IMAGE, five, "five", 0, PLAIN)]
    )
    lengths = np.linalg.norm(path[:, 0] - path[:, 1], axis=-1) / np.linalg.norm(
        path[:, 3] - path[:, 4], axis=-1
    )
    assert lengths == pytest.approx(
        lengths[0]
    )  # a similarity keeps the ratios of lengths


def test_wrong_landmarks_and_settings_are_rejected():
    with pytest.raises(
        ShapeError,
        match="5 landmarks, perhaps not all finite; expected the 68 of ibug68",
    ):
        next(iter(make_clip(IMAGE, LANDMARKS[:5], "ibug68", 0)))
    with pytest.raises(
        InputError, match="0 frames of 160 px; expected at least 1 frame of 32 px"
    ):
        clip(frames=0)
