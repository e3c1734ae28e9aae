"""Crops without a face: drawn far from faces, split by photo, and never with a landmark."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lineament.crop import warp
from lineament.data.augment import augment
from lineament.data.crop_cache import CACHE_PADDING, CropCache
from lineament.data.negatives import (
    Negatives,
    crop_presence,
    crop_square,
    draw_region_box,
    face_regions,
)
from lineament.data.no_face_photos import (
    read_boxed_faces,
    read_hard_negatives,
    read_negatives,
)
from lineament.data.readers.cfp30 import SHOWN
from lineament.data.training_crops import Source, TrainingCrops
from lineament.errors import DataError, RecipeError
from lineament.geometry import crop_affine, iou
from lineament.recipe import Augmentation, PresenceSettings
from lineament.recipe.file import make_recipe
from lineament.schemes import scheme
from no_face import write_detection
from test_training_crops import STILL

PADDING = 1.3
PRESENCE = PresenceSettings(photos=("objects", "pets"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("negatives")
    write_detection(folder)
    return folder


def test_regions_are_far_from_the_face_and_inside_its_cached_crop():
    box = np.array([100.0, 80, 160, 150])
    rng = np.random.default_rng(0)
    face = crop_square(box, PADDING)
    room = crop_square(box, CACHE_PADDING)
    for _ in range(300):
        shown = crop_square(draw_region_box(rng, box, PADDING), PADDING)
        assert iou(shown[None], face[None])[0, 0] < 0.3
        assert (shown[:2] >= room[:2] - 1e-6).all()
        assert (shown[2:] <= room[2:] + 1e-6).all()


@pytest.mark.parametrize(
    # along one axis by d crop sides, the overlap is (1 - d) / (1 + d): 2/3, 3/7 and 1/4
    ("shift", "wanted"),
    [(0.0, 1.0), (0.2, 1.0), (0.4, np.nan), (0.6, 0.0)],
)
@pytest.mark.parametrize("roll_deg", [0.0, 30.0])
def test_presence_follows_the_overlap_with_the_face(shift, wanted, roll_deg):
    box = np.array([100.0, 80, 160, 140])
    moved = box + [shift * 60 * PADDING, 0] * 2
    affine = crop_affine(moved, 128, PADDING, roll_deg)
    found = crop_presence(affine, box, 128, PADDING)
    assert found == wanted or (np.isnan(found) and np.isnan(wanted))


def test_photos_are_split_by_name_and_kinds_are_equally_frequent(root, tmp_path):
    settings = PresenceSettings(photos=("objects", "pets", "background"))
    negatives, validation = read_negatives(settings, 68, root, tmp_path)
    count = len(negatives.photos)
    assert count + len(validation[0]) == 28
    assert len(validation[0]) > 0
    assert negatives.weights.sum() == pytest.approx(1)
    # two kinds have photos
    assert np.unique(negatives.weights.round(9)).size <= 2
    assert np.isnan(validation[0].landmarks).all()
    for cache in (negatives.photos, *validation):
        assert (cache.boxes[:, 2:] > cache.boxes[:, :2]).all()
    assert not np.array_equal(validation[0].boxes, validation[1].boxes)


def test_an_epoch_has_the_share_of_crops_without_a_face(root, tmp_path):
    negatives, _ = read_negatives(PRESENCE, 5, root, tmp_path)
    faces = CropCache(
        np.zeros((200, 8, 8, 3), np.uint8),
        np.zeros((200, 5, 2)),
        np.tile([0, 0, 4, 4.0], (200, 1)),
    )
    crops = [
        TrainingCrops([Source(faces)], "five", 64, PADDING, STILL, 1, given)
        for given in (None, negatives)
    ]
    plain, mixed = (each.order(3, 0.0) for each in crops)
    assert sorted(plain.tolist()) == sorted(mixed[mixed[:, 0] >= 0].tolist())
    # 0.15 / 0.85 of 200 is 35.3, of which 0.35 are regions
    assert [(mixed[:, 0] == kind).sum() for kind in (-1, -2)] == [23, 12]
    assert np.array_equal(mixed, crops[1].order(3, 0.0))
    assert not np.array_equal(mixed, crops[1].order(4, 0.0))


def test_faces_of_a_limited_source_are_resampled_in_each_epoch():
    many = CropCache(
        np.zeros((50, 8, 8, 3), np.uint8),
        np.zeros((50, 5, 2)),
        np.tile([0, 0, 4, 4.0], (50, 1)),
    )
    crops = TrainingCrops(
        [Source(many, per_epoch=7)], "five", 64, PADDING, STILL, seed=1
    )
    first, second = crops.order(0, 0.0), crops.order(1, 0.0)
    assert len(first) == len(second) == 7
    assert set(first[:, 1]) != set(second[:, 1])


def test_hard_negatives_are_boxes_in_the_pixels_of_the_photo(tmp_path):
    write_detection(tmp_path)
    for path in (tmp_path / "detection" / "objects").iterdir():
        image = np.zeros((60, 90, 3), np.uint8)
        cv2.circle(image, (70, 20), 3, (255, 255, 255), -1)
        cv2.imwrite(str(path), image)
    names = [f"detection/objects/objects{number}.png" for number in range(14)]
    boxes = {name: [[60.0, 10, 80, 30, 0.4]] for name in names}
    (tmp_path / "found.json").write_text(json.dumps(boxes))
    settings = PresenceSettings(photos=("objects",), hard_negatives="found.json")
    negatives, _ = read_negatives(settings, 5, tmp_path, tmp_path)
    row = negatives.hard_negatives[0][0]
    box = negatives.close_ups.boxes[row]
    crop = warp(negatives.close_ups.crops[row], crop_affine(box, 64, PADDING), 64)
    rows, columns = np.nonzero(crop[..., 0] > 128)
    # the middle of the box is the middle of the crop
    assert np.abs([rows.mean() - 31.5, columns.mean() - 31.5]).max() < 0.6
    drawn = []
    for seed in range(200):
        cache, _, _ = negatives.draw(np.random.default_rng(seed), 0)
        drawn.append(cache is negatives.close_ups)
    assert 70 < sum(drawn) < 130


def test_a_small_hard_negative_has_the_resolution_of_its_photo(tmp_path):
    write_detection(tmp_path)
    edge = np.zeros((600, 900, 3), np.uint8)
    edge[:, 451:] = 255
    for path in (tmp_path / "detection" / "objects").iterdir():
        cv2.imwrite(str(path), edge)
    names = [f"detection/objects/objects{number}.png" for number in range(14)]
    boxes = {name: [[440.0, 290, 460, 310, 0.4]] for name in names}
    (tmp_path / "found.json").write_text(json.dumps(boxes))
    settings = PresenceSettings(photos=("objects",), hard_negatives="found.json")
    negatives, validation = read_negatives(settings, 5, tmp_path, tmp_path)
    row = negatives.hard_negatives[0][0]
    line = negatives.close_ups.crops[row][112, :, 0]
    # 20 pixels are 224 / 2.2: the edge is one pixel of the photo wide, some five of the crop
    assert ((line > 20) & (line < 235)).sum() < 8
    # all hard negatives of validation photos are validated on
    assert len(validation[-1]) == len(validation[0])


@pytest.mark.parametrize("text", [None, "no json", '{"a": [[1, 2, 3]]}', "[1]"])
def test_broken_hard_negatives_name_the_command_that_writes_them(text, tmp_path):
    path = tmp_path / "hard-negatives.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match="write it with `lineament mine-negatives`"):
        read_hard_negatives(path)


def test_missing_photos_are_rejected(root, tmp_path):
    with pytest.raises(
        RecipeError, match=r"no training photos for presence.photos = .*background"
    ):
        read_negatives(PresenceSettings(photos=("background",)), 5, root, tmp_path)


def test_boxed_faces_have_no_landmark_and_small_ones_are_left_out(root, tmp_path):
    training, validation = read_boxed_faces(
        PresenceSettings(box_only=("wider",)), 68, root, tmp_path
    )
    # one of two boxes of each photo has a side of 7 px
    assert len(training) + len(validation) == 14
    assert np.isnan(training.landmarks).all()


def crops_of_points(root, tmp_path, settings, visible=None):
    """Return training crops of one drawn face, and of no face."""
    negatives, _ = read_negatives(PRESENCE, 5, root, tmp_path)
    rng = np.random.default_rng(0)
    points = np.array([[[60.0, 70], [95, 70], [78, 90], [65, 110], [92, 111]]])
    faces = CropCache(
        rng.integers(0, 256, (1, 160, 160, 3), dtype=np.uint8),
        points,
        np.array([[50.0, 50, 110, 120]]),
        visible=visible,
    )
    return TrainingCrops([Source(faces)], "five", 96, PADDING, settings, 1, negatives)


def test_a_crop_without_a_face_has_the_arrays_of_one_with_a_face(root, tmp_path):
    crops = crops_of_points(root, tmp_path, Augmentation())
    face, photo, region = (crops.make(0, 0, source, 0) for source in (0, -1, -2))
    assert face.keys() == photo.keys() == region.keys()
    for name in ("crops", "landmarks", "visible", "presence"):
        for other in (photo, region):
            assert other[name].shape == face[name].shape
            assert other[name].dtype == face[name].dtype
    assert (face["presence"], photo["presence"], region["presence"]) == (1, 0, 0)
    for other in (photo, region):
        assert np.isnan(other["landmarks"]).all()
        assert np.isnan(other["visible"]).all()


def test_a_flip_permutes_the_visibility(root, tmp_path):
    visible = np.array([[1, 0, np.nan, 1, 1]], np.float32)
    mirrored = STILL.model_copy(update={"flip": 1.0})
    crops = crops_of_points(root, tmp_path, mirrored, visible)
    wanted = visible[0][scheme("five").mirror]
    np.testing.assert_array_equal(crops.make(0, 0, 0, 0)["visible"], wanted)


@pytest.mark.parametrize("kind", ["occlusion", "border"])
def test_points_under_an_occluder_are_not_visible(kind):
    settings = STILL.model_copy(update={kind: 1.0})
    image = np.full((160, 160, 3), 77, np.uint8)
    points = np.stack(np.meshgrid(np.arange(40.0, 120, 4), np.arange(40.0, 120, 4)), -1)
    points, box = points.reshape(-1, 2), np.array([40.0, 40, 120, 120])
    mirror = np.arange(len(points))
    hit = 0
    for seed in range(20):
        made = augment(
            np.random.default_rng(seed), image, points, box, mirror, 96, 1.3, settings
        )
        x, y = made.landmarks.round().astype(int).T
        changed = (made.crop[y, x] != 77).any(1)
        # an occluder may show another part of the same gray crop
        assert made.covered[changed].all()
        hit += int(changed.sum())
    assert hit > 100


def test_an_unknown_point_never_counts_as_occluded(root, tmp_path):
    settings = STILL.model_copy(update={"occlusion": 1.0, "border": 1.0})
    crops = crops_of_points(root, tmp_path, settings)
    cache = crops.sources[0].cache
    cache.landmarks[0, 2] = np.nan
    for position in range(20):
        assert np.isnan(crops.make(0, position, 0, 0)["visible"][2])


def test_regions_of_validation_faces_are_reproducible():
    faces = CropCache(
        np.zeros((3, 8, 8, 3), np.uint8),
        np.zeros((3, 5, 2)),
        np.tile([2, 2, 6, 6.0], (3, 1)),
    )
    first, second = face_regions(faces, PADDING), face_regions(faces, PADDING)
    assert np.array_equal(first.boxes, second.boxes)
    assert first.crops is faces.crops
    assert not np.array_equal(first.boxes[0], first.boxes[1])


def test_a_profile_states_that_the_far_side_is_not_visible(data_root):
    from lineament.data.mixture import read_part

    profile = read_part("cfp30", data_root, "profile", "ibug68")[0]
    frontal = read_part("cfp30", data_root, "frontal", "ibug68")[0]
    annotated = np.isfinite(profile.landmarks).all(1)
    assert int(annotated.sum()) == len(SHOWN["left"]) == 30
    # of the 38 others, 29 are turned away and 9 lie between annotated ones
    assert int(profile.visible.sum()) == 39
    assert profile.visible[annotated].all()
    assert frontal.visible.all()


def test_the_visibility_of_unannotated_points_is_unknown(tmp_path):
    from blobs import blob_samples
    from lineament.data.crop_cache import cache_crops

    samples = blob_samples(tmp_path)
    samples[0].landmarks[1] = np.nan
    samples[1] = replace(samples[1], visible=np.array([1, 1, 0, 1, 1], bool))
    cache = cache_crops(samples, tmp_path / "cache", size=64)
    nan = np.nan
    wanted = [[1, nan, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(cache.visible, wanted)


def test_shares_leave_room_for_annotated_faces():
    values = {"name": "a", "data": [{"reader": "300w"}], "train": {"steps": 1}}
    with pytest.raises(RecipeError, match="expected a sum below 1"):
        make_recipe(
            values | {"presence": {"negative_fraction": 0.6, "box_only_fraction": 0.5}}
        )
    with pytest.raises(RecipeError, match="did you mean 'hard_negatives'"):
        make_recipe(values | {"presence": {"hard_negative": "a.json"}})


def test_an_epoch_without_photos_has_only_regions():
    empty = CropCache(
        np.zeros((0, 8, 8, 3), np.uint8), np.zeros((0, 5, 2)), np.zeros((0, 4))
    )
    negatives = Negatives(
        empty, empty, [], np.zeros(0), PresenceSettings(negative_fraction=0.5)
    )
    rows = negatives.rows(np.random.default_rng(0), np.array([[0, 1], [1, 4]]))
    assert len(rows) == 2
    assert set(map(tuple, rows.tolist())) <= {(-2, 1), (-3, 4)}
