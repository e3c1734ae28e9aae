"""Cached crops: landmarks match their pixels, and a change of the inputs makes new crops."""

import os

import numpy as np
import pytest

from blobs import blob_samples, centroid
from lineament.data import crop_cache
from lineament.data.crop_cache import cache_crops, plain_crops, plain_landmarks
from lineament.errors import DataError, ImageError


@pytest.fixture
def samples(tmp_path):
    return blob_samples(tmp_path)


def test_cached_landmarks_match_the_pixels_of_the_cached_crop(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    assert cache.crops.shape == (3, 160, 160, 3)
    for crop, points in zip(cache.crops, cache.landmarks, strict=True):
        assert np.abs(centroid(crop) - points[2]).max() < 0.05


def test_landmarks_of_plain_crops_match_their_pixels(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    crops = np.concatenate([c for c, _ in plain_crops(cache, 96, 1.6, 2)])
    for crop, points in zip(crops, plain_landmarks(cache, 96, 1.6), strict=True):
        assert np.abs(centroid(crop) - points[2]).max() < 0.06


def test_crops_are_placed_by_the_given_boxes(samples, tmp_path):
    boxes = [np.array([50.0, 40, 110, 100])] * 3
    cache = cache_crops(samples, tmp_path / "cache", size=132, boxes=boxes)
    # 132 px show 2.2 sides of 60: 1 px of the crop is 1 px of the image;
    # the box has 60 px around the center 65.5
    assert np.allclose(cache.boxes, [[35.5, 35.5, 95.5, 95.5]] * 3)
    assert np.abs(centroid(cache.crops[0]) - cache.landmarks[0, 2]).max() < 0.05


def test_the_cache_is_remade_only_if_an_image_or_point_changes(
    samples, tmp_path, monkeypatch
):
    written = []
    make = crop_cache._warped
    monkeypatch.setattr(
        crop_cache, "_warped", lambda *given: (written.append(1), make(*given))[1]
    )
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


def test_an_image_that_cannot_be_read_leaves_no_half_written_cache(samples, tmp_path):
    samples[2].image.write_bytes(b"no picture")
    with pytest.raises(ImageError):
        cache_crops(samples, tmp_path / "cache", size=64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_all_images_that_cannot_be_read_are_listed_at_once(samples, tmp_path):
    broken = [samples[0].image, samples[2].image]
    for path in broken:
        path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="2 images cannot be read") as error:
        cache_crops(samples, tmp_path / "cache", size=64)
    assert all(str(path) in str(error.value) for path in broken)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_samples_are_rejected(tmp_path):
    with pytest.raises(
        DataError,
        match="no samples to cache; expected at least one face: check the data set's folder",
    ):
        cache_crops([], tmp_path)
