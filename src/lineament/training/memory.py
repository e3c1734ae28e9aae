"""Memory that the C library keeps after it is freed."""

import ctypes

TRIM, MMAP = -1, -3
"""The parameters M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's mallopt."""
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process keep freed memory for its next use; return False if that is not possible.

    glibc returns large blocks to the system, which zeroes them before they are used again: with the
    tensors of every step, a good part of a training's time on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not on macOS and Windows
        return False
    return bool(mallopt(MMAP, LARGEST // 2)) and bool(mallopt(TRIM, LARGEST))
