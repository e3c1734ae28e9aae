"""Temporal refinement: clips are cached, runs resume, exported models carry their state."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faces import write_faces
from lineament import Predictor
from lineament.crop import scale_and_shift
from lineament.data import clip_cache
from lineament.data.clip_cache import clips_from_stills
from lineament.data.mixture import read_mixture
from lineament.data.synthetic_clips import ClipSettings
from lineament.data.training_windows import TrainingWindows
from lineament.errors import (
    DataError,
    ExportError,
    ModelError,
    RecipeError,
    ShapeError,
    TrainError,
)
from lineament.export.registry import export_trained
from lineament.geometry import compose, crop_affine, fit_similarity, flip_affine
from lineament.inference.onnx_model import Model
from lineament.inference.recurrent_state import RecurrentState
from lineament.inference.registry import load_model
from lineament.labeling.video_clips import clips_from_videos
from lineament.models.backbones.registry import BACKBONES
from lineament.models.landmark_net import LandmarkNet
from lineament.recipe.file import make_recipe
from lineament.schemes import scheme
from lineament.training.build import load_any, load_trained
from lineament.training.checkpoint import load_checkpoint, save_weights
from lineament.training.registry import task_for
from lineament.training.temporal import task as refine
from lineament.training.temporal.task import predict_clips
from lineament.training.trainer import Trainer
from scenes import scene
from tiny import Tiny, killed

pytestmark = [
    pytest.mark.torch,
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

CLIP = ClipSettings(frames=6, size=96, expression=0)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(BACKBONES, "tiny", Tiny)
    monkeypatch.setattr(refine, "CLIP", CLIP)
    monkeypatch.setattr(refine, "VALIDATION_CLIPS", 2)
    monkeypatch.setattr(refine, "VALIDATION_FRAMES", 5)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with drawn faces."""
    folder = tmp_path_factory.mktemp("data")
    write_faces(folder / "faces", 30)
    return folder


def detector_recipe(root, **model):
    return {
        "name": "small",
        "data": [{"reader": "folder", "folder": str(root / "faces")}],
        "model": {
            "backbone": "tiny",
            "imagenet": False,
            "channels": 16,
            "size": 64,
            "head": "attentive1d-gaussian",
        }
        | model,
        "losses": {"mse_1d": 1.0},
        "train": {
            "steps": 4,
            "batch": 4,
            "warmup": 0,
            "bf16": False,
            "threads": 1,
            "num_workers": 0,
            "validate_every": 4,
        },
    }


