"""Devices that models run on, from the providers of the installed ONNX Runtime."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError, did_you_mean
from .runtime import load_runtime

CPU = "cpu"
AUTO = "auto"


@dataclass(frozen=True)
class Device:
    """A kind of device, and how ONNX Runtime runs on it."""

    provider: str
    package: str
    """Package of ONNX Runtime that offers the provider."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the provider."""
    one_at_a_time: bool = False
    """True if one session takes no calls from several threads at once."""


DEVICES = {
    # the default searches the algorithms of each new batch size, for seconds
    "cuda": Device(
        *("CUDAExecutionProvider", "onnxruntime-gpu"),
        {"cudnn_conv_algo_search": "HEURISTIC"},
    ),
    "directml": Device(
        *("DmlExecutionProvider", "onnxruntime-directml"), one_at_a_time=True
    ),
    "coreml": Device("CoreMLExecutionProvider", "onnxruntime"),
    "openvino": Device("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    CPU: Device("CPUExecutionProvider", "onnxruntime"),
}
"""By name, in the order in which "auto" prefers them."""


def check_device(name: str) -> str:
    """Return the name of a device; that of the first offered one for "auto".

    Raises:
        ModelError: If there is no such device, or ONNX Runtime does not offer it.
    """
    offered = offered_devices()
    if name == AUTO:
        return offered[0]
    if name not in DEVICES:
        raise ModelError(
            f"no device is called {name!r}; {did_you_mean(name, (AUTO, *DEVICES))}"
        )
    if name not in offered:
        raise ModelError(
            f"device {name!r} is not offered by this ONNX Runtime, which has "
            f"{', '.join(offered)}; type: pip uninstall onnxruntime, then pip install "
            f"{DEVICES[name].package}; or choose auto"
        )
    return name


def offered_devices() -> list[str]:
    """Return the devices that the installed ONNX Runtime offers, the preferred one first."""
    providers = load_runtime().get_available_providers()
    return [name for name, device in DEVICES.items() if device.provider in providers]


def providers_of(name: str) -> list[Any]:
    """Return the providers that a session of a device is opened with; the CPU runs the rest."""
    device, cpu = DEVICES[name], DEVICES[CPU].provider
    if name == CPU:
        return [cpu]
    return [(device.provider, device.options), cpu]


def check_provider(name: str, used: Sequence[str]) -> None:
    """Refuse a session that ONNX Runtime has quietly opened on the CPU instead.

    Args:
        name: The device.
        used: Providers of the session.

    Raises:
        ModelError: If the device's own is not among them.
    """
    if DEVICES[name].provider not in used:
        raise ModelError(
            f"device {name!r}: {DEVICES[name].package} is installed, but its provider "
            "does not start; check the driver and libraries that it needs, or choose "
            "cpu"
        )


def read_processor() -> tuple[str, tuple[str, ...]]:
    """Return the name of the processor and its features, such as avx2; none except on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), ()
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name", platform.machine())
    return name, tuple(facts.get("flags", "").split())
