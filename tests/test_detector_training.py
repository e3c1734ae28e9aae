"""The detector's training: targets, loss, scenes, resumed runs, a tiny over-fit, ONNX against torch."""

import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lineament.data.detection.image_cache import ImageCache
from lineament.data.detection.photos import INSETS, Photo, eye_roll_deg, inset, read_detection
from lineament.data.detection.scenes import SceneMaker, move_faces, turn_boxes
from lineament.data.sample import in_validation
from lineament.errors import DataError, RecipeError, TrainError
from lineament.evaluation.detection import Found, least_threshold, recall, roll_errors_deg
from lineament.export.detector import export_detector
from lineament.geometry import compose, flip_affine, similarity
from lineament.inference.face_detector import FaceDetector
from lineament.models.face_detector import STRIDES, Cells, FaceDetectorNet, all_centers
from lineament.training.detector.losses import detector_loss, paired_iou
from lineament.training.detector.targets import SMALLEST, assign, targets
from lineament.training.detector.trainer import (
    DetectorRecipe,
    DetectorTrainer,
    load_detector,
    read_detector_recipe,
)

pytestmark = pytest.mark.torch
SHARES = {"landmarks": 0.3, "background": 0.18}
TINY = {"widths": (8, 8, 16, 16, 16), "depths": (0, 1, 1, 0), "pyramid": 16}


def face_landmarks(center, side, roll_deg=0.0):
    """68 points on an upright square of `side` with the eyes in a row, turned."""
    points = np.zeros((68, 2))
    points[0], points[1], points[2], points[3] = (-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)
    points[36:42], points[42:48] = (-0.25, -0.2), (0.25, -0.2)
    return points @ similarity(side, roll_deg, (0, 0), (0, 0))[:, :2].T + center


def draw_face(image, center, side, roll_deg=0.0):
    """A bright square with two dark eyes in its upper half and a dark mouth bar in its lower half."""
    to_image = similarity(side, roll_deg, (0, 0), center)

    def fill(x0, y0, x1, y1, color):
        corners = (
            np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ to_image[:, :2].T + to_image[:, 2]
        )
        cv2.fillPoly(image, [corners.round().astype(np.int32)], color)

    fill(-0.5, -0.5, 0.5, 0.5, (230, 200, 170))
    fill(-0.35, -0.3, -0.15, -0.1, (20, 20, 20))
    fill(0.15, -0.3, 0.35, -0.1, (20, 20, 20))
    fill(-0.3, 0.2, 0.3, 0.35, (150, 20, 20))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six photos with one drawn face and landmarks, four without a face, written as PNG."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    made = []
    for i in range(10):
        picture = random.integers(60, 110, (120, 140, 3), dtype=np.uint8)
        path = folder / f"{i}.png"
        if i < 6:
            center, side = np.array([70.0, 60.0]), 50 + 4 * i
            draw_face(picture, center, side)
            points = face_landmarks(center, side)
            box = np.concatenate([points.min(0), points.max(0)])[None]
            made.append(Photo(path, "landmarks", box, str(i), points))
        else:
            made.append(Photo(path, "background", np.zeros((0, 4)), str(i)))
        cv2.imwrite(str(path), picture[..., ::-1])
    return made


@pytest.fixture(scope="module")
def maker(photos, tmp_path_factory):
    return SceneMaker(
        photos, ImageCache(tmp_path_factory.mktemp("cache"), photos), SHARES, size=128
    )


