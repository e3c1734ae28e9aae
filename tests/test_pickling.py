"""Pickles and copies: predictors, trackers, detectors, models and faces act as before."""

import asyncio
import copy
import json
import multiprocessing
import os
import pickle
import warnings
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

import lineament
from lineament import (
    Face,
    Faces,
    Predictor,
    Tracker,
    TrackRules,
    convert,
    head_pose,
    load_model,
    scheme,
    to_dict,
)
from lineament.classic.mean_shape import MeanShape
from lineament.inference.detector_adapters import yunet
from lineament.inference.face_detector import FaceDetector
from lineament.inference.model_files import weights_folder
from lineament.inference.onnx_model import Model
from lineament.io.track_files import Tracks
from scenes import scene
from tiny_onnx import write_model

IMAGE = scene(("astronaut", 110, 90, 120), ("grace_hopper", 110, 230, 120))
ARRAYS = ("landmarks", "scores", "sigma_px", "box", "visible")


def by_pickle(value):
    return pickle.loads(pickle.dumps(value))


COPIES = pytest.mark.parametrize("copied", [by_pickle, copy.deepcopy, copy.copy])


def same(faces, others):
    """Return whether faces are equal bit by bit."""
    assert len(faces) == len(others)
    stated = (faces.scheme, faces.points, faces.image_size)
    assert stated == (others.scheme, others.points, others.image_size)
    for face, other in zip(faces, others, strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(face, name), getattr(other, name))
        assert (face.score, face.track_id) == (other.score, other.track_id)
    return True


@COPIES
def test_a_copied_face_is_equal_and_read_only(copied):
    face = Face(
        np.ones((5, 2)), np.ones(5), np.ones(5), [0, 0, 3, 4], 0.5, "five", 7, 0.25
    )
    faces = copied(Faces((face,), "five", 5, (640, 480)))
    assert same(faces, Faces((face,), "five", 5, (640, 480)))
    assert faces[0].presence == 0.25
    for made in (faces[0], copied(face)):
        for name in ARRAYS:
            with pytest.raises(ValueError, match="read-only"):
                getattr(made, name)[0] = 9


@pytest.mark.parametrize("copied", [by_pickle, copy.deepcopy])
@pytest.mark.parametrize(
    "options", [{}, {"flip": True, "workers": 2}, {"detector": FaceDetector()}]
)
def test_a_copied_predictor_finds_the_same_faces(options, copied):
    predictor = Predictor("fast", threads=1, min_presence=0.8, **options)
    faces = predictor(IMAGE)  # also starts its workers, if it has any
    assert len(faces) == 2
    assert same(copied(predictor)(IMAGE), faces)


def test_tasks_of_an_event_loop_share_a_predictor():
    predictor = Predictor("fast", threads=1, min_presence=0.8)
    faces = predictor(IMAGE)

    async def many():
        calls = [asyncio.to_thread(predictor, IMAGE) for _ in range(6)]
        return await asyncio.gather(*calls)

    assert all(same(found, faces) for found in asyncio.run(many()))


def test_a_pickled_predictor_keeps_changed_attributes():
    predictor = Predictor("fast", threads=1)
    predictor.recrop = None
    assert by_pickle(predictor).recrop is None


def test_a_model_of_the_package_is_pickled_by_its_name_and_others_by_their_path(
    tmp_path, monkeypatch
):
    packaged = pickle.dumps(load_model("fast"))
    assert str(weights_folder()).encode() not in packaged
    assert pickle.loads(packaged).path == weights_folder() / "fast.onnx"
    write_model(tmp_path / "tiny.onnx")
    monkeypatch.chdir(tmp_path)
    own = Model(Path("tiny.onnx"), 1)
    monkeypatch.chdir("/")
    assert by_pickle(own).path == tmp_path / "tiny.onnx"
    assert by_pickle(own).session is copy.deepcopy(own).session  # opened once


