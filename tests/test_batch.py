"""Batches: the cache shows what the image shows, and order and augmentation hang on seed and step alone."""

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lineament.data import crop_cache as batch
from lineament.data.crop_cache import (
    CropCache,
    Source,
    TrainingCrops,
    cache_crops,
    plain_crops,
    plain_landmarks,
)
from lineament.data.sample import Sample
from lineament.errors import DataError, ImageError
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
    """Three pictures, each with a blob on point 2 (the nose) of five."""
    made = []
    for i in range(3):
        points = np.array([[60.0, 50], [90, 52], [75.4, 66.7], [64, 81], [88, 80]]) + 7 * i
        rows, columns = np.mgrid[0:150, 0:170]
        bump = 255 * np.exp(
            -((columns - points[2, 0]) ** 2 + (rows - points[2, 1]) ** 2) / (2 * 3.0**2)
        )
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.repeat(np.round(bump).astype(np.uint8)[..., None], 3, axis=2))
        made.append(Sample(path, points, "five", path.name))
    return made


def centroid(crop):
    weights = crop[..., 0].astype(np.float64)
    rows, columns = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


def test_cached_landmarks_lie_on_what_the_cached_crop_shows(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    assert cache.crops.shape == (3, 160, 160, 3)
    for crop, points in zip(cache.crops, cache.landmarks, strict=True):
        assert np.abs(centroid(crop) - points[2]).max() < 0.05


def test_plain_and_augmented_crops_show_the_landmarks_where_they_are(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    crops = np.concatenate([c for c, _ in plain_crops(cache, 96, 1.6, 2)])
    for crop, points in zip(crops, plain_landmarks(cache, 96, 1.6), strict=True):
        assert np.abs(centroid(crop) - points[2]).max() < 0.06
    jittered = STILL.model_copy(update={"flip": 0.5, "rotation_deg": 20.0, "shift": 0.04})
    training = TrainingCrops([Source(cache)], "five", 96, 1.6, jittered, seed=3)
    for position in range(8):
        made = training.make(0, position, 0, position % 3)
        crop, points = made["crops"], made["landmarks"]
        assert np.abs(centroid(crop) - points[2]).max() < 0.06


def test_boxes_given_place_the_crops(samples, tmp_path):
    boxes = [np.array([50.0, 40, 110, 100])] * 3
    cache = cache_crops(samples, tmp_path / "cache", size=132, boxes=boxes)
    # 132 px show 2.2 sides of 60: 1 px of the crop is 1 px of the image; the box has 60 px around the centre 65.5
    assert np.allclose(cache.boxes, [[35.5, 35.5, 95.5, 95.5]] * 3)
    assert np.abs(centroid(cache.crops[0]) - cache.landmarks[0, 2]).max() < 0.05


def test_the_cache_is_made_once_and_anew_when_a_picture_or_point_changes(
    samples, tmp_path, monkeypatch
):
    written = []
    plain = batch._write_crops
    monkeypatch.setattr(batch, "_write_crops", lambda *given: (written.append(1), plain(*given)))
    folder = tmp_path / "cache"
    first = cache_crops(samples, folder, size=64)
    again = cache_crops(samples, folder, size=64)
    assert len(written) == 1
    assert np.array_equal(first.crops, again.crops)
    os.utime(samples[0].image, ns=(1, 1))
    cache_crops(samples, folder, size=64)
    assert len(written) == 2
    samples[1].landmarks[0] += (-20, 0)
    cache_crops(samples, folder, size=64)
    assert len(written) == 3
    assert {path.suffix for path in folder.iterdir()} == {".npy"}


def test_a_picture_that_cannot_be_read_leaves_no_half_written_cache(samples, tmp_path):
    samples[2].image.write_bytes(b"no picture")
    with pytest.raises(ImageError):
        cache_crops(samples, tmp_path / "cache", size=64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_samples_are_refused(tmp_path):
    with pytest.raises(
        DataError,
        match="no samples to cache; wanted at least one face: check the data set's folder",
    ):
        cache_crops([], tmp_path)


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


def test_an_epoch_holds_every_face_as_often_as_its_source_says():
    pairs, counts = np.unique(training().order(0, 0.0), axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2]]
    assert counts.tolist() == [2, 2, 2, 2, 1, 1, 1]


def test_a_source_is_left_out_from_its_end_on():
    assert set(training().order(5, 0.49)[:, 0]) == {0, 1}
    assert set(training().order(5, 0.5)[:, 0]) == {0}


def test_the_order_hangs_on_seed_and_epoch_alone():
    assert np.array_equal(training().order(3, 0.0), training().order(3, 0.0))
    assert not np.array_equal(training().order(3, 0.0), training().order(4, 0.0))
    assert not np.array_equal(training().order(3, 0.0), training(seed=2).order(3, 0.0))


def test_a_crop_hangs_on_its_place_in_the_epoch_and_not_on_what_was_made_before(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    makers = [
        TrainingCrops([Source(cache)], "five", 64, 1.3, Augmentation(), seed=1) for _ in range(2)
    ]
    for position in range(5):
        makers[0].make(0, position, 0, 1)
    made, other = (maker.make(2, 7, 0, 1) for maker in makers)
    for name in ("crops", "landmarks"):
        assert np.array_equal(made[name], other[name])
    assert not np.array_equal(makers[0].make(2, 8, 0, 1)["landmarks"], made["landmarks"])


def test_crops_come_as_the_network_takes_them(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    training = TrainingCrops([Source(cache)], "five", 64, 1.3, Augmentation(), seed=1)
    made = training.make(0, 0, 0, 0)
    assert made.keys() == {"crops", "landmarks", "attributes"}
    crop, points = made["crops"], made["landmarks"]
    assert (crop.shape, crop.dtype) == ((64, 64, 3), np.uint8)
    assert (points.shape, points.dtype) == ((len(scheme("five")), 2), np.float32)


def test_a_crop_carries_what_the_data_set_states(samples, tmp_path):
    """Attributes and visibility follow the face; of sets that state none, nan and the annotated."""
    stated = []
    for k, sample in enumerate(samples):
        visible = np.arange(len(sample.landmarks)) != k
        attributes = {"occluded": k == 1} | ({"child": True} if k == 2 else {})
        stated.append(replace(sample, attributes=attributes, visible=visible))
    mirror = scheme("five").mirror
    flipped = STILL.model_copy(update={"flip": 1.0})
    sources = [
        Source(cache_crops(part, tmp_path / "cache", size=160)) for part in (stated, samples)
    ]
    training = TrainingCrops(sources, "five", 64, 1.3, flipped, seed=1)
    for k in range(3):
        made = training.make(0, 0, 0, k)
        assert made["visible"].tolist() == (mirror != k).tolist()
        assert float(made["attributes"]["occluded"]) == (k == 1)
        child = float(made["attributes"]["child"])
        assert child == 1 if k == 2 else np.isnan(child)
    unstated = training.make(0, 0, 1, 0)
    assert unstated["visible"].all()
    assert all(np.isnan(value) for value in unstated["attributes"].values())
