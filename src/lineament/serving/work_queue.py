"""The work queue: threads that run jobs, and estimates of the waiting time."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .refusals import busy

FIRST_COST_S = 0.05
"""Initial estimate of the duration of a kind of job, seconds."""
DECAY = 0.9
"""Weight of previous measurements in the running average of a job's duration."""


class ClientGoneError(Exception):
    """The client disconnected before the response."""


@dataclass(eq=False)
class Job:
    """One unit of work; its future receives the outcome."""

    kind: str
    """Kind of job; jobs of the same kind take about the same time."""
    work: Callable[[list[Any]], Sequence[Any]]
    """Maps items to one outcome each; an outcome may be an exception."""
    item: Any
    batch_key: Hashable = None
    """Jobs with equal keys may share a call of `work`; None: never."""
    future: "Future[Any]" = field(default_factory=Future)


class WorkQueue:
    """Runs jobs in threads in first-in, first-out order. Thread-safe.

    Args:
        workers: Number of threads.
        wait_s: Maximum expected wait, seconds; jobs that would wait longer are rejected.
        max_batch: Maximum number of jobs that share a call.
    """

    def __init__(self, workers: int, wait_s: float, max_batch: int = 1) -> None:
        self.workers, self.wait_s, self.max_batch = workers, wait_s, max_batch
        self._jobs: deque[Job] = deque()
        self._running: dict[int, tuple[float, float]] = {}  # start, cost by thread
        self._costs: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closed = False
        for number in range(workers):
            name = f"lineament-{number}"
            threading.Thread(target=self._run_jobs, name=name, daemon=True).start()

    def __len__(self) -> int:
        """Return the number of waiting and running jobs."""
        with self._changed:
            return len(self._waiting()) + len(self._running)

    def expected_wait_s(self) -> float:
        """Return the expected waiting time of a new job, seconds."""
        with self._changed:
            return self._expected_wait_s()

    def check_wait(self) -> None:
        """Raise a Refusal if a new job would have to wait too long."""
        wait_s = self.expected_wait_s()
        if wait_s > self.wait_s:
            raise busy(wait_s)

    def submit(self, job: Job, always: bool = False) -> Job:
        """Add a job.

        Args:
            always: Accept the job regardless of the expected wait.

        Raises:
            Refusal: If the job would have to wait too long.
        """
        with self._changed:
            wait_s = self._expected_wait_s()
            if wait_s > self.wait_s and not always:
                raise busy(wait_s)
            # a cancelled job would hold its image until a thread takes it
            self._jobs = deque(self._waiting())
            self._jobs.append(job)
            self._changed.notify()
        return job

    def close(self) -> None:
        """Stop the threads after the running jobs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _waiting(self) -> list[Job]:
        return [job for job in self._jobs if not job.future.cancelled()]

    def _expected_wait_s(self) -> float:
        waiting = self._waiting()
        if not waiting and len(self._running) < self.workers:
            return 0.0
        now, total = time.monotonic(), 0.0
        for job in waiting:
            total += self._costs.get(job.kind, FIRST_COST_S)
        for start, cost in self._running.values():
            total += max(cost - (now - start), 0.0)
        return total / self.workers

    def _run_jobs(self) -> None:
        while batch := self._next_batch():
            self._run(batch)
            del batch  # so that an idle thread holds no image

    def _next_batch(self) -> list[Job]:
        """Wait for the next job; return it with others of its key, or an empty list at shutdown."""
        with self._changed:
            while True:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return []
                first = self._jobs.popleft()
                if first.future.set_running_or_notify_cancel():
                    break
            batch = [first, *self._partners(first)]
            cost = self._costs.get(first.kind, FIRST_COST_S) * len(batch)
            self._running[threading.get_ident()] = (time.monotonic(), cost)
            return batch

    def _partners(self, first: Job) -> list[Job]:
        """Remove and return the waiting jobs that can share a call with `first`."""
        if self.max_batch == 1 or first.batch_key is None:
            return []
        partners: list[Job] = []
        for job in list(self._jobs):
            if len(partners) + 1 == self.max_batch:
                break
            if job.batch_key == first.batch_key:
                self._jobs.remove(job)
                if job.future.set_running_or_notify_cancel():
                    partners.append(job)
        return partners

    def _run(self, batch: list[Job]) -> None:
        start = time.monotonic()
        try:
            outcomes = batch[0].work([job.item for job in batch])
        except Exception as error:  # a failing job must not end its thread
            outcomes = [error] * len(batch)
        seconds = (time.monotonic() - start) / len(batch)
        with self._changed:
            kind = batch[0].kind
            before = self._costs.get(kind, seconds)
            self._costs[kind] = DECAY * before + (1 - DECAY) * seconds
            del self._running[threading.get_ident()]
        for job, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)


async def outcome_of(
    job: Job, gone: "asyncio.Future[Any] | None" = None, wait_s: float | None = None
) -> Any:
    """Return the outcome of a submitted job.

    Args:
        gone: Completes when the client disconnects; the job is then cancelled.
        wait_s: Time after which a job that has not started is rejected, seconds; None: no
            limit.

    Raises:
        ClientGoneError: If the client disconnects.
        Refusal: If the job does not start in time.
    """
    future = asyncio.wrap_future(job.future)
    future.add_done_callback(_read_exception)
    awaited = {future} if gone is None else {future, gone}
    first = asyncio.FIRST_COMPLETED
    try:
        done, _ = await asyncio.wait(awaited, timeout=wait_s, return_when=first)
        if not done:
            if job.future.cancel():
                raise busy(wait_s or 1)
            await asyncio.wait(awaited, return_when=first)
        if future.done():
            return future.result()
        raise ClientGoneError
    finally:
        job.future.cancel()  # has no effect on a running job


def _read_exception(future: "asyncio.Future[Any]") -> None:
    # asyncio would log an unretrieved exception including its text
    if not future.cancelled():
        future.exception()
