"""What every figure is marked with: the processor, its cores, memory, load; and the cores that timing is kept on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lineament.atomic import atomic_path

BUSY_LOAD = 0.5


def describe() -> dict[str, Any]:
    """This machine, in plain words and numbers. `load_before` is that of the last minute."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    cpu = next(
        (line.split(":", 1)[1].strip() for line in info if line.startswith("model name")),
        platform.machine(),
    )
    flags = next((line.split(":", 1)[1].split() for line in info if line.startswith("flags")), [])
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
    """The date, UTC."""
    return datetime.now(UTC).date().isoformat()


def timing_cpus() -> tuple[list[int], list[int]]:
    """The one core and the two cores that timings are kept on: the last of those this process may use."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[-1:], cpus[-2:]


def write_beside(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8")
