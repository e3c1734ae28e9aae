"""Measure the size of the wheel and default environment, and the time of `import lineament`."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from lineament.atomic import write_text

from .install import ROOT, SITE, folder_mb, python_of
from .machine import describe, today

MAX_WHEEL_MB = 12.0
MAX_ENVIRONMENT_MB = 350.0
MAX_IMPORT_S = 0.3
IMPORT = "import time; t = time.perf_counter(); import lineament; print(time.perf_counter() - t)"


def wheel_mb(python: Path) -> tuple[float, list[str]]:
    """Return the size of the wheel built from this tree, in MB, and the names of its models."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(python),
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "-w",
            folder,
            str(ROOT),
        ]
        subprocess.run(command, check=True, capture_output=True)
        wheel = next(Path(folder).glob("*.whl"))
        listing = subprocess.run(
            [str(python), "-m", "zipfile", "-l", str(wheel)],
            capture_output=True,
            text=True,
        )
        models = [
            line.split()[0] for line in listing.stdout.splitlines() if ".onnx" in line
        ]
        return wheel.stat().st_size / 1e6, models


def largest(site: Path, count: int = 10) -> list[tuple[str, float]]:
    """Return the largest entries of a site-packages folder, in MB."""
    sizes = [
        (p.name, folder_mb(p) if p.is_dir() else p.lstat().st_size / 1e6)
        for p in site.iterdir()
    ]
    return sorted(sizes, key=lambda entry: -entry[1])[:count]


def import_seconds(python: Path, runs: int = 7) -> float:
    """Return the median import time in a fresh process, seconds."""
    times: list[float] = []
    while len(times) < runs:
        done = subprocess.run(
            [str(python), "-c", IMPORT], capture_output=True, text=True, check=True
        )
        times.append(float(done.stdout))
    return sorted(times)[runs // 2]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="bench/run size", description=__doc__)
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT / ".venv-bench",
        help="folder of the virtual environments",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    cache = options.cache.absolute()
    python = python_of(cache, "lineament")
    wheel, models = wheel_mb(python)
    total = folder_mb(cache / "lineament")
    added = total - folder_mb(cache / "bare")
    seconds, heavy = import_seconds(python), largest(cache / "lineament" / SITE)
    bars = [
        (
            wheel < MAX_WHEEL_MB,
            f"wheel {wheel:.1f} MB with {', '.join(models) or 'no model'}; "
            f"wanted < {MAX_WHEEL_MB:g}",
        ),
        (
            added < MAX_ENVIRONMENT_MB,
            f"default environment {added:.0f} MB more than an empty one "
            f"({total:.0f} MB with pip and setuptools); "
            f"wanted < {MAX_ENVIRONMENT_MB:g}",
        ),
        (
            seconds < MAX_IMPORT_S,
            f"import lineament {seconds:.3f} s; wanted < {MAX_IMPORT_S:g}",
        ),
    ]
    lines = [f"{'holds' if good else 'MISSED'}: {text}" for good, text in bars]
    report = {
        "date": today(),
        "machine": describe(),
        "wheel_mb": wheel,
        "models": models,
        "environment_mb": added,
    }
    report |= {
        "environment_total_mb": total,
        "import_s": seconds,
        "largest_mb": dict(heavy),
        "bars": lines,
    }
    write_text(options.out / "size.json", json.dumps(report, indent=1) + "\n")
    print(
        "\n".join(
            [*lines, "largest:", *(f"  {mb:7.1f} MB {name}" for name, mb in heavy)]
        )
    )
    sys.exit(0 if all(good for good, _ in bars) else 1)


if __name__ == "__main__":
    main()
