"""Training crops: order and augmentation depend only on seed, epoch and position."""

from dataclasses import replace

import numpy as np
import pytest

from blobs import blob_samples, centroid
from lineament.data.crop_cache import CropCache, cache_crops, plain_landmarks
from lineament.data.partners import Partners
from lineament.data.readers.mtfl import POSES
from lineament.data.training_crops import Source, TrainingCrops
from lineament.recipe import Augmentation
from lineament.schemes import scheme

STILL = Augmentation(
    flip=0, rotation_deg=0, large_rotation=0, scale=0, shift=0, color=0, gray=0, blur=0
)
STILL = STILL.model_copy(
    update={"low_resolution": 0, "jpeg": 0, "noise": 0, "dark": 0, "occlusion": 0}
)


@pytest.fixture
def samples(tmp_path):
    return blob_samples(tmp_path)


def test_augmented_crops_show_the_landmarks_where_they_are(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    jittered = STILL.model_copy(
        update={"flip": 0.5, "rotation_deg": 20.0, "shift": 0.04}
    )
    training = TrainingCrops([Source(cache)], "five", 96, 1.6, jittered, seed=3)
    for position in range(8):
        made = training.make(0, position, 0, position % 3)
        crop, points = made["crops"], made["landmarks"]
        assert np.abs(centroid(crop) - points[2]).max() < 0.06


def caches(*counts):
    return [
        CropCache(
            np.zeros((n, 8, 8, 3), np.uint8),
            np.zeros((n, 5, 2)),
            np.tile([0, 0, 4, 4.0], (n, 1)),
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


def test_the_order_depends_only_on_seed_and_epoch():
    assert np.array_equal(training().order(3, 0.0), training().order(3, 0.0))
    assert not np.array_equal(training().order(3, 0.0), training().order(4, 0.0))
    assert not np.array_equal(training().order(3, 0.0), training(seed=2).order(3, 0.0))


def test_a_crop_depends_on_its_position_and_not_on_earlier_crops(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    makers = [
        TrainingCrops([Source(cache)], "five", 64, 1.3, Augmentation(), seed=1)
        for _ in range(2)
    ]
    for position in range(5):
        makers[0].make(0, position, 0, 1)
    made, other = (maker.make(2, 7, 0, 1) for maker in makers)
    for name in ("crops", "landmarks"):
        assert np.array_equal(made[name], other[name])
    assert not np.array_equal(
        makers[0].make(2, 8, 0, 1)["landmarks"], made["landmarks"]
    )


def test_crops_have_the_shape_and_type_of_network_inputs(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    training = TrainingCrops([Source(cache)], "five", 64, 1.3, Augmentation(), seed=1)
    made = training.make(0, 0, 0, 0)
    assert made.keys() == {"crops", "landmarks", "attributes"}
    crop, points = made["crops"], made["landmarks"]
    assert (crop.shape, crop.dtype) == ((64, 64, 3), np.uint8)
    assert (points.shape, points.dtype) == ((len(scheme("five")), 2), np.float32)


def test_a_crop_has_the_attributes_and_visibility_of_its_face(samples, tmp_path):
    """Data sets without them have nan attributes, and annotated points count as visible."""
    stated = []
    for k, sample in enumerate(samples):
        visible = np.arange(len(sample.landmarks)) != k
        attributes = {"occluded": k == 1} | ({"child": True} if k == 2 else {})
        stated.append(replace(sample, attributes=attributes, visible=visible))
    mirror = scheme("five").mirror
    flipped = STILL.model_copy(update={"flip": 1.0})
    sources = [
        Source(cache_crops(part, tmp_path / "cache", size=160))
        for part in (stated, samples)
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


def test_a_mirrored_face_looks_to_the_other_side(samples, tmp_path):
    stated = []
    for sample, pose in zip(samples, ("left", "right_profile", "frontal"), strict=True):
        poses = dict.fromkeys(POSES, False) | {pose: True}
        stated.append(replace(sample, attributes={"smiling": True, **poses}))
    cache = cache_crops(stated, tmp_path / "cache", size=160)
    shown = {0.0: ("left", "right_profile", "frontal")}
    shown[1.0] = ("right", "left_profile", "frontal")
    for flip, wanted in shown.items():
        settings = STILL.model_copy(update={"flip": flip})
        training = TrainingCrops([Source(cache)], "five", 64, 1.3, settings, seed=1)
        for face, pose in enumerate(wanted):
            attributes = training.make(0, 0, 0, face)["attributes"]
            assert [name for name in POSES if attributes[name]] == [pose]
            assert attributes["smiling"] == 1


def test_a_face_is_replaced_by_another_one_of_its_cluster(samples, tmp_path):
    cache = cache_crops(samples, tmp_path / "cache", size=160)
    # faces of different shapes, with different centers in their boxes
    cache.landmarks[:, 3, 0] += [0, 4, 8]
    training = TrainingCrops([Source(cache)], "five", 96, 1.6, Augmentation(), seed=3)
    training.settings = STILL
    clusters = [np.array([0, 1, 0])]
    training.partners = Partners([cache], clusters, 96, 1.6, prob=1.0)
    plain = plain_landmarks(cache, 96, 1.6)
    lent = set()
    for position in range(12):
        face = position % 3
        made = training.make(0, position, 0, face)["landmarks"]
        # a least-squares similarity maps center to center
        gaps = np.abs(plain.mean(1) - made.mean(0)).max(1)
        nearest = int(gaps.argmin())
        assert gaps[nearest] < 1e-3
        assert clusters[0][nearest] == clusters[0][face]
        lent.add((face, nearest))
    assert lent >= {(0, 2), (1, 1), (2, 0)}
    never = Partners([cache], clusters, 96, 1.6, prob=0.0)
    rng = np.random.default_rng(0)
    assert never.draw(rng, 0, 0, cache.landmarks[0]) is None
