"""Devices for models, from the providers of the installed ONNX Runtime."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ModelError, did_you_mean
from .runtime import load_runtime

CPU = "cpu"
AUTO = "auto"
HINTS = {"gpu": AUTO, "mps": "coreml", "dml": "directml"}
"""Names of devices in other tools, and here."""


@dataclass(frozen=True)
class Device:
    """A kind of device and its ONNX Runtime provider."""

    provider: str
    package: str
    """ONNX Runtime package that contains the provider."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the provider."""
    one_at_a_time: bool = False
    """True if a session does not support concurrent calls."""


DEVICES = {
    # the default benchmarks algorithms for each new batch size, which takes seconds
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
"""Devices by name, in order of preference for "auto"."""


IDENTITY = bytes.fromhex(
    "080a3a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a02"
    "0801620f0a0179120a0a08080112040a02080142040a001012"
)
"""The smallest ONNX model: y = x for one number."""


def check_device(name: str) -> str:
    """Return the name of a device; "auto" selects the first one that starts.

    Raises:
        ModelError: If there is no such device, or ONNX Runtime does not support it.
    """
    offered = offered_devices()
    if name == AUTO:
        return next(device for device in offered if device == CPU or starts(device))
    if name not in DEVICES:
        hint = did_you_mean(name, (AUTO, *DEVICES))
        if name.lower() in HINTS:
            hint = f"did you mean {HINTS[name.lower()]!r}?"
        raise ModelError(f"unknown device {name!r}; {hint}")
    if name not in offered:
        package = DEVICES[name].package
        remedy = "only its wheels for macOS have it: choose auto"
        if package != "onnxruntime":
            remedy = (
                f"type: pip uninstall onnxruntime, then pip install {package}; or "
                "choose auto"
            )
        raise ModelError(
            f"device {name!r} is not supported by the installed ONNX Runtime, which "
            f"supports {', '.join(offered)}; {remedy}"
        )
    return name


def offered_devices() -> list[str]:
    """Return the devices that the installed ONNX Runtime supports, the preferred one first."""
    providers = load_runtime().get_available_providers()
    return [name for name, device in DEVICES.items() if device.provider in providers]


@cache
def starts(name: str) -> bool:
    """Return whether a device can be used: ONNX Runtime may support it without its driver."""
    onnxruntime = load_runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            IDENTITY, options, providers=execution_providers(name)
        )
    except Exception:  # providers raise errors of many kinds
        return False
    return DEVICES[name].provider in session.get_providers()


def execution_providers(name: str) -> list[Any]:
    """Return the providers of a session on a device; the CPU runs unsupported operations."""
    device, cpu = DEVICES[name], DEVICES[CPU].provider
    if name == CPU:
        return [cpu]
    return [(device.provider, device.options), cpu]


def check_provider(name: str, used: Sequence[str]) -> None:
    """Raise an error if ONNX Runtime silently fell back to the CPU.

    Args:
        name: The device.
        used: Providers of the session.

    Raises:
        ModelError: If the device's provider is not among them.
    """
    if DEVICES[name].provider not in used:
        raise ModelError(
            f"device {name!r}: {DEVICES[name].package} is installed, but its provider "
            "does not start; check the driver and libraries that it needs, or choose "
            "cpu"
        )


def read_processor() -> tuple[str, tuple[str, ...]]:
    """Return the processor's name and features, such as avx2; features only on Linux."""
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