@pytest.fixture(scope="module")
def detector(root):
    """Return the checkpoint of a barely trained detector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", Tiny)
        return trainer(
            root, make_recipe(detector_recipe(root)), root / "detector", "train"
        ).run()


def trainer(root, recipe, folder, kind="refine", resume=False):
    return Trainer(task_for(recipe, kind), folder, root, root / "cache", resume)


def recipe(root, detector, **changes):
    values = detector_recipe(root) | {
        "init_from": str(detector),
        "refine": {"window": 3, "clips": 4, "frames": 6},
    }
    for key, value in changes.items():
        place, _, last = key.rpartition(".")
        (values.setdefault(place, {}) if place else values)[last] = value
    return make_recipe(values)


@pytest.fixture(scope="module")
def sources(root):
    made = make_recipe(detector_recipe(root))
    return [
        source.cache
        for source in read_mixture(made.data, "ibug68", root, root / "cache")[0]
    ]


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def clips(root, sources, lines):
    return clips_from_stills(
        sources, "ibug68", root / "cache", 3, CLIP, 0, lines.append
    )


def test_making_clips_prints_its_progress(clips, lines):
    assert lines == [f"making clips of 6 frames: {k} of 3" for k in range(3)]


def test_frames_are_cropped_around_the_face_of_the_previous_frame(clips):
    assert clips.clip.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert clips.cache.crops.shape == (
        18,
        clip_cache.FRAME_SIZE,
        clip_cache.FRAME_SIZE,
        3,
    )
    middle = (clips.cache.landmarks.min(1) + clips.cache.landmarks.max(1)) / 2
    away = np.abs(middle - (clip_cache.FRAME_SIZE - 1) / 2).max(1)
    assert (
        away[[0, 6, 12]].max() < 4
    )  # the first frame of a clip is cropped around its own face, without roll
    assert 0 < away.max() < 0.2 * clip_cache.FRAME_SIZE
    assert len(np.unique(clips.cache.boxes, axis=0)) == 1


def test_clips_are_made_once(root, sources, clips, monkeypatch):
    monkeypatch.setattr(clip_cache, "make_clip", None)
    again = clips_from_stills(sources, "ibug68", root / "cache", 3, CLIP, 0)
    np.testing.assert_array_equal(again.cache.crops, clips.cache.crops)
    np.testing.assert_array_equal(again.cache.landmarks, clips.cache.landmarks)
    with pytest.raises(TypeError):
        clips_from_stills(sources, "ibug68", root / "cache", 3, CLIP, 1)


def test_killed_clip_making_leaves_no_files(tmp_path, sources, monkeypatch):
    def dies(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(clip_cache, "make_clip", dies)
    with pytest.raises(KeyboardInterrupt):
        clips_from_stills(sources, "ibug68", tmp_path, 3, CLIP, 0)
    assert list(tmp_path.iterdir()) == []


def test_windows_are_runs_of_one_clip_with_its_landmarks(clips):
    windows = TrainingWindows([clips], "ibug68", 4, 64, 1.3, 1)
    order = windows.order(0, 0.0)
    assert sorted(order[:, 1].tolist()) == [0, 1, 2, 6, 7, 8, 12, 13, 14]
    assert not np.array_equal(order, windows.order(1, 0.0))
    mirrored = set()
    for position in range(8):
        made, again = (windows.make(0, position, 0, 7) for _ in range(2))
        landmarks = made["landmarks"]
        assert made["crops"].shape == (4, 64, 64, 3)
        assert landmarks.shape == (4, 68, 2)
        assert made["crop_motion"].shape == (4, 3)
        for name, value in made.items():
            np.testing.assert_array_equal(value, again[name])
        # the scheme's right eye is on the left of the image, mirrored or not
        assert (landmarks[:, 36, 0] < landmarks[:, 45, 0]).all()
        assert 15 < np.ptp(landmarks[0, :, 0]) < 64
        first = windows.make(0, 0, 0, 7)["landmarks"]
        mirrored.add(bool(np.abs(landmarks[0].mean(0) - first[0].mean(0)).max() > 1e-6))
    assert mirrored == {False, True}
    with pytest.raises(
        DataError, match=r"no clip has 7 frames in a row; lower refine\.window"
    ):
        TrainingWindows([clips], "ibug68", 7, 64, 1.3, 1)


def test_crop_motion_matches_the_crops(clips):
    windows, mirror, mirrored = (
        TrainingWindows([clips], "ibug68", 4, 64, 1.3, 1),
        scheme("ibug68").mirror,
        set(),
    )
    for position in range(6):
        made = windows.make(0, position, 0, 6)
        points = made["landmarks"].astype(float)
        cached = clips.cache.landmarks[6:10]
        mirrored_now = (
            np.random.default_rng([1, 0, position]).random() < 0.5
        )  # the first draw
        if mirrored_now:
            mirrored.add(True)
            points[..., 0] = 63 - points[..., 0]
            points = points[:, mirror]
        # from the clip's images to each crop
        cuts = [
            compose(fit_similarity(c, p), a)
            for c, p, a in zip(cached, points, clips.affines[6:10], strict=True)
        ]
        if mirrored_now:
            cuts = [compose(flip_affine(64), cut) for cut in cuts]
        assert made["crop_motion"][0].tolist() == [1, 0, 0]
        for t in range(1, 4):
            scale, *shift = made["crop_motion"][t].tolist()
            wanted = scale_and_shift(cuts[t - 1], cuts[t], 64)
            assert scale == pytest.approx(wanted[0], abs=1e-4)
            assert shift == pytest.approx(wanted[1].tolist(), abs=0.02)
    assert mirrored


def write_video(path, frames):
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (width, height)
    )
    for frame in frames:
        video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    video.release()


def test_a_tracker_labels_videos_clip_by_clip(tmp_path):
    shown = [scene(("astronaut", 110, 100 + 2 * k, 120)) for k in range(6)]
    write_video(tmp_path / "walk.avi", [*shown, *[scene()] * 3, *shown])
    clips = clips_from_videos(
        [tmp_path / "walk.avi"], "fast", "ibug68", tmp_path / "cache", 15, 4
    )
    assert np.unique(clips.clip).tolist() == [0, 1]  # the face was absent in between
    assert (np.bincount(clips.clip) >= 4).all()
    known = np.isfinite(clips.cache.landmarks).all(2)
    assert known.mean() > 0.9
    # labels match predictions in the cached image
    k = 2
    found = Predictor("fast", threads=1)(
        np.ascontiguousarray(clips.cache.crops[k]), clips.cache.boxes[k][None]
    )
    away = np.linalg.norm(found[0].landmarks - clips.cache.landmarks[k], axis=1)
    assert np.nanmean(away) < 2.5  # of 160 px
    with pytest.raises(DataError, match="no face is tracked long enough"):
        clips_from_videos(
            [tmp_path / "walk.avi"], "fast", "ibug68", tmp_path / "cache", 15, 12
        )
    five = clips_from_videos(
        [tmp_path / "walk.avi"], "fast", "five", tmp_path / "cache", 15, 4
    )
    assert five.cache.landmarks.shape[1:] == (5, 2)


def test_a_run_trains_only_the_refinement_and_resumes_exactly(root, detector, tmp_path):
    made = recipe(root, detector)
    whole = load_checkpoint(trainer(root, made, tmp_path / "whole").run())
    killed(trainer(root, made, tmp_path / "killed"), saved=1, dies=2)
    resumed = load_checkpoint(
        trainer(root, made, tmp_path / "killed", resume=True).run()
    )
    for key, value in whole["model"].items():
        assert torch.equal(value, resumed["model"][key]), key
    start = load_checkpoint(detector)["average"]
    for key, value in start.items():
        assert torch.equal(whole["model"][f"net.{key}"], value), key
    moved = [
        key
        for key in whole["model"]
        if key.startswith("refine.decode") and whole["model"][key].abs().sum() > 0
    ]
    assert moved
    log = (tmp_path / "whole/log.csv").read_text()
    assert "clips" in log
    assert "detector" in log


def test_validation_carries_a_separate_state_through_each_clip(
    root, detector, tmp_path
):
    run = trainer(root, recipe(root, detector, **{"train.lr": 0.01}), tmp_path / "run")
    run.run()
    model, clips = run.model.eval(), run.task.validation_clips
    together = predict_clips(model, clips, 1.3)
    memory, before = None, None
    crops = np.concatenate([c for c, _ in refine.plain_crops(clips.cache, 64, 1.3, 64)])
    for k in np.flatnonzero(clips.clip == 1):
        now = compose(crop_affine(clips.cache.boxes[k], 64, 1.3), clips.affines[k])[
            None
        ]
        if memory is not None:  # as a tracker does
            memory = torch.from_numpy(
                RecurrentState(memory.numpy(), before).moved_to(now, 64)
            )
        with torch.no_grad():
            raw, memory = model.follow(torch.from_numpy(crops[k : k + 1]), memory)
        before = now
        np.testing.assert_allclose(raw.landmarks.numpy()[0], together[k], atol=1e-3)
    assert (
        np.abs(together - predict_clips(model, clips, 1.3, refine=False)).max() > 1e-3
    )


@pytest.mark.slow
def test_an_exported_model_carries_its_state(root, detector, tmp_path):
    pytest.importorskip("onnxscript")
    made = recipe(root, detector, **{"train.lr": 0.01})
    checkpoint = trainer(root, made, tmp_path / "run").run()
    card = export_trained(checkpoint, tmp_path, "small", False, root, root / "cache")
    model, (net, _) = Model(tmp_path / "small.onnx", 1), load_any(checkpoint)
    assert model.memory == tuple(card["memory"]) == (2, 128, net.cells)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (3, 2, 64, 64, 3), dtype=np.uint8)
    memory, wanted = None, None
    for crops in frames:
        heads = model.predict(crops, memory)
        memory = heads.memory
        with torch.no_grad():
            raw, wanted = net.follow(torch.from_numpy(crops), wanted)
        np.testing.assert_allclose(
            heads.landmarks_crop, raw.landmarks.numpy(), atol=0.05
        )
    assert (
        np.abs(heads.landmarks_crop - model.predict(frames[-1]).landmarks_crop).max()
        > 1e-3
    )
    with pytest.raises(
        ShapeError, match=r"memory is \(1, 2, 128, \d+\); expected \(2, 2, 128, \d+\)"
    ):
        model.predict(frames[0], memory[:1])
    with pytest.raises(
        ExportError,
        match="a recurrent model can only be exported in fp32; omit --int8",
    ):
        export_trained(checkpoint, tmp_path, "small", True, root, root / "cache")


def test_a_checkpoint_loads_as_tracker_or_detector(root, detector, tmp_path):
    made = recipe(root, detector, **{"train.steps": 1})
    tracker = trainer(root, made, tmp_path / "run").run()
    with pytest.raises(
        ModelError, match=r"a recurrent tracker, which cannot be used here; give"
    ):
        load_trained(tracker)
    # the recipe of a detector may have the part for its tracker
    plain = make_recipe(detector_recipe(root) | {"refine": {}, "name": "both"})
    both = trainer(root, plain, tmp_path / "both", "train").run()
    assert isinstance(load_any(both)[0], LandmarkNet)


def test_refined_heatmaps_are_trained_by_their_expectation(root, detector, tmp_path):
    values = detector_recipe(root, decoder="argmax") | {"name": "argmax"}
    start = trainer(root, make_recipe(values), tmp_path / "start", "train").run()
    made = recipe(
        root,
        start,
        losses={"smooth_l1": 1.0},
        **{"model.decoder": "argmax", "train.steps": 2},
    )
    state = load_checkpoint(trainer(root, made, tmp_path / "run").run())
    assert state["model"]["refine.decode_x.2.weight"].abs().sum() > 0


def test_a_model_without_a_state_rejects_one():
    model = load_model("fast", threads=1)
    with pytest.raises(
        ShapeError,
        match="a recurrent state is given, but the model 'fast' is not recurrent; omit it",
    ):
        model.predict(
            np.zeros((1, model.size, model.size, 3), np.uint8),
            np.zeros((1, 2, 128, 64), np.float32),
        )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"refine": None},
            RecipeError,
            r"the recipe 'small' has no \[refine\]; add it, or use lineament train",
        ),
        (
            {"init_from": ""},
            RecipeError,
            "the recipe 'small' has no init_from; set it to the checkpoint of a landmark model",
        ),
        (
            {"model.head": "heatmap2d"},
            RecipeError,
            "only 1D heatmaps can be refined",
        ),
        (
            {"model.length": 2.0},
            RecipeError,
            r"model\.length is 2\.0, but None in init_from .*; set it to the detector",
        ),
        (
            {"sigma": 2.0},
            RecipeError,
            r"sigma is 2\.0, but 1\.2 in init_from .*; set it to the detector's value",
        ),
        (
            {"model.padding": 1.5},
            RecipeError,
            r"model\.padding is 1\.5, but 1\.3 in init_from .*; set it to the",
        ),
        (
            {"model.head": "attentive1d"},
            RecipeError,
            r"model\.head is 'attentive1d', but 'attentive1d-gaussian' in init_from ",
        ),
        (
            {"model.channels": 24},
            ModelError,
            r"checkpoint\.pt: its weights do not fit the recipe's model; give the detector's",
        ),
        (
            {"refine.clips": 0},
            RecipeError,
            "has neither clips nor videos; set refine.clips above 0, or list videos",
        ),
        (
            {"refine.videos": ["nowhere"]},
            RecipeError,
            "names 'nowhere', which is neither a path nor in ",
        ),
        (
            {"refine.videos": ["faces"]},
            RecipeError,
            "names 'faces', which contains no video; give a video or a folder",
        ),
        (
            {"refine.videos": ["talking_face"]},
            RecipeError,
            "but talking_face is test data; remove it",
        ),
        (
            {"refine.videos": ["copied"]},
            RecipeError,
            "but talking_face is test data; remove it",
        ),
        (
            {"refine.window": 9},
            DataError,
            r"no clip has 9 frames in a row; lower refine\.window",
        ),
    ],
)
def test_data_that_cannot_be_trained_on_is_rejected(
    root, detector, tmp_path, changes, error, message
):
    (root / "talking_face").mkdir(exist_ok=True)
    (root / "talking_face/franck.webm").touch()
    (root / "copied").mkdir(exist_ok=True)
    (root / "copied/franck.webm").touch()
    with pytest.raises(error, match=message):
        trainer(root, recipe(root, detector, **changes), tmp_path / "run")


def test_a_run_is_not_overwritten(root, detector, tmp_path):
    made = recipe(root, detector, **{"train.steps": 1})
    trainer(root, made, tmp_path / "run").run()
    with pytest.raises(TrainError, match="run already contains a run"):
        trainer(root, made, tmp_path / "run")


def test_a_detector_in_safetensors_must_have_the_settings_of_the_recipe(root, tmp_path):
    stored = make_recipe(detector_recipe(root, padding=1.5)).model_dump_json()
    path = tmp_path / "detector.safetensors"
    weights = {"a": torch.zeros(2)}
    save_weights(path, {"average": weights, "recipe": stored, "step": 1})
    task = task_for(recipe(root, path), "refine")
    with pytest.raises(RecipeError, match=r"model\.padding is 1\.3, but 1\.5 in init_"):
        task._load_detector(torch.nn.Linear(2, 2), path)
    with pytest.raises(RecipeError, match="has init_parts, but a refinement takes all"):
        task_for(recipe(root, path, init_parts={"net": "other.pt"}), "refine")
