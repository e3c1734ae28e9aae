"""ONNX Runtime for all other files, without its telemetry."""

import os
from typing import Any

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""Read when ONNX Runtime is imported; a later call would be too late."""


def load_runtime() -> Any:
    """Import ONNX Runtime.

    Since 1.32 it writes a device id to the home folder and sends events over the network,
    unless a variable forbids it before the import.
    """
    os.environ.setdefault(TELEMETRY_VARIABLE, "1")
    import onnxruntime

    return onnxruntime
