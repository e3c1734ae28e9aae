"""ONNX Runtime as the package loads it: no telemetry, and the provider that is wanted."""

import os
import subprocess
import sys

import pytest

from commands import call
from lineament.errors import ModelError
from lineament.inference import runtime

CPU, GPU = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def two_providers(monkeypatch):
    class Fake:
        @staticmethod
        def get_available_providers():
            return [GPU, CPU]

    monkeypatch.setattr(runtime, "load_runtime", Fake)


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


@pytest.mark.parametrize(
    ("wanted", "providers"),
    [
        (None, [CPU]),
        ("", [CPU]),
        ("cpu", [CPU]),
        ("cuda", [GPU, CPU]),
        ("CUDA", [GPU, CPU]),
        (GPU, [GPU, CPU]),
    ],
)
def test_the_variable_names_the_provider(two_providers, monkeypatch, wanted, providers):
    monkeypatch.delenv(runtime.PROVIDER_VARIABLE, raising=False)
    if wanted is not None:
        monkeypatch.setenv(runtime.PROVIDER_VARIABLE, wanted)
    assert runtime.chosen_providers() == providers


def test_a_provider_that_is_absent_is_an_error_with_the_remedy(
    two_providers, monkeypatch
):
    monkeypatch.setenv(runtime.PROVIDER_VARIABLE, "tensorrt")
    with pytest.raises(ModelError, match=r"tensorrt.*install onnxruntime-gpu"):
        runtime.chosen_providers()


@pytest.mark.parametrize(("provider", "batch"), [("cpu", 1), ("cuda", 16)])
def test_the_server_makes_batches_on_a_gpu_only(
    two_providers, monkeypatch, provider, batch
):
    server = pytest.importorskip("lineament.serving.server")
    given = []
    monkeypatch.setattr(
        server, "serve", lambda settings, *others: given.append(settings)
    )
    monkeypatch.setenv(runtime.PROVIDER_VARIABLE, "cpu")  # restored afterwards
    code, _, error = call("serve", "--provider", provider)
    assert (code, error) == (0, "")
    assert given[0].max_batch == batch
