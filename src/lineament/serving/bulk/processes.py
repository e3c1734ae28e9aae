"""Pool of local worker processes; killed processes are replaced."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from ...errors import WorkError
from ...opencv import cv2

Task = TypeVar("Task")
Result = TypeVar("Result")
WINDOWS_WORKERS = 60
"""Maximum number of processes on Windows, which cannot wait for more than 63."""
MAX_TRIES = 3
"""Number of processes that may die on a task before it is skipped."""
MAX_DEATHS = 12
"""Number of processes that may die consecutively, without a result, before giving up."""


class _WorkerProcess:
    """A worker process and its current task."""

    def __init__(self, work: Callable[[Any], Any], task: Any) -> None:
        # spawn, because a forked process would inherit the locks of threads and ONNX sessions
        context = multiprocessing.get_context("spawn")
        self.connection, child_connection = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(child_connection, work), daemon=True
        )
        self.process.start()
        child_connection.close()  # otherwise the pipe would stay open when the process dies
        self.give(task)

    def give(self, task: Any) -> None:
        """Send the next task to the process."""
        self.task = task
        with suppress(OSError):  # it died; its pipe reports that
            self.connection.send(task)

    def end(self) -> None:
        """Kill the process immediately."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def process_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result | None]]:
    """Yield each task with its result, in order of completion.

    A task whose process dies is given to another process. All processes end when the iterator
    is closed or this process ends for any reason.

    Args:
        work: Picklable; each process has its own copy.
        tasks: Picklable and distinct.
        workers: Number of processes.

    Returns:
        Pairs of task and result; the result is None if MAX_TRIES processes died on the task.

    Raises:
        WorkError: If too many processes die consecutively.
    """
    if sys.platform == "win32":
        workers = min(workers, WINDOWS_WORKERS)
    waiting = deque(tasks)
    tries: Counter[Task] = Counter()
    helpers: list[_WorkerProcess] = []
    deaths = 0
    try:
        while waiting or helpers:
            while waiting and len(helpers) < workers:
                helpers.append(_WorkerProcess(work, waiting.popleft()))
            ready = wait([helper.connection for helper in helpers])
            for helper in [h for h in helpers if h.connection in ready]:
                task = helper.task
                try:
                    result = helper.connection.recv()
                except (EOFError, OSError):
                    helpers.remove(helper)
                    helper.end()
                    tries[task] += 1
                    deaths += 1
                    if deaths >= MAX_DEATHS:
                        raise _too_many_deaths(deaths) from None
                    if tries[task] < MAX_TRIES:
                        waiting.appendleft(task)
                    else:
                        yield task, None
                    continue
                deaths = 0
                if waiting:
                    helper.give(waiting.popleft())
                else:
                    helpers.remove(helper)
                    helper.end()
                yield task, result
    finally:
        for helper in helpers:
            helper.end()


def _too_many_deaths(deaths: int) -> WorkError:
    return WorkError(
        f"{deaths} processes in a row ended without a result; check the free memory, and in "
        'your own script put the call under: if __name__ == "__main__"'
    )


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """Process tasks until the parent process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    cv2.setNumThreads(1)  # there is one process per core
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            connection.send(work(connection.recv()))
        except (EOFError, OSError):
            return


def _end_with_parent() -> None:
    """Exit immediately when the parent process dies, even in the middle of a task."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this process was started by multiprocessing
    parent.join()
    os._exit(1)
