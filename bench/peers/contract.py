"""Protocol of a peer process: JSON lines in and out; NumPy and the standard library only.

An image is a .npy file of RGB uint8 (H, W, 3), so every peer gets the same pixels without the cost
of decoding. A box is the tight box of the 68 landmarks, (x0, y0, x1, y1), integers at pixel
centers.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Peer(Protocol):
    """Interface of an adapter."""

    scheme: str
    """Scheme of the peer's points, a name in lineament.schemes."""
    version: str
    """Package and version, for the table."""
    batching: str
    """Short description of how two threads are used for 64 faces."""

    def points(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray | None:
        """Run the landmark stage including the crop: landmarks (N, 2), pixels; None for a miss."""

    def network(self, image: np.ndarray, box: Sequence[float]) -> Callable[[], object]:
        """Return a function that runs only the model on this face, with prepared input."""

    def batch(
        self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]
    ) -> None:
        """Run the landmark stage of all faces on two threads, in the fastest way for this peer."""


def pin(cpus: Sequence[int]) -> None:
    """Pin every thread of this process, including those of native pools, to `cpus`."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), cpus)
        except ProcessLookupError:  # the thread has just ended
            continue


def peak_mb() -> float:
    """Return the peak resident memory of this process, in MB.

    This reads VmHWM, because ru_maxrss starts at the parent's peak after fork and exec.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmHWM in /proc/self/status; the benchmark needs Linux")


def _load(
    faces: Sequence[dict[str, Any]],
) -> tuple[list[np.ndarray], list[Sequence[float]]]:
    return [np.load(f["image"], allow_pickle=False) for f in faces], [
        f["box"] for f in faces
    ]


def _ms(
    act: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    start = clock()
    act()
    return (clock() - start) * 1e3


def answer(peer: Peer, request: dict[str, Any]) -> dict[str, Any]:
    """Return the reply of `peer` to one request.

    {"do": "predict", "image", "box"} -> {"points", "ms"};  {"do": "memory"} -> {"peak_mb"};
    {"do": "time", "faces"} -> {"ms", "cpu_ms", "net_ms"}, one per face;
    {"do": "batch", "faces"} -> {"ms"} of all.
    If a request has "cpus", the process is pinned to them first.

    Raises:
        ValueError: If the request is unknown.
    """
    if "cpus" in request:
        pin(request["cpus"])
    do = request.get("do")
    if do == "predict":
        image = np.load(request["image"], allow_pickle=False)
        start = time.perf_counter()
        points = peer.points(image, request["box"])
        ms = (time.perf_counter() - start) * 1e3
        return {
            "points": None
            if points is None
            else np.asarray(points, dtype=float).tolist(),
            "ms": ms,
        }
    if do == "time":
        images, boxes = _load(request["faces"])
        pairs = list(zip(images, boxes, strict=True))
        for image, box in pairs[:3]:
            peer.points(image, box)
        stages = [lambda i=image, b=box: peer.points(i, b) for image, box in pairs]
        return {
            "ms": [_ms(stage) for stage in stages],
            "cpu_ms": [_ms(stage, time.process_time) for stage in stages],
            "net_ms": [_ms(peer.network(image, box)) for image, box in pairs],
        }
    if do == "batch":
        images, boxes = _load(request["faces"])
        return {"ms": _ms(lambda: peer.batch(images, boxes))}
    if do == "memory":
        return {"peak_mb": peak_mb()}
    raise ValueError(f"request {do!r}; expected predict, time, batch, memory or stop")


def serve(make: Callable[[list[str]], Peer]) -> None:
    """Serve requests from standard input until it ends or requests a stop; reply to errors, too."""
    # native libraries may print to stdout, but only replies may reach the pipe
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(reply: dict[str, Any]) -> None:
        out.write(json.dumps(reply) + "\n")
        out.flush()

    try:
        peer = make(sys.argv[1:])
        send(
            {
                "ready": True,
                "scheme": peer.scheme,
                "version": peer.version,
                "batching": peer.batching,
            }
        )
    except Exception as error:
        send({"error": f"{type(error).__name__}: {error}"})
        return
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("do") == "stop":
            return
        try:
            send(answer(peer, request))
        except Exception as error:
            send({"error": f"{type(error).__name__}: {error}"})
