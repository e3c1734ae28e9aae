"""MTCNN: windows, losses, the cascade, training one network after the other, the file."""

import json

import cv2
import numpy as np
import pytest

from detector_photos import draw_face, face_landmarks, five_points, write_photos
from faces import write_faces
from lineament import Predictor, load_model
from lineament.classic.uncertainty import Uncertainty
from lineament.data.detection.image_cache import ImageCache
from lineament.data.detection.photos import NEGATIVE_IOU, Photo
from lineament.data.detection.windows import FACE_IOU, WindowMaker
from lineament.errors import (
    DataError,
    ExportError,
    InputError,
    ModelError,
    RecipeError,
    ShapeError,
)
from lineament.geometry import box_side, iou, landmark_box
from lineament.inference import window_cascade
from lineament.inference.detections import Detections
from lineament.inference.open_detector import detector_of_file
from lineament.inference.window_cascade import WindowCascade, pyramid_scales
from lineament.recipe import Augmentation
from lineament.recipe.file import make_recipe

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import lineament.export.mtcnn as export_module
import lineament.training.mtcnn.task as task_module
from lineament.export.mtcnn import check_networks
from lineament.export.registry import export_trained
from lineament.inference.mtcnn_detector import MtcnnDetector
from lineament.inference.mtcnn_model import MtcnnFile, MtcnnModel
from lineament.models.mtcnn import LAYERS, SIDES, Mtcnn, WindowNet, WindowOutput
from lineament.training.build import load_any
from lineament.training.checkpoint import load_checkpoint
from lineament.training.mtcnn.losses import WEIGHTS, window_counts, window_losses
from lineament.training.mtcnn.mining import make_cascade
from lineament.training.mtcnn.task import PLAIN
from lineament.training.registry import make_trainer

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
FACE = np.array([35.0, 20, 80, 75])
POINTS = np.array([[47.0, 40], [68, 40], [57, 52], [50, 65], [65, 65]])
"""Box and points of the face that the networks of a test know."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), count=12)


@pytest.fixture(scope="module")
def images(photos, tmp_path_factory):
    return ImageCache(tmp_path_factory.mktemp("images"), photos)


# windows


def test_windows_are_faces_parts_or_negatives_by_overlap(photos, images):
    make = WindowMaker(photos, images, 24, 1, PLAIN)
    window = np.array([[-0.5, -0.5, 23.5, 23.5]])
    seen = []
    for number in range(300):
        made = make(number)
        assert made.crop.shape == (24, 24, 3)
        outputs = made.presence, made.box, made.landmarks
        seen.append(tuple(bool(np.isfinite(each).all()) for each in outputs))
        if not seen[-1][1]:
            assert made.presence != 1
            continue
        overlap = iou(made.box, window)[0, 0]
        # boxes of drawn faces are square, so every overlap can be reached
        assert overlap >= FACE_IOU if made.presence == 1 else overlap >= 0.4
        assert overlap <= 1 if made.presence == 1 else overlap <= FACE_IOU
    # 3 : 1 : 1 : 2 of no face, parts, faces and points, by the outputs that each trains
    wanted = {
        (True, False, False): 3,
        (False, True, False): 1,
        (True, True, False): 1,
        (False, False, True): 2,
    }
    assert set(seen) == wanted.keys()
    for trained, share in wanted.items():
        assert seen.count(trained) == pytest.approx(300 * share / 7, abs=30)


def test_boxes_and_points_are_where_the_window_shows_them(photos, images):
    """A drawn face is bright with dark eyes, on a dark ground."""
    settings = PLAIN.model_copy(update={"flip": 0.5, "rotation_deg": 8.0})
    make = WindowMaker(photos, images, 96, 3, settings)
    eyes = chins = 0
    for number in range(60):
        made = make(number)
        if np.isfinite(made.box).all():
            x0, y0, x1, y1 = made.box
            chin = np.array([(x0 + x1) / 2, y0 + 0.9 * (y1 - y0)]).round().astype(int)
            if (chin >= 0).all() and (chin < 96).all():
                assert made.crop[chin[1], chin[0]].mean() > 150
                chins += 1
        if not np.isfinite(made.landmarks).all():
            continue
        for x, y in made.landmarks[:2].round().astype(int):
            if 0 <= x < 96 and 0 <= y < 96:
                assert made.crop[y, x].mean() < 60
                eyes += 1
        # the subject's right eye stays on the left of the window, mirrored or not
        assert made.landmarks[0, 0] < made.landmarks[1, 0]
    assert eyes > 10
    assert chins > 5


def test_windows_are_reproducible(photos, images):
    settings = Augmentation.model_validate({})
    one = WindowMaker(photos, images, 24, 1, settings)
    other = WindowMaker(photos, images, 24, 1, settings)
    again = WindowMaker(photos, images, 24, 2, settings)
    for number in (5, 3, 8):
        a, b = one(number), other(number)
        np.testing.assert_array_equal(a.crop, b.crop)
        np.testing.assert_array_equal(a.box, b.box)
    assert any((one(n).crop != again(n).crop).any() for n in range(5))


def test_half_of_the_negative_windows_are_hard_negatives(photos, images):
    empty = [i for i, photo in enumerate(photos) if photo.has_no_face()]
    only = [photos[i] for i in empty]
    cache = ImageCache(images_folder(only), only)
    hard = {i: np.array([[10.0, 20, 40, 50]]) for i in range(len(only))}
    make = WindowMaker(only, cache, 12, 1, PLAIN, hard)
    expected = {WindowMaker(only[:1], cache, 12, 1, PLAIN, {0: hard[0]})(0).crop.shape}
    assert expected == {(12, 12, 3)}
    drawn = []
    for number in range(200):
        rng = np.random.default_rng((1, number))
        rng.choice(make.kinds, p=make.shares)
        drawn.append(make._without_face(rng)[1])
    share = np.mean([np.array_equal(square, [10, 20, 40, 50]) for square in drawn])
    assert share == pytest.approx(0.5, abs=0.1)


def images_folder(photos):
    return photos[0].image.parent / "cache"


def test_negative_windows_overlap_faces_little(photos, images):
    make = WindowMaker(photos, images, 12, 1, PLAIN)
    for number in range(100):
        photo, square = make._without_face(np.random.default_rng(number))
        boxes = photos[photo].boxes
        assert iou(square, boxes).max(initial=0) < NEGATIVE_IOU


def test_photos_without_certain_labels_give_no_windows(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8))
    unknown = Photo(path, "people", np.zeros((0, 4)), "a", all_labeled=False)
    with pytest.raises(DataError, match="none of the 1 photos has labeled faces"):
        WindowMaker([unknown], ImageCache(tmp_path, [unknown]), 12, 1, PLAIN)


# networks and losses


@pytest.mark.parametrize("name", list(LAYERS))
def test_a_network_takes_one_window_of_its_size(name):
    net = WindowNet(name)
    crops = torch.zeros(3, net.size, net.size, 3, dtype=torch.uint8)
    assert net.scan(crops).shape == (3, 15, 1, 1)
    found = net(crops)
    assert (found.boxes.shape, found.landmarks.shape) == ((3, 4), (3, 5, 2))


def test_the_proposal_network_scans_an_image_like_separate_windows():
    torch.manual_seed(0)
    net = WindowNet("proposal")
    image = torch.randint(0, 256, (1, 30, 41, 3), dtype=torch.uint8)
    out = net.scan(image)
    for row, column in ((0, 0), (3, 7), (9, 2)):
        y, x = window_cascade.STRIDE * row, window_cascade.STRIDE * column
        alone = net.scan(image[:, y : y + 12, x : x + 12])
        torch.testing.assert_close(out[:, :, row, column], alone[:, :, 0, 0])


def test_only_the_hardest_windows_train_the_score():
    # cross-entropies of a face: log(1 + e), log 2, log(1 + 1/e); the fourth is unknown
    logits = torch.tensor([-1.0, 0.0, 1.0, 5.0])
    presence = torch.tensor([1.0, 1.0, 1.0, float("nan")])
    nothing = torch.full((4, 4), float("nan"))
    points = torch.full((4, 5, 2), float("nan"))
    output = WindowOutput(logits, torch.zeros(4, 4), torch.zeros(4, 5, 2))
    count = window_counts(presence, nothing, points)
    assert count.tolist() == [3, 0, 0]
    weights = (2.0, 0.5, 0.5)
    given = (output, presence, nothing, points, 12, weights)
    losses = window_losses(*given, hard_fraction=2 / 3, count=count)
    expected = 2.0 * (np.log(1 + np.e) + np.log(2)) / 2
    assert losses["score"].item() == pytest.approx(expected)
    assert losses["total"].item() == pytest.approx(expected)
    every = window_losses(*given, hard_fraction=1.0, count=count)["score"].item()
    assert every == pytest.approx(expected * 2 / 3 + 2 * np.log(1 + 1 / np.e) / 3)


def test_errors_of_known_boxes_and_points_are_relative_to_the_window_side():
    nan = float("nan")
    boxes = torch.tensor([[0.0, 0, 12, 12], [nan] * 4])
    found = WindowOutput(
        torch.zeros(2, requires_grad=True),
        torch.tensor([[3.0, 0, 12, 6], [1, 2, 3, 4]], requires_grad=True),
        torch.full((2, 5, 2), 6.0, requires_grad=True),
    )
    points = torch.stack([torch.full((5, 2), nan), torch.zeros(5, 2)])
    presence = torch.tensor([1.0, nan])
    count = window_counts(presence, boxes, points)
    assert count.tolist() == [1, 1, 1]
    losses = window_losses(
        found, presence, boxes, points, 12, (0.0, 1.0, 0.5), 0.7, count
    )
    # (3 / 12)^2 + (6 / 12)^2, and half of ten times (6 / 12)^2
    assert losses["box"].item() == pytest.approx(0.3125)
    assert losses["points"].item() == pytest.approx(1.25)
    losses["total"].backward()
    for each in (found.logits, found.boxes, found.landmarks):
        assert torch.isfinite(each.grad).all()
    assert (found.boxes.grad[1] == 0).all()


def drawn_windows(size, seeds=(0, 1, 2)):
    """Return windows (B, size, size, 3) of drawn faces, their boxes and five points."""
    crops, boxes, points = [], [], []
    rng = np.random.default_rng(0)
    for seed in seeds:
        image = np.full((size, size, 3), 60 + 20 * seed, np.uint8)
        side = size * rng.uniform(0.6, 0.8)
        center = size / 2 + rng.uniform(-0.05, 0.05, 2) * size
        draw_face(image, center, side, rng.uniform(-10, 10))
        crops.append(image)
        boxes.append([*(center - side / 2), *(center + side / 2)])
        points.append(five_points(center, side))
    return (
        torch.from_numpy(np.stack(crops)),
        torch.tensor(np.array(boxes), dtype=torch.float32),
        torch.tensor(np.stack(points), dtype=torch.float32),
    )


def fit(net, crops, presence, boxes, points, steps, lr=2e-3):
    """Train a network on a few windows."""
    name = next(name for name, side in SIDES.items() if side == net.size)
    optimizer = torch.optim.Adam(net.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    count = window_counts(presence, boxes, points)
    for _ in range(steps):
        optimizer.zero_grad()
        given = (presence, boxes, points, net.size, WEIGHTS[name], 0.7, count)
        window_losses(net(crops), *given)["total"].backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def test_the_output_network_overfits_three_faces():
    torch.manual_seed(0)
    crops, boxes, points = drawn_windows(48)
    model = Mtcnn(3)
    fit(model.last, crops, torch.ones(3), boxes, points, steps=250)
    with torch.no_grad():
        found = model(crops).landmarks
    errors = (found - points).norm(dim=-1).mean(1)
    eyes = (points[:, 0] - points[:, 1]).norm(dim=-1)
    assert (errors / eyes).max() < 0.005


# the cascade


def oracle(network, given):
    """Return the outputs of a perfect network for FACE, in images whose colors encode positions."""
    side = SIDES[network]
    stride = window_cascade.STRIDE
    rows = (given.shape[1] - side) // stride + 1
    columns = (given.shape[2] - side) // stride + 1
    found = np.full((len(given), 15, rows, columns), -9.0, np.float32)
    for number, image in enumerate(given / 2):
        for row in range(rows):
            for column in range(columns):
                y, x = stride * row, stride * column
                part = image[y : y + side, x : x + side]
                # the outermost pixels are centers, half a pixel within the window
                start, end = part[side // 2, 0, 0], part[side // 2, -1, 0]
                top, bottom = part[0, side // 2, 1], part[-1, side // 2, 1]
                step = np.array([end - start, bottom - top]) / (side - 1)
                if (step <= 0).any():
                    continue
                corner = np.array([start, top]) - step / 2
                window = np.concatenate([corner, corner + step * side])
                overlap = iou(window, FACE)[0, 0]
                found[number, 0, row, column] = 8 * (overlap - 0.4)
                offsets = (FACE - window) / np.tile(step * side, 2)
                found[number, 1:5, row, column] = offsets
                five = (POINTS - corner) / (step * side)
                found[number, 5:, row, column] = five.ravel()
    return found


def position_image():
    """Return an image whose red is twice its x and whose green is twice its y."""
    image = np.zeros((100, 120, 3), np.uint8)
    image[..., 0] = 2 * np.arange(120)
    image[..., 1] = 2 * np.arange(100)[:, None]
    return image


@pytest.mark.parametrize("networks", [1, 2, 3])
def test_the_cascade_finds_the_face_with_perfect_networks(networks):
    sides = dict(list(SIDES.items())[:networks])
    cascade = WindowCascade(oracle, sides, (0.6, 0.7, 0.7))
    found = cascade(position_image(), 25.0)
    assert len(found) == 1
    # a color is half a pixel, and shrinking an image rounds colors up
    assert found.boxes[0] == pytest.approx(FACE, abs=0.5)
    assert found.landmarks[0] == pytest.approx(POINTS, abs=0.5)
    assert found.scheme == "five"


def test_strips_cover_every_window_of_an_image_once(monkeypatch):
    torch.manual_seed(0)
    cascade = make_cascade(Mtcnn(1).eval(), (0.4,))
    image = np.random.default_rng(0).integers(0, 256, (97, 31, 3), dtype=np.uint8)
    entire = cascade._scan(image, "proposal", 0.0)
    monkeypatch.setattr(window_cascade, "MAX_PASS_PX", 31 * 31)
    strips = list(cascade._strips(image, 12))
    assert len(strips) == 5
    parts = [
        cascade._scan(part, "proposal", 0.0).shifted(0, top) for top, part in strips
    ]
    boxes = np.concatenate([part.boxes for part in parts])
    assert len(boxes) == len(entire.boxes)
    order = [np.lexsort(each.T) for each in (boxes, entire.boxes)]
    np.testing.assert_allclose(
        boxes[order[0]], entire.boxes[order[1]], rtol=0, atol=1e-4
    )


def test_the_pyramid_ends_at_a_single_window():
    scales = list(pyramid_scales((120, 300, 3), 12, 24.0))
    # from 12 / 24 in steps of 0.709 down to 12 / 120
    assert scales[0] == 0.5
    assert scales[-1] >= 0.1 > scales[-1] * 0.709
    assert len(scales) == 5
    assert list(pyramid_scales((8, 300, 3), 12, 12.0)) == []
    # images are enlarged twice at most
    assert next(pyramid_scales((120, 300, 3), 12, 3.0)) == 2.0


def test_an_image_without_a_face_or_too_small_gives_an_empty_result():
    cascade = WindowCascade(oracle, SIDES, (0.6, 0.7, 0.7))
    for shape in ((100, 120, 3), (6, 6, 3)):
        found = cascade(np.zeros(shape, np.uint8), 25.0)
        assert (len(found), found.landmarks.shape) == (0, (0, 5, 2))


# training, one network after the other


def recipe(stages, **changes):
    values = {
        "name": f"mtcnn-{stages}",
        "scheme": "five",
        "data": [{"reader": "folder", "folder": changes.pop("faces")}],
        "model": {"kind": "mtcnn", "stages": stages, "min_scores": (0.2, 0.2)},
        "train": {
            "steps": 8,
            "batch": 16,
            "warmup": 2,
            "threads": 1,
            "num_workers": 0,
            "validate_every": 4,
        },
    }
    for key, value in changes.items():
        part, _, last = key.rpartition(".")
        (values[part] if part else values)[last] = value
    return make_recipe(values, "test")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 60)
    return str(folder)


@pytest.fixture(scope="module", autouse=True)
def drawn_photos(photos):
    """Read the drawn photos in place of data sets."""
    patch = pytest.MonkeyPatch()
    for module in (task_module, export_module):
        patch.setattr(module, "read_detector_photos", lambda root, kinds: photos)
    patch.setattr(task_module, "VALIDATION_WINDOWS", task_module.VALIDATION_BATCH)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def runs(faces, tmp_path_factory):
    """Return the folder of three short runs, and the checkpoint of each."""
    root, checkpoints, start = tmp_path_factory.mktemp("runs"), [], ""
    for stages in (1, 2, 3):
        settings = recipe(stages, faces=faces, init_from=start)
        run = make_trainer(settings, root / str(stages), root, root / "cache")
        checkpoints.append(run.run())
        start = str(checkpoints[-1])
    return root, checkpoints


def test_each_run_trains_only_its_last_network(runs):
    _, (first, second, third) = runs
    weights = [load_checkpoint(path)["model"] for path in (first, second, third)]
    averages = [load_checkpoint(path)["average"] for path in (first, second, third)]
    for name, value in averages[0].items():
        assert torch.equal(weights[1][name], value), name
        assert torch.equal(averages[1][name], value), name
    for name, value in averages[1].items():
        assert torch.equal(weights[2][name], value), name
    fresh = Mtcnn(2).state_dict()
    assert weights[1].keys() == fresh.keys()
    log = (second.parent / "log.csv").read_text().splitlines()[-1]
    assert "presence_missed=" in log
    assert "nme_" in log


def test_negative_windows_are_mined_with_the_previous_networks(runs, photos, images):
    root, (first, *_) = runs
    net, _ = load_any(first)
    found = task_module.cached_false_positives(
        net, (0.2,), photos, images, root / "mined"
    )
    assert found
    for photo, squares in found.items():
        assert (iou(squares, photos[photo].boxes).max(1, initial=0) < 0.3).all()
        sides = squares[:, 2:] - squares[:, :2]
        np.testing.assert_allclose(sides[:, 0], sides[:, 1])
    again = task_module.cached_false_positives(
        net, (0.2,), photos, images, root / "mined"
    )
    assert list(again) == list(found)
    for photo, squares in found.items():
        np.testing.assert_array_equal(again[photo], squares)


@pytest.mark.parametrize("stages", [1, 2])
def test_a_killed_run_resumed_equals_an_uninterrupted_one(
    runs, faces, stages, tmp_path
):
    root, checkpoints = runs
    start = str(checkpoints[stages - 2]) if stages > 1 else ""
    settings = recipe(stages, faces=faces, init_from=start)
    unbroken = load_checkpoint(checkpoints[stages - 1])
    killed = make_trainer(settings, tmp_path / "run", root, root / "cache")
    for step in killed.steps():
        if step == 3:
            killed.save()
        if step == 5:
            break
    # negatives are mined again, with the networks in the run's checkpoint
    resumed = make_trainer(
        settings, tmp_path / "run", root, tmp_path / "cache", resume=True
    )
    state = load_checkpoint(resumed.run())
    for part in ("model", "average"):
        for name, value in unbroken[part].items():
            assert torch.equal(value, state[part][name]), name


def test_losses_of_accumulated_batches_add_up(runs, faces, tmp_path):
    root, _ = runs
    # without a choice of hard windows, which is made per pass
    changes = {"faces": faces, "train.steps": 1, "model.hard_fraction": 1.0}
    weights = []
    for name, accumulate in (("one", 1), ("four", 4)):
        settings = recipe(1, **changes, **{"train.accumulate": accumulate})
        run = make_trainer(settings, tmp_path / name, root, root / "cache")
        weights.append(load_checkpoint(run.run())["model"])
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, msg=name)


def test_invalid_recipes_are_rejected_with_the_reason(
    runs, faces, tmp_path, monkeypatch
):
    root, (first, *_) = runs
    places = tmp_path, root, root / "cache"
    with pytest.raises(RecipeError, match=r"model\.stages is 2 without init_from"):
        make_trainer(recipe(2, faces=faces), *places)
    third = recipe(3, faces=faces, init_from=str(first))
    with pytest.raises(
        RecipeError, match=r"has no network 'refine', but model\.stages"
    ):
        make_trainer(third, *places)
    with pytest.raises(RecipeError, match="scheme is ibug68; an mtcnn has five"):
        make_trainer(recipe(1, faces=faces, scheme="ibug68"), *places)
    with pytest.raises(RecipeError, match=r"model\.stages .*less than or equal to 3"):
        recipe(4, faces=faces)
    with pytest.raises(RecipeError, match=r"model\.size .*48"):
        recipe(1, faces=faces, **{"model.size": 64})
    known = task_module.read_detector_photos(root, ())
    for kind, message in (
        (True, "no face with five points"),
        (False, "no photo in which"),
    ):
        chosen = []
        for photo in known:
            if photo.has_no_face() is kind:
                chosen.append(Photo(photo.image, photo.kind, photo.boxes, photo.name,
                                    five=photo.five, all_labeled=kind))  # fmt: skip
        monkeypatch.setattr(
            task_module, "read_detector_photos", lambda root, kinds, made=chosen: made
        )
        with pytest.raises(DataError, match=message):
            make_trainer(recipe(1, faces=faces), *places)


# the file


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    """Return the card, the file and the network of an exported run."""
    root, (*_, third) = runs
    out = tmp_path_factory.mktemp("out")
    card = export_trained(third, out, "tiny", False, root, root / "cache")
    return card, out / "tiny.onnx", load_any(third)[0]


def test_the_file_predicts_like_torch(exported):
    card, path, net = exported
    assert card["gate"]["max_difference"] < 1e-3
    assert card["gate"]["largest_move_px"] < 0.05
    assert json.loads(path.with_suffix(".json").read_text()) == card
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    model = load_model(path)
    assert isinstance(model, MtcnnModel)
    with torch.no_grad():
        wanted = net(torch.from_numpy(crops))
    found = model.predict(crops)
    np.testing.assert_allclose(found.landmarks_crop, wanted.landmarks, atol=1e-3)
    scale = card["sigma"]
    expected = (scale["slope"] * wanted.variance + scale["floor"]).sqrt()
    np.testing.assert_allclose(found.sigma_px, expected, rtol=1e-4)
    with pytest.raises(ExportError, match="ONNX differs from torch by"):
        check_networks(Mtcnn(3).eval(), path)


def test_batched_prediction_equals_single_prediction(exported):
    model = load_model(exported[1])
    crops = np.random.default_rng(1).integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)
    batch = model.predict(crops)
    for row in range(5):
        alone = model.predict(crops[row : row + 1])
        np.testing.assert_allclose(
            batch.landmarks_crop[row], alone.landmarks_crop[0], atol=1e-3
        )
        np.testing.assert_allclose(batch.scores[row], alone.scores[0], atol=1e-5)
    assert model.predict(crops[:0]).landmarks_crop.shape == (0, 5, 2)


def test_sigma_is_calibrated_on_validation_faces(exported, runs, faces):
    from lineament.data.crop_cache import plain_crops, plain_landmarks
    from lineament.data.mixture import read_mixture

    _, path, _ = exported
    root, _ = runs
    model, parts = load_model(path), recipe(3, faces=faces).data
    _, validation = read_mixture(parts, "five", root, root / "cache", crop=(48, 1.1))
    (cache,) = validation.values()
    crops = np.concatenate([part for part, _ in plain_crops(cache, 48, 1.1, 32)])
    found = model.predict(crops)
    errors = found.landmarks_crop - plain_landmarks(cache, 48, 1.1)
    ratios = np.linalg.norm(errors, axis=-1) / found.sigma_px
    # 95 % of the errors lie under 2 sigma; one point of 40 is 2.5 %
    assert np.mean(ratios < 2) == pytest.approx(0.95, abs=0.026)


def test_the_file_is_a_detector(exported):
    card, path, _ = exported
    detector = detector_of_file(path)
    assert isinstance(detector, MtcnnDetector)
    assert detector.threshold == card["min_scores"][-1]
    image = np.full((90, 120, 3), 90, np.uint8)
    draw_face(image, (60, 45), 50)
    found = MtcnnDetector(path, threshold=0.0, min_face=20)(image)
    assert found.scheme == "five"
    assert found.landmarks.shape == (len(found), 5, 2)
    assert (np.diff(found.scores) <= 0).all()
    again = MtcnnDetector(path, threshold=0.0, min_face="20px")(image)
    np.testing.assert_array_equal(again.boxes, found.boxes)
    faces = Predictor(path, detector=detector)(image)
    assert faces.scheme == "five"
    assert len(detector(np.zeros((0, 9, 3), np.uint8))) == 0


def test_the_smallest_face_sets_the_search(exported):
    path = exported[1]
    assert MtcnnDetector(path).smallest_px((480, 640, 3)) == 20
    # twice as long as an image that is searched at its own size
    assert MtcnnDetector(path).smallest_px((480, 2048, 3)) == 40
    assert MtcnnDetector(path, min_face=33).smallest_px((480, 2048, 3)) == 33
    assert MtcnnDetector(path, min_face=0.1).smallest_px((480, 640, 3)) == 64
    with pytest.raises(InputError, match="min_face is 'tiny'"):
        MtcnnDetector(path, min_face="tiny")


def test_wrong_files_and_crops_are_rejected(exported, runs, tmp_path):
    _, path, _ = exported
    root, (first, _, third) = runs
    model = load_model(path)
    with pytest.raises(ShapeError, match=r"crops are uint8 \(2, 40, 40, 3\)"):
        model.predict(np.zeros((2, 40, 40, 3), np.uint8))
    with pytest.raises(ShapeError, match="model 'tiny' is not recurrent"):
        model.predict(np.zeros((1, 48, 48, 3), np.uint8), np.zeros((1, 2, 3, 4)))
    with pytest.raises(ShapeError, match="expected uint8"):
        MtcnnDetector(path)(np.zeros((9, 9), np.uint8))
    with pytest.raises(ModelError, match="no model file at"):
        MtcnnDetector(tmp_path / "none.onnx")
    places = root, root / "cache"
    with pytest.raises(
        InputError, match="has the networks proposal; expected proposal, "
    ):
        export_trained(first, tmp_path, "one", False, *places)
    with pytest.raises(InputError, match="omit --int8 and --scheme"):
        export_trained(third, tmp_path, "eight", True, *places)
    with pytest.raises(InputError, match=r"the name is '\.\./a'"):
        export_trained(third, tmp_path, "../a", False, *places)
    assert list(tmp_path.iterdir()) == []


# faces at any roll


@pytest.fixture(scope="module")
def upright():
    """Return an output network trained to tell upright drawn faces from rotated ones and parts."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    crops, boxes, points, presence = [], [], [], []
    for number in range(40):
        roll = rng.uniform(-40, 40)
        side, center = 48 / rng.uniform(1.0, 1.25), 23.5 + rng.uniform(-2, 2, 2)
        if 16 <= number < 32:
            roll += (90.0, 180.0, -90.0)[number % 3]
        elif number >= 32:
            # a part of a face, which fills the crop
            side *= rng.uniform(3, 8)
        image = np.full((48, 48, 3), 80, np.uint8)
        draw_face(image, center, side, roll)
        crops.append(image)
        points.append(five_points(center, side, roll))
        boxes.append([*(center - side / 2), *(center + side / 2)])
        presence.append(float(number < 16))
    net = Mtcnn(3)
    known = torch.tensor(presence)[:, None] > 0
    nan = torch.tensor(float("nan"))
    given = torch.tensor(np.array(boxes), dtype=torch.float32)
    five = torch.tensor(np.stack(points), dtype=torch.float32)
    fit(
        net.last,
        torch.from_numpy(np.stack(crops)),
        torch.tensor(presence),
        torch.where(known, given, nan),
        torch.where(known[..., None], five, nan),
        steps=120,
    )
    return TorchModel(net)


