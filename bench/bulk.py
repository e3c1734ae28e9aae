"""Compare `lineament bulk` with `lineament detect`: images per second, CPU time, memory.

`python -m bench.bulk FOLDER` needs the extra `bulk` for Ray; `--arithmetic S` measures
nothing and prints an estimate of time and cost if an image takes S seconds on one core.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from lineament.atomic import write_text
from lineament.io.media_files import find_images
from lineament.serving.bulk.job import read_status

from .install import ROOT
from .machine import describe, today

MIN_BULK_SPEEDUP, MIN_RAY_SPEEDUP, MAX_MEMORY_MB = 1.25, 0.6, 400.0
MACHINES = (1, 10, 100, 1000)
CORES, PART_IMAGES, START_S = 16, 500, 30.0
"""Assumptions of the estimate: cores per machine, images per part, startup time in seconds."""
PRICE = 0.04
"""Assumption of the estimate: price of a core hour; change it with --price."""


@dataclass(frozen=True)
class Run:
    """One measured command."""

    name: str
    wall_s: float
    images_per_s: float
    cpu_ms: float
    """CPU time per image of the command and its children, including startup."""
    memory_mb: float
    """Peak memory of all its processes together, shared pages counted once (PSS)."""
    largest_mb: float
    """Peak resident memory of any of its processes."""


def tree(pid: int) -> list[int]:
    """Return `pid` and its descendants."""
    pids = [pid]
    for parent in pids:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                pids += map(int, task.read_text(encoding="ascii").split())
            except OSError:
                continue
    return pids


def memory_mb(pid: int) -> tuple[float, float]:
    """Return the PSS of a process and its descendants together, and the largest RSS, MB."""
    total = largest = 0.0
    for each in tree(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        sizes = dict(line.split()[:2] for line in text.splitlines()[1:])
        total += int(sizes.get("Pss:", 0)) * 1024 / 1e6
        largest = max(largest, int(sizes.get("Rss:", 0)) * 1024 / 1e6)
    return total, largest


def measure(name: str, words: list[str], images: int) -> Run | None:
    """Run `lineament words...` and return the measurements; None if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lineament", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peaks = [0.0, 0.0]

    def watch() -> None:
        while process.poll() is None:
            for index, value in enumerate(memory_mb(process.pid)):
                peaks[index] = max(peaks[index], value)
            time.sleep(0.3)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    wall_s = time.perf_counter() - start_s
    watcher.join()
    if process.returncode:
        print(f"not measured: {name}: {errors.strip().splitlines()[-1]}")
        return None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(name, wall_s, images / wall_s, cpu_s / images * 1e3, *peaks)


def judge(runs: dict[str, Run]) -> list[str]:
    """Return one line per requirement with the required and the measured value."""
    detect = runs["detect"].images_per_s
    lines = []
    for name, least in (("bulk", MIN_BULK_SPEEDUP), ("ray", MIN_RAY_SPEEDUP)):
        if name in runs:
            measured = runs[name].images_per_s / detect
            result = "holds" if measured >= least else "MISSED"
            lines.append(
                f"{result}: {name} {measured:.2f} x detect; wanted {least:g} x"
            )
    measured = runs["bulk"].memory_mb
    result = "holds" if measured <= MAX_MEMORY_MB else "MISSED"
    lines.append(
        f"{result}: bulk {measured:.0f} MB; wanted at most {MAX_MEMORY_MB:.0f} MB"
    )
    return lines


