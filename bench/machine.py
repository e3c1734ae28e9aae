"""Describe the machine of a measurement, and choose the cores for timing."""

import os
import platform
from datetime import UTC, datetime
from typing import Any

from lineament.inference.device import read_processor

BUSY_LOAD = 0.5


def describe() -> dict[str, Any]:
    """Return a description of this machine; `load_before` is the load of the last minute."""
    cpu, flags = read_processor()
    vectors = [
        name
        for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
        if name in flags
    ]
    load = os.getloadavg()[0]
    return {
        "cpu": f"{cpu} ({', '.join(vectors) or 'no AVX2'})",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": load,
        "busy": load > BUSY_LOAD,
    }


def today() -> str:
    """Return the date, UTC."""
    return datetime.now(UTC).date().isoformat()


def timing_cpus() -> tuple[list[int], list[int]]:
    """Return one core and two cores for timing: the last ones available to this process."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[-1:], cpus[-2:]
