"""Conversion of array values to bytes, for the types and ranges that images have."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError

MAX_12_BIT = 4095
"""Maximum of 12-bit values; a 16-bit image without higher values looks nearly black."""


def to_bytes(array: NDArray[Any], name: str, bits: int | None) -> NDArray[np.uint8]:
    """Return the values of an image in [0, 255].

    Args:
        array: Of bool, uint8, uint16 or float in [0, 1].
        name: Name of the array in error messages.
        bits: Bits of uint16 values; None: 16.

    Raises:
        ImageError: If the type or value range is not supported.
    """
    if array.dtype == np.uint8:
        return np.asarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.newbyteorder("=") == np.uint16:  # TIFF files may be big-endian
        return _uint16_to_bytes(array, name, bits)
    if array.dtype.kind != "f":
        raise ImageError(
            f"{name} has dtype {array.dtype}; "
            "expected uint8, uint16, bool, or float in [0, 1]"
        )
    if not np.isfinite(array).all():
        raise ImageError(
            f"{name} contains nan or infinity; expected finite values in [0, 1]"
        )
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"{name} contains floats from {low:g} to {high:g}; "
            "expected [0, 1]: scale it, or cast it to uint8"
        )
    return (array * 255 + 0.5).astype(np.uint8)


def _uint16_to_bytes(
    array: NDArray[np.uint16], name: str, bits: int | None
) -> NDArray[np.uint8]:
    """Return round(255 v / maximum) for values v, with the maximum for that number of `bits`."""
    highest = int(array.max())
    if bits is None and 0 < highest <= MAX_12_BIT:
        warnings.warn(
            f"{name} is uint16 with values up to {highest}, nearly black; if they have fewer "
            "than 16 bits, say how many, such as read_image(image, bits=12)",
            stacklevel=2,
        )
    largest = 2 ** (bits or 16) - 1
    if highest > largest:
        raise ImageError(
            f"{name} has values up to {highest}, more than {bits} bits hold; give more bits"
        )
    scaled = (array.astype(np.uint32) * 255 + largest // 2) // largest
    return np.asarray(scaled, np.uint8)
