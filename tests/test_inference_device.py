"""Devices of ONNX Runtime: those it offers are chosen by name, others are one clear error."""

import pickle
import threading
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest

from commands import call
from free_images import FOLDER
from lineament import Predictor, Tracker
from lineament.errors import ModelError
from lineament.inference import device as devices
from lineament.inference import onnx_model
from lineament.inference.device import (
    check_device,
    execution_providers,
    offered_devices,
)
from lineament.inference.int8_sums import int8_sums_overflow
from lineament.inference.onnx_model import OnnxSession
from lineament.inference.registry import load_model
from tiny_onnx import write_model

pytest.importorskip("onnx")


class FakeSession:
    """A fake session that reports the requested providers and counts concurrent calls."""

    opened: ClassVar[list] = []
    at_once = most = 0

    def __init__(self, path, options, providers):
        self.providers = [p if isinstance(p, str) else p[0] for p in providers]
        self.opened.append((options, providers))

    def get_providers(self):
        return self.providers

    def run(self, outputs, inputs):
        cls = type(self)
        cls.at_once += 1
        cls.most = max(cls.most, cls.at_once)
        threading.Event().wait(0.02)
        cls.at_once -= 1
        return []


def offer(monkeypatch, *providers):
    listed = [*providers, "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)


@pytest.fixture
def fake(monkeypatch):
    FakeSession.opened, FakeSession.most = [], 0
    int8_sums_overflow()  # stored before its session would be a fake one
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    devices.starts.cache_clear()
    yield
    devices.starts.cache_clear()


def test_auto_takes_the_first_device_that_is_offered(monkeypatch, fake):
    offer(monkeypatch)
    assert (check_device("auto"), check_device("cpu")) == ("cpu", "cpu")
    offer(monkeypatch, "CoreMLExecutionProvider", "CUDAExecutionProvider")
    assert offered_devices() == ["cuda", "coreml", "cpu"]
    assert check_device("auto") == "cuda"
    assert check_device("coreml") == "coreml"


def test_auto_skips_a_device_whose_driver_is_absent(monkeypatch, fake):
    offer(monkeypatch, "CUDAExecutionProvider", "CoreMLExecutionProvider")
    usual = ["CoreMLExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(FakeSession, "get_providers", lambda self: usual)
    assert check_device("auto") == "coreml"


def test_the_smallest_model_runs():
    session = onnxruntime.InferenceSession(
        devices.IDENTITY, providers=["CPUExecutionProvider"]
    )
    assert session.run(None, {"x": np.float32([3])})[0].tolist() == [3]


def test_a_device_that_is_not_offered_raises_a_clear_error(monkeypatch):
    offer(monkeypatch)
    with pytest.raises(
        ModelError, match=r"which supports cpu; .* pip install onnxruntime-gpu"
    ):
        check_device("cuda")
    with pytest.raises(ModelError, match="only its wheels for macOS have it"):
        check_device("coreml")
    with pytest.raises(ModelError, match="unknown device 'gpu'; did you mean 'auto'"):
        Predictor("fast", device="gpu")
    with pytest.raises(ModelError, match="'directml' is not supported"):
        Tracker("fast", device="directml")


@pytest.mark.parametrize("command", ["detect", "draw", "anonymize", "review", "bulk"])
def test_commands_check_the_device_before_they_start(command, monkeypatch, tmp_path):
    offer(monkeypatch)
    image = tmp_path / "a.png"
    image.write_bytes((FOLDER / "astronaut.jpg").read_bytes())
    out = tmp_path / "out"
    code, _, noted = call(command, image, "--out", out, "--device", "openvino")
    assert code == 1
    assert "'openvino' is not supported" in noted
    assert noted.count("\n") == 1
    assert not out.exists()


def test_a_session_uses_the_device_with_the_cpu_as_fallback(
    tmp_path, monkeypatch, fake
):
    offer(monkeypatch, "CUDAExecutionProvider")
    path = write_model(tmp_path / "a.onnx")
    session = OnnxSession(path, 1, "auto")
    assert session.device == "cuda"
    *_, (_, providers) = FakeSession.opened
    assert providers == execution_providers("cuda")
    assert [p if isinstance(p, str) else p[0] for p in providers] == [
        *("CUDAExecutionProvider", "CPUExecutionProvider")
    ]
    OnnxSession(path, 1)
    assert FakeSession.opened[-1][1] == ["CPUExecutionProvider"]


@pytest.mark.parametrize("overflows", [True, False])
def test_the_exact_mode_is_used_only_where_sums_overflow(
    overflows, tmp_path, monkeypatch, fake
):
    monkeypatch.setattr(onnx_model, "int8_sums_overflow", lambda: overflows)
    entries = []
    monkeypatch.setattr(
        onnxruntime.SessionOptions,
        "add_session_config_entry",
        lambda options, *entry: entries.append(entry),
    )
    OnnxSession(write_model(tmp_path / "a.onnx"), 1)
    assert entries == [("session.x64quantprecision", "1")] * overflows


def test_a_provider_that_does_not_start_is_an_error(tmp_path, monkeypatch, fake):
    offer(monkeypatch, "CUDAExecutionProvider")
    monkeypatch.setattr(
        FakeSession, "get_providers", lambda self: ["CPUExecutionProvider"]
    )
    with pytest.raises(
        ModelError, match="its provider does not start; check the driver"
    ):
        OnnxSession(write_model(tmp_path / "a.onnx"), 1, "cuda")


def test_directml_is_called_by_one_thread_at_a_time(tmp_path, monkeypatch, fake):
    offer(monkeypatch, "DmlExecutionProvider")
    path = write_model(tmp_path / "a.onnx")
    for device, most in (("directml", 1), ("cpu", 2)):
        FakeSession.most = 0
        session = OnnxSession(path, 1, device)
        calls = [threading.Thread(target=session.run, args=(None, {})) for _ in "ab"]
        for thread in calls:
            thread.start()
        for thread in calls:
            thread.join()
        assert FakeSession.most == most
    assert not FakeSession.opened[0][0].enable_mem_pattern


def test_a_pickle_keeps_the_device(tmp_path, monkeypatch, fake):
    offer(monkeypatch, "CUDAExecutionProvider")
    session = OnnxSession(write_model(tmp_path / "a.onnx"), 1, "cuda")
    assert pickle.loads(pickle.dumps(session)).device == "cuda"


def test_the_cpu_is_the_default_and_gives_the_same_bits():
    crops = np.random.default_rng(0).integers(0, 255, (2, 128, 128, 3), dtype=np.uint8)
    default = load_model("fast", 1)
    assert default is load_model("fast", 1, device="cpu")
    assert default.session.device == "cpu"
    assert load_model("fast", 1, device="auto").predict(crops).scores.shape == (2, 68)


def test_every_device_has_a_provider_and_a_package():
    names = [device.provider for device in devices.DEVICES.values()]
    assert len(set(names)) == len(names)
    assert all(device.package for device in devices.DEVICES.values())
    assert list(devices.DEVICES)[-1] == "cpu"
