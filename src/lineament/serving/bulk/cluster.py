"""Ray Data as the engine of a bulk job: actors on a cluster, or on this machine."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ...errors import WorkError, missing_extra, short_reason
from ...opencv import cv2
from .parts import PartCounts

CPUS_PER_ACTOR = 0.5
"""Less than 1, because actors that occupy all CPUs leave none for reading, and the job hangs."""
MAX_BLOCKS = 4096
"""Maximum number of blocks the parts are divided into; a lost block is processed again."""


class Actor:
    """Callable class for Ray Data: processes a batch of part numbers and returns their counts."""

    def __init__(self, work: Callable[[int], PartCounts]) -> None:
        self._work = work
        cv2.setNumThreads(1)  # there is one actor per core

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Process the parts in a batch."""
        rows: dict[str, list[Any]] = {"part": []}
        for number in batch["part"].tolist():
            rows["part"].append(number)
            for name, value in asdict(self._work(number)).items():
                rows.setdefault(name, []).append(value)
        return rows


def ray_tasks(
    work: Callable[[int], PartCounts],
    tasks: Sequence[int],
    workers: int,
    address: str,
) -> Iterator[tuple[int, PartCounts]]:
    """Yield each task with its result, in order of completion.

    Args:
        work: Picklable; each actor has its own copy.
        tasks: Part numbers.
        workers: Maximum number of actors; 0: one per CPU of the cluster.
        address: "local" starts Ray on this machine; otherwise the address of a cluster, as in
            `ray.init`.

    Raises:
        ExtraError: If Ray is not installed.
        WorkError: If the cluster cannot be reached, or Ray fails.
    """
    try:
        import ray
    except ImportError as error:
        raise missing_extra("ray", "bulk") from error
    _connect(ray, address)
    try:
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call, unused-ignore]
        most = workers or max(1, int(resources.get("CPU", 1)))
        for row in _done_rows(ray, work, tasks, most):
            number = row.pop("part")
            yield number, PartCounts(**row)
    except ray.exceptions.RayError as error:
        raise WorkError(
            f"Ray at {address}: {short_reason(error)}; check the cluster, and that every "
            "machine has this package and the model; a rerun resumes"
        ) from error


def _connect(ray: Any, address: str) -> None:
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    more = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **more)
    except Exception as error:  # Ray raises almost any class, even Exception itself
        raise WorkError(
            f"Ray at {address}: cannot be reached or started ({short_reason(error)}); check "
            "the address and the free memory"
        ) from error


def _done_rows(
    ray: Any, work: Callable[[int], PartCounts], tasks: Sequence[int], most: int
) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    dataset = ray.data.from_items(
        [{"part": number} for number in tasks],
        override_num_blocks=min(len(tasks), MAX_BLOCKS),
    )
    done = dataset.map_batches(
        Actor,
        fn_constructor_args=(work,),
        batch_size=1,
        # a pool of fixed size hangs when a machine leaves the cluster
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        num_cpus=CPUS_PER_ACTOR,
    )
    yield from done.iter_rows()
