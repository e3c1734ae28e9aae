"""Load-test `lineament serve` with 1 to 64 clients, and compare it with the library.

`python -m bench.server` starts a server and alternates between it and the library, on the same
cores and images. It reports throughput, latency, CPU time and memory. Clients also use CPU, so on a
busy machine CPU time per image is the most reliable figure.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from lineament.inference.predictor import Predictor
from lineament.inference.processors import usable_cores

from .machine import describe

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
CLIENTS = (1, 4, 16, 64)
MIN_RATE_RATIO, MAX_GROWTH = 0.85, 1.1
"""Minimum throughput relative to the library, and maximum memory growth from the first tenth."""
WARM = 20


@dataclass
class Load:
    """Measurements of a load test."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    """Latencies in seconds of responses with faces."""
    statuses: Counter[int] = field(default_factory=Counter)
    cpu_s: float = 0.0
    """CPU time of the server."""

    @property
    def rate(self) -> float:
        """Images per second."""
        return len(self.waits) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return a percentile of the latencies, seconds."""
        if len(self.waits) < 2:
            return max(self.waits, default=0.0)
        return statistics.quantiles(self.waits, n=100, method="inclusive")[percent - 1]


@contextmanager
def server(workers: int, model: str, wait_s: float) -> Iterator[tuple[int, int]]:
    """Run a server; yield its process id and port once it is ready."""
    words = [sys.executable, "-m", "lineament", "serve", "--port", "0"]
    words += ["--workers", str(workers), "--model", model, "--wait-s", str(wait_s)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "serving at" in line:
                port = int(line.rpartition(":")[2])
            if "ready after" in line:
                break
        # the log must be read, or the server would block
        with ThreadPoolExecutor(1) as reader:
            reader.submit(process.stderr.read)
            try:
                yield process.pid, port
            finally:
                process.terminate()
                process.wait(20)
    finally:
        process.kill()


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process, seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def ask(
    port: int, images: Iterator[bytes], load: Load, end: float, limit: int
) -> None:
    """Simulate one client that sends requests one after the other until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < end and load.statuses.total() < limit:
        data = next(images)
        head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        start = time.monotonic()
        writer.write(head.encode() + data)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        await reader.readexactly(length)
        status = int(answer.split()[1])
        load.statuses[status] += 1
        if status == 200:
            load.waits.append(time.monotonic() - start)
        elif "retry-after: " in answer:
            after = answer.partition("retry-after: ")[2].partition("\r\n")[0]
            writer.close()  # the server closes idle connections
            await asyncio.sleep(int(after))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def run_clients(
    port: int, images: list[bytes], clients: int, seconds: float, limit: int
) -> Load:
    """Run `clients` for a time or up to a number of responses; return the measurements."""
    load, start = Load(), time.monotonic()
    turn = cycle(images)
    end = start + seconds
    await asyncio.gather(*(ask(port, turn, load, end, limit) for _ in range(clients)))
    load.seconds = time.monotonic() - start
    return load


def load_server(
    pid: int,
    port: int,
    images: list[bytes],
    clients: int,
    seconds: float = 1e9,
    limit: int = sys.maxsize,
) -> Load:
    """Load the server; return the measurements with the server's CPU time."""
    before = cpu_s(pid)
    load = asyncio.run(run_clients(port, images, clients, seconds, limit))
    load.cpu_s = cpu_s(pid) - before
    return load


def run_library(
    predictor: Predictor, images: list[bytes], threads: int, seconds: float
) -> Load:
    """Return the same measurements for the library, called in threads."""
    load, start, turn = Load(), time.monotonic(), cycle(images)
    cpu = time.process_time()

    def work() -> None:
        while time.monotonic() < start + seconds:
            data, before = next(turn), time.monotonic()
            json.dumps([face.landmarks.tolist() for face in predictor(data)])
            load.waits.append(time.monotonic() - before)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()
    load.seconds = time.monotonic() - start
    load.cpu_s = time.process_time() - cpu
    return load


def mean_of(loads: list[Load]) -> Load:
    """Combine several measurements into one."""
    total = Load()
    for load in loads:
        total.seconds += load.seconds
        total.waits += load.waits
        total.cpu_s += load.cpu_s
    return total


def row(name: str, load: Load) -> str:
    """Format a line of the table."""
    refused, images = load.statuses[503], max(len(load.waits), 1)
    failed = sum(n for code, n in load.statuses.items() if code not in (200, 503))
    return (
        f"{name:<22} {load.rate:7.1f} {1000 * load.percentile(50):7.0f} "
        f"{1000 * load.percentile(99):7.0f} {1000 * load.cpu_s / images:7.1f} "
        f"{refused:5d} {failed:6d}"
    )


def verdict(text: str, value: float, holds: bool) -> None:
    """Print whether a requirement is met."""
    print(f"{'holds ' if holds else 'MISSED'} {text}: {value:.3g}")


def compare(
    pid: int, port: int, images: list[bytes], clients: int, options: argparse.Namespace
) -> None:
    """Measure one number of clients, and the library before and after."""
    threads = min(clients, options.workers)
    predictor = Predictor(options.model, threads=1)
    half = options.seconds / 2
    first = run_library(predictor, images, threads, half)
    load = load_server(pid, port, images, clients, options.seconds)
    library = mean_of([first, run_library(predictor, images, threads, half)])
    print(row(f"library, {threads} threads", library))
    print(row(f"server, {clients} clients", load) + f" {memory_mb(pid):6.0f}")
    service_s = library.percentile(50)
    limit = options.wait_s + 3 * service_s
    ratio, p99 = load.rate / library.rate, load.percentile(99)
    bad = load.statuses.total() - load.statuses[200] - load.statuses[503]
    verdict(
        f"rate of the library's, at least {MIN_RATE_RATIO}",
        ratio,
        ratio >= MIN_RATE_RATIO,
    )
    verdict(f"p99, at most {limit:.2f} s", p99, p99 <= limit)
    verdict("answers other than 200 and 503, none", bad, bad == 0)


def check_memory(pid: int, port: int, images: list[bytes], requests: int) -> None:
    """Print the memory over many requests."""
    sizes = []
    for tenth in range(1, 11):
        load = load_server(pid, port, images, 16, limit=requests // 10)
        sizes.append(memory_mb(pid))
        done = tenth * requests // 10
        print(
            f"after {done} requests: {sizes[-1]:.0f} MB, {load.rate:.1f}/s", flush=True
        )
    growth = sizes[-1] / sizes[0]
    verdict(f"growth, at most {MAX_GROWTH}", growth, growth <= MAX_GROWTH)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", type=Path, help="images to send")
    parser.add_argument("--model", default="accurate")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--wait-s", type=float, default=2.0)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="duration of each measurement"
    )
    parser.add_argument(
        "--requests", type=int, default=5000, help="requests of the memory check"
    )
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    options = parser.parse_args()
    names = ("astronaut.jpg", "grace_hopper.jpg")
    paths = options.images or [PICTURES / name for name in names]
    images = [path.read_bytes() for path in paths]
    print(json.dumps(describe()))
    load_average = os.getloadavg()[0]
    print(f"load of the machine before: {load_average:.1f}; workers: {options.workers}")
    print(" " * 22, "    img/s  p50 ms  p99 ms  CPU ms   503  other     MB")
    with server(options.workers, options.model, options.wait_s) as (pid, port):
        load_server(pid, port, images, options.workers, limit=WARM)
        for clients in options.clients:
            compare(pid, port, images, clients, options)
        if options.requests:
            check_memory(pid, port, images, options.requests)


if __name__ == "__main__":
    main()
