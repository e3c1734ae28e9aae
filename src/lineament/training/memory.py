"""Keep freed memory in the process for reuse."""

import ctypes

TRIM, MMAP = -1, -3
"""The parameters M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's mallopt."""
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for reuse; return False if that is not possible.

    By default, glibc returns large blocks to the system, which zeroes them before reuse. For the
    tensors of every step, this takes a considerable part of the training time on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not on macOS and Windows
        return False
    return bool(mallopt(MMAP, LARGEST // 2)) and bool(mallopt(TRIM, LARGEST))