class TorchModel:
    """A landmark model that runs a network, with the uncertainty of its exported file."""

    name, scheme, points, size, padding = "upright", "five", 5, 48, 1.1

    def __init__(self, net):
        self.net = net

    @torch.no_grad()
    def predict(self, crops, memory=None):
        found = self.net(torch.from_numpy(crops))
        uncertainty = Uncertainty(slope=4.0, floor=0.5, near_exponent=3.5)
        return uncertainty(found.landmarks.numpy(), found.variance.numpy())


@pytest.mark.parametrize("roll", [0.0, 20.0, 90.0, 180.0, -90.0])
@pytest.mark.parametrize("known", [True, False])
def test_a_face_at_any_roll_is_found_by_the_same_re_crops(upright, roll, known):
    image = np.full((160, 160, 3), 80, np.uint8)
    draw_face(image, (80, 80), 70, roll)
    truth = five_points((80, 80), 70, roll)
    turned = face_landmarks((80, 80), 70, 0.0)
    box = landmark_box(turned)
    rolls = np.array([roll if known else np.nan])

    def detect(_):
        return Detections(box[None], np.ones(1), rolls)

    predictor = Predictor(upright, detector=detect, min_landmark_score=0.0)
    (face,) = predictor(image)
    error = np.linalg.norm(face.landmarks - truth, axis=1).mean() / box_side(box)
    assert error < 0.06
    assert face.scores.mean() > 0.7


def test_the_networks_of_a_file_run_by_their_names(exported):
    file = MtcnnFile(exported[1], 1)
    assert file.sides == SIDES
    for name, side in SIDES.items():
        found = file.run(name, np.zeros((2, side, side, 3), np.uint8))
        assert found.shape == (2, 15, 1, 1)
    wide = file.run("proposal", np.zeros((1, 33, 50, 3), np.uint8))
    # (33 - 2) / 2 rounded up less 4, and (50 - 2) / 2 less 4
    assert wide.shape == (1, 15, 12, 20)
