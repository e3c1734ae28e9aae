"""Import ONNX Runtime for all other modules, without telemetry."""

import os
from typing import Any

TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""Environment variable that ONNX Runtime reads on import; setting it later has no effect."""


def load_runtime() -> Any:
    """Import ONNX Runtime.

    Since 1.32 it writes a device id to the home folder and sends events over the network,
    unless the environment variable disables it before the import.
    """
    os.environ.setdefault(TELEMETRY_VARIABLE, "1")
    import onnxruntime

    return onnxruntime
