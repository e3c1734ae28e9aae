"""Number of processors that a process may use."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Folder in which Linux states the limits of a container."""


def usable_cores() -> int:
    """Return the number of processors that this process may use, at least 1.

    Takes into account the processors it is bound to, and the CPU limit of its container.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = container_limit()
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


def container_limit() -> float | None:
    """Return the CPU limit of this container, in processors; None if there is none."""
    # cgroup v2: quota and period in one file
    quota, _, period = _read(CGROUP / "cpu.max").partition(" ")
    if not quota:
        quota = _read(CGROUP / "cpu/cpu.cfs_quota_us")
        period = _read(CGROUP / "cpu/cpu.cfs_period_us")
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None  # no limit is "max" or -1
    return share if share > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
