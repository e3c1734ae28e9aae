"""What the C library does with memory that is freed."""

import ctypes

TRIM, MMAP = -1, -3
"""The parameters M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's mallopt."""
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Lets the process keep memory that is freed, for its next use; False where the C library has no such setting.

    glibc hands large blocks back to the system, which zeroes them before they are used again: with the tensors of
    every step a good part of a training's time on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not on macOS and Windows
        return False
    return bool(mallopt(MMAP, LARGEST // 2)) and bool(mallopt(TRIM, LARGEST))