def test_a_pickle_whose_model_is_gone_raises_a_clear_error(tmp_path):
    path = write_model(tmp_path / "gone.onnx")
    data = pickle.dumps(Model(path, 1))
    path.unlink()
    with pytest.raises(lineament.ModelError, match=r"no model file at .*gone\.onnx"):
        pickle.loads(data)


def test_models_without_a_network_are_pickled(tmp_path):
    MeanShape.from_scheme("mean", "ibug68", 64, 1.3).save(tmp_path / "mean.safetensors")
    predictor = Predictor(tmp_path / "mean.safetensors", recrop=None)
    box = [[40, 30, 140, 130]]
    assert same(by_pickle(predictor)(IMAGE, box), predictor(IMAGE, box))


def test_yunet_is_pickled_as_its_file(tmp_path, monkeypatch):
    opened = []
    (tmp_path / "yunet.onnx").write_bytes(b"")
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: opened.append(args))
    detector = by_pickle(yunet(tmp_path / "yunet.onnx", 0.7))
    path = str(tmp_path / "yunet.onnx")
    assert opened == [(path, "", (320, 320), 0.7)] * 2
    assert detector.scheme == "five"


def test_a_copied_tracker_continues_the_video():
    tracker = Tracker("fast")
    for x in (80, 90):
        tracker(scene(("astronaut", 110, x, 120)))
    other = by_pickle(tracker)
    frame = scene(("astronaut", 110, 100, 120))
    faces = tracker(frame)
    assert [face.track_id for face in faces] == [1]
    assert same(other(frame), faces)


def test_a_spawned_process_finds_the_same_faces():
    predictor = Predictor("fast", threads=1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (faces,) = pool.map(predictor, [IMAGE])
    assert same(faces, predictor(IMAGE))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_starts_its_own_threads():
    predictor = Predictor("fast", threads=2, workers=2)
    faces = predictor(IMAGE)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12: fork, threads
        with multiprocessing.get_context("fork").Pool(1, _keep, (predictor,)) as pool:
            (found,) = pool.map_async(_find, [IMAGE]).get(timeout=60)
    assert same(found, faces)


def _keep(predictor):
    """Store the predictor inherited from the parent process, not a copy."""
    global kept
    kept = predictor


def _find(image):
    return kept(image)


RESULTS = {
    "Face": lambda faces: faces[0],
    "Faces": lambda faces: faces,
    "HeadPose": lambda faces: head_pose(faces[0], faces.image_size),
    "Scheme": lambda faces: scheme("ibug68"),
    "Conversion": lambda faces: convert(faces[0].landmarks, "ibug68", "five"),
    "TrackRules": lambda faces: TrackRules(),
    "Tracks": lambda faces: Tracks("ibug68", {"model": "fast"}, np.zeros(1), (faces,)),
}


@pytest.fixture(scope="module")
def faces():
    """Two faces, whose sigma is partly unknown."""
    found = Predictor("fast", threads=1)(IMAGE)
    sigma_px = found[0].sigma_px.copy()
    sigma_px[3] = np.nan
    kept = {field.name: getattr(found[0], field.name) for field in fields(Face)}
    first = Face(**kept | {"sigma_px": sigma_px})
    return Faces((first, found[1]), found.scheme, found.points, found.image_size)


def test_every_public_dataclass_is_tested_as_json():
    public = {name for name in lineament.__all__ if _is_dataclass(name)}
    assert public == set(RESULTS)


def _is_dataclass(name):
    return hasattr(getattr(lineament, name), "__dataclass_fields__")


@pytest.mark.parametrize("kind", RESULTS)
def test_results_become_json_values(kind, faces):
    result = RESULTS[kind](faces)
    values = to_dict(result)
    assert list(values) == [field.name for field in fields(result)]
    assert json.loads(json.dumps(values, allow_nan=False))


def test_arrays_become_lists_and_unknown_numbers_none(faces):
    first = to_dict(faces)["faces"][0]
    assert first["landmarks"] == faces[0].landmarks.tolist()
    assert first["sigma_px"][3] is None
    assert first["sigma_px"][4] == faces[0].sigma_px[4]
    assert (first["track_id"], first["scheme"]) == (None, "ibug68")