def test_the_network_says_one_thing_of_every_cell_in_the_order_of_all_centers():
    net = FaceDetectorNet(**TINY).eval()
    for height, width in ((64, 96), (32, 32), (160, 224)):
        cells = net(torch.zeros(2, height, width, 3, dtype=torch.uint8))
        centers, strides = all_centers(height, width)
        count = sum(-(-height // s) * -(-width // s) for s in STRIDES)
        assert cells.logits.shape == (2, count)
        assert cells.boxes.shape == (2, count, 4)
        assert centers.shape == (count, 2)
        # with outputs of zero every reach is one stride, so a box is centred on its cell and two strides wide
        for head in net.heads:
            head[-1].weight.data.zero_()
            head[-1].bias.data.zero_()
        boxes = net(torch.zeros(1, height, width, 3, dtype=torch.uint8)).boxes[0]
        assert torch.allclose(
            boxes, torch.cat([centers - strides[:, None], centers + strides[:, None]], 1)
        )


def test_a_picture_in_a_batch_gets_what_it_gets_alone():
    net = FaceDetectorNet(**TINY).eval()
    images = torch.randint(0, 256, (3, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        together = net(images)
        alone = net(images[1:2])
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a[1:2], b, atol=1e-4)


def test_the_folded_network_is_the_same_function():
    net = FaceDetectorNet(**TINY).eval()
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        for a, b in zip(net(image), net.folded()(image), strict=True):
            assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("side", [8, 12, 20, 36, 40, 60, 80, 120, 150, 230])
def test_every_face_in_the_picture_has_cells_of_a_stride_that_suits_its_size(side):
    centers, strides = all_centers(256, 256)
    for x, y in ((128.0, 128.0), (131.3, 119.9), (15.5, 255 - 15.5)):
        box = torch.tensor([[x - side / 2, y - side / 2, x + side / 2, y + side / 2]])
        face, counted = assign(
            box, torch.tensor([True]), torch.ones(len(centers), dtype=torch.bool), centers, strides
        )
        own = face == 0
        assert own.any()
        assert counted[own].all()
        assert (side / strides[own] <= 11).all() or side > 176
        # the offset of a cell from the centre is at most 1.25 strides and half a stride beyond 40 % of the face
        assert ((centers[own] - torch.tensor([x, y])).abs() <= 1.25 * strides[own, None]).all()


def test_ignored_tiny_and_unknown_places_are_neither_face_nor_background():
    centers, strides = all_centers(128, 128)
    boxes = torch.tensor([[20.0, 20, 60, 60], [90, 90, 90 + SMALLEST - 1, 90 + SMALLEST - 1]])
    unknown = centers[:, 0] > 100
    face, counted = assign(boxes, torch.tensor([False, True]), ~unknown, centers, strides)
    assert (face == -1).all()
    inside = ((centers > 20) & (centers < 60)).all(1)
    assert not counted[inside].any()
    assert not counted[unknown].any()
    assert counted[(centers < 20).all(1)].all()


def test_two_faces_share_no_cell_and_each_keeps_its_nearest():
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
            (centers - torch.tensor([x, 32.0])).abs().sum(1).masked_fill(strides != 8, 1e9).argmin()
        )
        assert face[nearest] == i


def test_boxes_and_directions_that_are_right_cost_nothing_and_wrong_ones_something():
    centers, strides = all_centers(128, 128)
    boxes = [torch.tensor([[30.0, 30, 90, 90]]), torch.zeros(0, 4)]
    whole = [torch.tensor([True]), torch.zeros(0, dtype=torch.bool)]
    wanted = targets(boxes, whole, torch.ones(2, len(centers), dtype=torch.bool), centers, strides)
    rolls, weights = [torch.tensor([90.0]), torch.zeros(0)], [torch.tensor([1.0]), torch.zeros(0)]
    right = torch.tensor([30.0, 30, 90, 90]).expand(2, len(centers), 4)
    logits = torch.where(wanted.face >= 0, 30.0, -30.0)
    direction = torch.tensor([0.0, 1.0]).expand(2, len(centers), 2)
    loss = detector_loss(Cells(logits, right, direction), wanted, boxes, rolls, weights).weighted()
    assert loss == pytest.approx(torch.zeros(3), abs=1e-6)
    # moved by its half to the right: IoU 1/3, outer box 90 x 60 of which 5400 are covered: GIoU = IoU = 1/3
    moved = right + torch.tensor([30.0, 0, 30, 0])
    loss = detector_loss(Cells(logits, moved, -direction), wanted, boxes, rolls, weights)
    assert float(loss.box) == pytest.approx(2 / 3, abs=1e-5)
    assert float(loss.direction) == pytest.approx(4.0, abs=1e-5)
    assert float(loss.score) > 0.1


def test_generalized_iou_of_distant_boxes_is_negative():
    a, b = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[3.0, 0, 4, 1]])
    iou, giou = paired_iou(a, b)
    # no overlap; the outer box is 4 x 1, of which 2 are covered: 0 - 2 / 4
    assert float(iou) == 0
    assert float(giou) == pytest.approx(-0.5)


def test_a_turned_ellipse_fills_a_box_between_those_of_its_axes():
    box = np.array([[10.0, 10, 30, 50]])  # half axes 10 and 20 around (20, 30)
    quarter = turn_boxes(box, similarity(1.0, 90.0, (20, 30), (20, 30)))
    assert quarter == pytest.approx(np.array([[0, 20, 40, 40]]))
    # at 45 degrees both half sides are sqrt((100 + 400) / 2)
    half = np.sqrt(250)
    slanted = turn_boxes(box, similarity(1.0, 45.0, (20, 30), (20, 30)))
    assert slanted == pytest.approx(np.array([[20 - half, 30 - half, 20 + half, 30 + half]]))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angle", [-170.0, -40.0, 0.0, 75.0])