def growth(cpu_s: float, price: float, images: int = 1_000_000) -> list[str]:
    """Estimate time and cost of `images` by number of machines, without measuring.

    Each core processes its parts sequentially; the time is that of the core with the most
    parts, plus startup. Storage is assumed not to be a bottleneck.
    """
    parts = math.ceil(images / PART_IMAGES)
    hours = images * cpu_s / 3600
    lines = [
        f"arithmetic, not measured: {images:,} images of {cpu_s * 1e3:.1f} ms of one core, "
        f"{parts:,} parts of {PART_IMAGES} images",
        f"{hours:.1f} core hours, {hours * price:.2f} at {price:g} per core hour",
        f"{'machines':>8} {'cores':>6} {'parts per core':>14} {'minutes':>8} {'of ideal':>8}",
    ]
    for machines in MACHINES:
        cores = machines * CORES
        rounds = math.ceil(parts / cores)
        minutes = (START_S + rounds * PART_IMAGES * cpu_s) / 60
        ideal = images * cpu_s / cores / 60
        lines.append(
            f"{machines:8} {cores:6} {rounds:14} {minutes:8.1f} {ideal / minutes:8.0%}"
        )
    return lines


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.bulk", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="folder of images")
    parser.add_argument(
        "--limit", type=int, default=600, help="number of images to measure"
    )
    parser.add_argument("--model", default="accurate")
    parser.add_argument(
        "--price", type=float, default=PRICE, help="price of a core hour"
    )
    parser.add_argument(
        "--arithmetic",
        type=float,
        metavar="S",
        help="estimate only, for S seconds per image",
    )
    parser.add_argument("--without-ray", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    return parser.parse_args(arguments)


def link_images(folder: Path, count: int, target: Path) -> int:
    """Link evenly spaced images of `folder` into `target`; return their number."""
    images = find_images(folder)
    step = max(1, len(images) // count)
    chosen = images[::step][:count]
    target.mkdir()
    for number, path in enumerate(chosen):
        (target / f"{number:06}{path.suffix}").symlink_to(path.absolute())
    return len(chosen)


def run_all(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Run], float]:
    """Return the measured commands, and the CPU seconds per image of bulk."""
    count = link_images(options.folder, options.limit, folder / "in")
    images, model = str(folder / "in"), ["--model", options.model]
    # small parts, so that two processes end at about the same time
    bulk = ["bulk", images, *model, "--part-images", str(max(1, count // 20)), "--out"]
    plans = {
        "detect": ["detect", images, *model, "--out", str(folder / "detect")],
        "bulk": [*bulk, str(folder / "bulk"), "--workers", "2"],
    }
    if find_spec("ray") and not options.without_ray:
        local = ["--workers", "2", "--address", "local"]
        plans["ray"] = [*bulk, str(folder / "ray"), *local]
    runs = {}
    for name, words in plans.items():
        run = measure(name, words, count)
        if run is None:
            continue
        runs[name] = run
        print(
            f"{run.name:8} {run.images_per_s:6.1f} images/s, {run.cpu_ms:6.1f} ms of CPU per "
            f"image with start, {run.memory_mb:5.0f} MB in all, "
            f"{run.largest_mb:5.0f} MB the largest process",
            flush=True,
        )
    status = read_status(folder / "bulk")
    return runs, status.cpu_s / status.images


def main() -> None:
    """Measure, print and write; or print the estimate."""
    options = parse()
    if options.arithmetic is not None:
        print("\n".join(growth(options.arithmetic, options.price)))
        return
    if options.folder is None:
        sys.exit("give a folder of images, or --arithmetic S")
    machine = describe()
    with tempfile.TemporaryDirectory() as folder:
        runs, cpu_s = run_all(options, Path(folder))
    machine["load_after"] = os.getloadavg()[0]
    lines = judge(runs)
    report = {"date": today(), "machine": machine, "cpu_s": cpu_s, "bars": lines}
    report |= {"runs": {name: asdict(run) for name, run in runs.items()}}
    write_text(options.out / "bulk.json", json.dumps(report, indent=1) + "\n")
    print(
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']:.1f} "
        f"before, {machine['load_after']:.1f} after, {report['date']}"
    )
    print("\n".join([*lines, *growth(cpu_s, options.price)]))


if __name__ == "__main__":
    main()
