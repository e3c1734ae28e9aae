"""ONNX Runtime for all other files, without its telemetry, and its execution providers."""

import os
from typing import Any

from ..errors import ModelError

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""Read when ONNX Runtime is imported; a later call would be too late."""
PROVIDER_VARIABLE = "LINEAMENT_PROVIDER"
CPU_PROVIDER = "CPUExecutionProvider"
PROVIDER_END = "executionprovider"


def load_runtime() -> Any:
    """Import ONNX Runtime.

    Since 1.32 it writes a device id to the home folder and sends events over the network,
    unless a variable forbids it before the import.
    """
    os.environ.setdefault(TELEMETRY_VARIABLE, "1")
    import onnxruntime

    return onnxruntime


def chosen_providers() -> list[str]:
    """Return the execution providers of ONNX Runtime, the wanted one first.

    LINEAMENT_PROVIDER names it, "cuda" or "CUDAExecutionProvider"; default: the CPU.

    Raises:
        ModelError: If this ONNX Runtime does not have it.
    """
    available = load_runtime().get_available_providers()
    wanted = os.environ.get(PROVIDER_VARIABLE) or "cpu"
    for name in available:
        if wanted.lower() in (name.lower(), name.lower().removesuffix(PROVIDER_END)):
            return [name] if name == CPU_PROVIDER else [name, CPU_PROVIDER]
    raise ModelError(
        f"{PROVIDER_VARIABLE} is {wanted!r}, and this ONNX Runtime has {', '.join(available)}; "
        "for a GPU install onnxruntime-gpu in place of onnxruntime"
    )
