"""Bulk jobs: an engine processes the missing parts; the status can be read at any time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ...errors import DataError, WorkError
from ...inference.processors import usable_cores
from .cluster import ray_tasks
from .folder import OutputFolder
from .parts import PartCounts, PartWorker, read_counts
from .plan import PARTS, Plan, read_plan
from .processes import MAX_TRIES, process_tasks

READERS = 16
"""Number of parts whose metadata is read concurrently, to hide network latency."""


def run_missing(
    worker: PartWorker, workers: int = 0, address: str | None = None
) -> Iterator[tuple[int, PartCounts]]:
    """Process the missing parts; yield each with its counts once it is written.

    Args:
        workers: Number of processes or actors; 0: one per core.
        address: Address of a Ray cluster, or "local" for Ray on this machine; None: local
            processes without Ray.

    Raises:
        WorkError: If processes or the cluster fail repeatedly.
    """
    folder = OutputFolder(worker.out)
    missing = worker.plan.missing(folder)
    failed: set[int] = set()
    while missing:
        for number, counts in _engine(worker, missing, workers, address):
            if counts.failure:
                failed.add(number)
            yield number, counts
        # existing files decide what is done, so tasks lost by an engine are retried
        left = set(worker.plan.missing(folder)) - failed
        if len(left) == len(missing):
            raise WorkError(
                f"{len(left)} parts were submitted but not finished; see the log of "
                "the engine"
            )
        missing = sorted(left)
    if not failed:
        folder.remove_partial_files(PARTS)


def _engine(
    worker: PartWorker, missing: Sequence[int], workers: int, address: str | None
) -> Iterator[tuple[int, PartCounts]]:
    if address is not None:
        yield from ray_tasks(worker, missing, workers, address)
        return
    for number, counts in process_tasks(worker, missing, workers or usable_cores()):
        if counts is None:
            message = (
                f"{MAX_TRIES} processes died while working on it, perhaps for lack of "
                "memory"
            )
            counts = PartCounts(failure=message)
        yield number, counts


@dataclass(frozen=True)
class JobStatus:
    """Status of a job, derived from the existing files."""

    plan: Plan
    parts: int
    """Number of finished parts, out of `plan.parts`."""
    images: int
    faces: int
    errors: int
    cpu_s: float
    """CPU time of the processed images, seconds."""

    @property
    def is_done(self) -> bool:
        """Return True if all parts are finished."""
        return self.parts == self.plan.parts

    @property
    def cpu_hours_per_million(self) -> float | None:
        """Return CPU hours per million images, from the processed ones; None if there are none."""
        return self.cpu_s / self.images * 1e6 / 3600 if self.images else None


def read_status(out: str | os.PathLike[str]) -> JobStatus:
    """Return the status of the job in the folder `out`.

    Raises:
        DataError: If the folder contains no job.
    """
    folder = OutputFolder(out)
    plan = read_plan(folder)
    if plan is None:
        raise DataError(
            f"{folder}: contains no plan of a bulk job; give the --out of `lineament "
            "bulk`"
        )
    missing = set(plan.missing(folder))
    names = []
    for number in range(plan.parts):
        if number not in missing:
            names.append(folder.file(f"{PARTS}/{plan.part_name(number)}"))
    with ThreadPoolExecutor(READERS) as pool:
        counts = list(pool.map(read_counts, names))
    images = faces = errors = 0
    cpu_s = 0.0
    for part in counts:
        images += part.images
        faces += part.faces
        errors += part.errors
        cpu_s += part.cpu_s
    return JobStatus(plan, len(names), images, faces, errors, round(cpu_s, 3))
