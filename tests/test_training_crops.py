"""Training crops: order and augmentation depend on seed, epoch and position alone."""

import numpy as np
import pytest

from blobs import blob_samples, centroid
from lineament.data.crop_cache import CropCache, cache_crops
from lineament.data.training_crops import Source, TrainingCrops
from lineament.recipe import Augmentation
from lineament.schemes import scheme

STILL = Augmentation(
    flip=0, rotation_deg=0, wild_rotation=0, scale=0, shift=0, color=0, grey=0, blur=0
)
STILL = STILL.model_copy(
    update={"low_resolution": 0, "jpeg": 0, "noise": 0, "dark": 0, "occlusion": 0}
)


@pytest.fixture
def samples(tmp_path):
    return blob_samples(tmp_path)


def test_augmented_crops_show_the_landmarks_where_they_are(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    jittered = STILL.model_copy(update={"flip": 0.5, "rotation_deg": 20.0, "shift": 0.04})
    training = TrainingCrops([Source(cache)], "five", 96, 1.6, jittered, seed=3)
    for position in range(8):
        crop, points = training.make(0, position, 0, position % 3)
        assert np.abs(centroid(crop) - points[2]).max() < 0.06


def caches(*counts):
    return [
        CropCache(
            np.zeros((n, 8, 8, 3), np.uint8), np.zeros((n, 5, 2)), np.tile([0, 0, 4, 4.0], (n, 1))
        )
        for n in counts
    ]


def training(seed=1):
    first, second = caches(4, 3)
    return TrainingCrops(
        [Source(first, repeat=2), Source(second, use_until=0.5)],
        "five",
        64,
        1.3,
        Augmentation(),
        seed,
    )


def test_an_epoch_has_every_face_as_often_as_its_source_repeats():
    pairs, counts = np.unique(training().order(0, 0.0), axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2]]
    assert counts.tolist() == [2, 2, 2, 2, 1, 1, 1]


def test_a_source_is_left_out_after_its_last_use():
    assert set(training().order(5, 0.49)[:, 0]) == {0, 1}
    assert set(training().order(5, 0.5)[:, 0]) == {0}


def test_the_order_depends_on_seed_and_epoch_alone():
    assert np.array_equal(training().order(3, 0.0), training().order(3, 0.0))
    assert not np.array_equal(training().order(3, 0.0), training().order(4, 0.0))
    assert not np.array_equal(training().order(3, 0.0), training(seed=2).order(3, 0.0))


def test_a_crop_depends_on_its_position_and_not_on_earlier_crops(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    makers = [
        TrainingCrops([Source(cache)], "five", 64, 1.3, Augmentation(), seed=1) for _ in range(2)
    ]
    for position in range(5):
        makers[0].make(0, position, 0, 1)
    for a, b in zip(makers[0].make(2, 7, 0, 1), makers[1].make(2, 7, 0, 1), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(makers[0].make(2, 8, 0, 1)[1], makers[1].make(2, 7, 0, 1)[1])


def test_crops_have_the_shape_and_type_of_network_inputs(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    crop, points = TrainingCrops([Source(cache)], "five", 64, 1.3, Augmentation(), seed=1).make(
        0, 0, 0, 0
    )
    assert (crop.shape, crop.dtype) == ((64, 64, 3), np.uint8)
    assert (points.shape, points.dtype) == ((len(scheme("five")), 2), np.float32)
