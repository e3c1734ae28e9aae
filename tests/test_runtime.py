"""ONNX Runtime as the package loads it: no telemetry, and the requested device."""

import os
import subprocess
import sys

import pytest

from commands import call
from lineament.inference import device as devices

CPU, GPU = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def two_providers(monkeypatch):
    class Fake:
        @staticmethod
        def get_available_providers():
            return [GPU, CPU]

    monkeypatch.setattr(devices, "load_runtime", Fake)
    monkeypatch.setattr(devices, "starts", lambda name: True)


def test_finding_faces_writes_nothing_below_the_home_folder(tmp_path):
    script = "import numpy, lineament; lineament.detect(numpy.zeros((64, 64, 3), 'u1'))"
    names = {"ORT_DISABLE_TELEMETRY"}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    kept |= {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=kept, check=False, timeout=120
    )
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("device", "batch"), [("cpu", 1), ("auto", 16), ("cuda", 16)])
def test_the_server_makes_batches_on_a_gpu_only(
    two_providers, monkeypatch, device, batch
):
    server = pytest.importorskip("lineament.serving.server")
    given = []
    monkeypatch.setattr(
        server, "serve", lambda settings, *others: given.append(settings)
    )
    code, _, error = call("serve", "--device", device)
    assert (code, error) == (0, "")
    assert given[0].max_batch == batch