def test_rolls_follow_turning_and_mirroring(photos, mirror, angle):
    points = face_landmarks((50, 50), 40, roll_deg=20.0)
    photo = Photo(photos[0].image, "landmarks", np.array([[30.0, 30, 70, 70]]), "x", points)
    affine = similarity(1.5, angle, (50, 50), (64, 64))
    affine = compose(affine, flip_affine(100)) if mirror else affine
    _, rolls = move_faces(photo, affine)
    # a mirrored face of roll 20 has roll -20 before it is turned
    assert (rolls[0] - (angle + (-20 if mirror else 20))) % 360 == pytest.approx(0, abs=1e-6) or (
        rolls[0] - (angle + (-20 if mirror else 20))
    ) % 360 == pytest.approx(360, abs=1e-6)


def test_a_scene_is_the_same_whenever_it_is_made_and_labels_what_it_shows(maker):
    for index in range(12):
        scene, again = maker(index), maker(index)
        assert (scene.image == again.image).all()
        assert (scene.boxes == again.boxes).all()
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert (
            len(scene.boxes)
            == len(scene.recognizable)
            == len(scene.roll_deg)
            == len(scene.roll_weight)
        )
        centers = (scene.boxes[:, :2] + scene.boxes[:, 2:])[scene.recognizable] / 2
        assert ((centers > -64) & (centers < 192)).all()
    assert (maker(0).image != maker(1).image).any()


def recipe(**changes):
    settings = {
        "steps": 12,
        "batch": 2,
        "size": 128,
        "warmup": 2,
        "ahead": 0,
        "validate_every": 6,
        "checkpoint_minutes": 9,
    }
    return DetectorRecipe(**(TINY | settings | changes))


