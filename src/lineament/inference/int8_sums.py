"""Check whether sums of int8 products overflow on this processor, in ONNX Runtime."""

from base64 import b64decode
from functools import cache

import numpy as np

from .runtime import load_runtime

EXACT_INT8 = ("session.x64quantprecision", "1")
"""Session option that prevents the overflow; models take about 2.5 times as long with it."""
CONVOLUTION = b64decode(
    "CAg6yAEKMwoBeAoDb25lCgJ1MAoBdwoDb25lCgJzMAoFc2NhbGUKAnUwEgF5IgtRTGluZWFyQ29udhIE"
    "c3VtcyoNEAEiBAAAgD9CA29uZSoJEAIqAQBCAnUwKgkQAyoBAEICczAqDxABIgTN7CFFQgVzY2FsZVob"
    "CgF4EhYKFAgCEhAKAggBCgIIEAoCCAQKAggEWhsKAXcSFgoUCAMSEAoCCBAKAggQCgIIAQoCCAFiGwoB"
    "eRIWChQIAhIQCgIIAQoCCBAKAggECgIIBEIECgAQDQ=="
)
"""Model of one int8 convolution with 16 channels, y = x * w / 2590.8."""
EXACT_RESULT = 200  # 16 * 255 * 127 / 2590.8


@cache
def int8_sums_overflow() -> bool:
    """Return whether sums of int8 products overflow here, tried with the largest values.

    Processors without VNNI instructions add pairs of products in 16 bits. ONNX Runtime's exact
    mode is slow on processors with VNNI, too, so it is only used where it is needed.
    """
    onnxruntime = load_runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            CONVOLUTION, options, providers=["CPUExecutionProvider"]
        )
        inputs = {
            "x": np.full((1, 16, 4, 4), 255, np.uint8),
            "w": np.full((16, 16, 1, 1), 127, np.int8),
        }
        result = session.run(None, inputs)[0]
    except Exception:  # a build without this operation: use the safe mode
        return True
    return bool((result != EXACT_RESULT).any())
