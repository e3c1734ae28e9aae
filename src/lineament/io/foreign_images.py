"""Convert images of other libraries: torch, JAX and TensorFlow tensors, PyAV frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, short_reason

RGB = NDArray[np.uint8]
CHANNELS = (1, 3, 4)


def tensor_to_array(tensor: Any) -> NDArray[Any]:
    """Return a tensor as an array with the channels last; channels-first input is detected.

    Raises:
        ImageError: If its type or device cannot be converted.
    """
    try:
        if hasattr(tensor, "detach"):  # torch
            tensor = tensor.detach().cpu()
        array = np.asarray(tensor)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ImageError(
            f"{type(tensor).__name__} cannot be read as an array ({short_reason(error)}); "
            "give it as uint8 or float32, on the CPU"
        ) from error
    shape = array.shape
    if len(shape) == 3 and shape[0] in CHANNELS and shape[2] not in CHANNELS:
        return array.transpose(1, 2, 0)
    return array


def frame_to_rgb(frame: Any) -> RGB:
    """Return a PyAV frame as RGB (H, W, 3), upright according to its rotation metadata."""
    return upright(frame.to_ndarray(format="rgb24"), display_matrix(frame))


def display_matrix(frame: Any) -> NDArray[np.int32] | None:
    """Return the display matrix (3, 3) of a frame, or None if it has none."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data), np.int32).reshape(3, 3)
    return None


def is_sideways(matrix: NDArray[np.int32] | None) -> bool:
    """Return True if the display `matrix` (3, 3) swaps rows and columns."""
    if matrix is None:
        return False
    (a, b), (c, d) = np.abs(matrix[:2, :2].astype(np.int64)).tolist()
    return bool(b + c > a + d)


def upright(image: RGB, matrix: NDArray[np.int32] | None) -> RGB:
    """Rotate and mirror `image` by the right angle nearest to its display `matrix` (3, 3).

    Source: ISO/IEC 14496-12, 8.3.2: x' = a x + c y, y' = b x + d y, with a, b and c, d
        in the first two rows.
    """
    if matrix is None:
        return image
    (a, b), (c, d) = matrix[0, :2].tolist(), matrix[1, :2].tolist()
    if is_sideways(matrix):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