def test_a_killed_run_resumed_equals_the_unbroken_one(maker, tmp_path):
    whole = DetectorTrainer(recipe(ahead=2), maker, tmp_path / "a")
    whole.run()
    first = DetectorTrainer(recipe(), maker, tmp_path / "b")
    first.run(until=5)
    second = DetectorTrainer(recipe(), maker, tmp_path / "b")
    second.resume()
    assert second.step == 5
    second.run()
    for a, b in zip(
        whole.averaged.state_dict().values(), second.averaged.state_dict().values(), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-5)
    rows = (tmp_path / "b/log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "5", "6", "12"]


def test_a_checkpoint_of_another_recipe_is_refused(maker, tmp_path):
    DetectorTrainer(recipe(), maker, tmp_path).save()
    with pytest.raises(
        TrainError, match="is of another recipe; give that recipe or another folder"
    ):
        DetectorTrainer(recipe(lr=1e-3), maker, tmp_path).resume()


def test_a_recipe_with_a_wrong_key_or_value_names_it(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("steps = 5\nsteeps = 6\n")
    with pytest.raises(RecipeError, match=r"steeps: .*; a detector's recipe may set name"):
        read_detector_recipe(path)
    path.write_text("steps = ")
    with pytest.raises(RecipeError, match="cannot be read as a recipe"):
        read_detector_recipe(path)
    path.write_text("steps = 7\n")
    assert read_detector_recipe(path).steps == 7


def test_a_tiny_network_learns_one_picture_and_says_the_same_as_onnx(tmp_path):
    """Two drawn faces, one upright and one turned by 90 degrees, found again with their boxes and rolls."""
    image = np.full((128, 128, 3), 80, np.uint8)
    draw_face(image, (36, 36), 40, 0.0)
    draw_face(image, (90, 84), 40, 90.0)
    boxes = torch.tensor([[16.0, 16, 56, 56], [70, 64, 110, 104]])
    torch.manual_seed(0)
    net = FaceDetectorNet(**TINY).train()
    centers, strides = all_centers(128, 128)
    wanted = targets(
        [boxes],
        [torch.tensor([True, True])],
        torch.ones(1, len(centers), dtype=torch.bool),
        centers,
        strides,
    )
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    batch = torch.from_numpy(image)[None]
    for _ in range(120):
        loss = detector_loss(
            net(batch), wanted, [boxes], [torch.tensor([0.0, 90.0])], [torch.ones(2)]
        )
        optimizer.zero_grad()
        loss.weighted().sum().backward()
        optimizer.step()
    path = tmp_path / "tiny.onnx"
    # statistics of one picture are those it was learnt with
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        net(batch)
    export_detector(net.eval(), path, {"threshold": 0.6})
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["bytes"] == path.stat().st_size
    in_bytes = tmp_path / "tiny_int8.onnx"
    export_detector(net, in_bytes, {"threshold": 0.6}, [image[None]])
    assert json.loads(in_bytes.with_suffix(".json").read_text())["precision"] == "int8"
    for file, near in ((path, 4), (in_bytes, 6)):
        found = FaceDetector(file, coarse_sides=(), enlarge=1.0)(image)
        assert len(found.boxes) == 2
        order = np.argsort(found.boxes[:, 0])
        assert found.boxes[order] == pytest.approx(boxes.numpy(), abs=near)
        assert found.roll_deg[order] == pytest.approx([0, 90], abs=15)


def test_a_checkpoint_loads_as_the_averaged_network(maker, tmp_path):
    trainer = DetectorTrainer(recipe(), maker, tmp_path)
    trainer.run(until=2)
    net = load_detector(trainer.checkpoint)
    for a, b in zip(net.state_dict().values(), trainer.averaged.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not net.training


def test_annotations_become_tight_boxes_of_each_kind(tmp_path):
    entries = [
        {"file": "wider/a.jpg", "boxes_xyxy": [[0, 0, 100, 200], [5, 5, 5, 9]]},
        {"file": "background/b.jpg", "boxes_xyxy": []},
    ]
    (tmp_path / "annotations.json").write_text(json.dumps({"images": entries}))
    wider, background = read_detection(tmp_path)
    # 100 x 200: left +1, top +52, right -1, bottom 0; a box without area is no face
    assert wider.boxes == pytest.approx(np.array([[1.0, 52, 99, 200]]))
    assert wider.given_heights == pytest.approx([200])
    assert wider.roll_deg().tolist() == [0]
    assert background.boxes.shape == (0, 4)
    assert wider.is_validation() == in_validation("a")
    (tmp_path / "annotations.json").write_text(
        '{"images": [{"file": "other/c.jpg", "boxes_xyxy": []}]}'
    )
    with pytest.raises(
        DataError, match=r"other/c.jpg is of no known kind; wanted a folder of wider"
    ):
        read_detection(tmp_path)
    (tmp_path / "annotations.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        read_detection(tmp_path)


def test_the_roll_of_landmarks_is_that_of_the_line_between_the_eyes():
    for roll in (-150.0, -20.0, 0.0, 60.0):
        assert eye_roll_deg(face_landmarks((3, 4), 50, roll)) == pytest.approx(roll)
    assert inset(np.array([[0.0, 0, 10, 10]]), INSETS["background"]).tolist() == [[0, 0, 10, 10]]


def test_a_cache_gives_back_every_pixel_and_notices_a_broken_file(photos, tmp_path):
    cache = ImageCache(tmp_path, photos)
    assert len(cache) == len(photos)
    for i, photo in enumerate(photos):
        assert (cache[i] == cv2.imread(str(photo.image))[..., ::-1]).all()
    (pixels,) = tmp_path.glob("*.pixels")
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(DataError, match="bytes, wanted"):
        ImageCache(tmp_path, photos)
    with pytest.raises(DataError, match="no photos to cache"):
        ImageCache(tmp_path, [])


def test_recall_gives_each_face_one_box_and_counts_the_rest_as_false(photos):
    photo = Photo(photos[0].image, "wider", np.array([[0.0, 0, 10, 10], [20, 0, 24, 4]]), "x")
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    found = Found(boxes, np.array([0.5, 0.9, 0.8]), np.full(3, np.nan))
    all_faces = recall([photo], [found], 0.1)
    assert (all_faces.faces, all_faces.found, all_faces.false) == (2, 1, 1)
    assert recall([photo], [found], 0.1, smallest=5.0).share == 1.0
    assert recall([photo], [found], 0.95).found == 0


def test_the_least_threshold_allows_just_as_many_false_faces():
    empty = Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    one = Found(np.zeros((3, 4)), np.array([0.2, 0.7, 0.4]), np.zeros(3))
    assert least_threshold([empty, one], 1) == 0.4  # scores above 0.4: one
    assert least_threshold([empty, one], 5) == 0.0


def test_roll_errors_go_the_short_way_round(photos):
    points = face_landmarks((50, 50), 40, 175.0)
    photo = Photo(photos[0].image, "landmarks", np.array([[30.0, 30, 70, 70]]), "x", points)
    found = Found(photo.boxes, np.ones(1), np.array([-175.0]))
    assert roll_errors_deg([photo], [found], 0.5) == pytest.approx([10.0])
