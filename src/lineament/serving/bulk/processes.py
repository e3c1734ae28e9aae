"""Processes of this machine that work on tasks; one that is killed is replaced."""

import multiprocessing
import os
import signal
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
MAX_TRIES = 3
"""Processes that may die on one task before it is given up."""
MAX_DEATHS = 12
"""Processes that may die in a row, without a result between, before all is given up."""


class _Helper:
    """One process, and the task that it has."""

    def __init__(self, work: Callable[[Any], Any], task: Any) -> None:
        # spawn: a fork would inherit threads' locks, and sessions on several threads
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()  # else the death of the process would not close the pipe
        self.give(task)

    def give(self, task: Any) -> None:
        """Give the next task."""
        self.task = task
        with suppress(OSError):  # it died meanwhile, which its pipe reports
            self.connection.send(task)

    def end(self) -> None:
        """End the process now."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def process_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result | None]]:
    """Yield each task with its result, in the order in which they are finished.

    A task whose process dies is given to another one. Closing the iterator ends all
    processes; so does the end of this process, in any way.

    Args:
        work: Can be pickled; each process has its own copy.
        tasks: Can be pickled, and are unequal.
        workers: Number of processes.

    Returns:
        Pairs; the result is None if MAX_TRIES processes died on the task.

    Raises:
        WorkError: If processes die one after the other.
    """
    waiting = deque(tasks)
    tries: Counter[Task] = Counter()
    helpers: list[_Helper] = []
    deaths = 0
    try:
        while waiting or helpers:
            while waiting and len(helpers) < workers:
                helpers.append(_Helper(work, waiting.popleft()))
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
                        raise _hopeless(deaths) from None
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


def _hopeless(deaths: int) -> WorkError:
    return WorkError(
        f"{deaths} processes in a row ended without a result; check the free memory, and in "
        'a script of your own start under: if __name__ == "__main__"'
    )


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """Answer tasks until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    cv2.setNumThreads(1)  # there are as many processes as cores
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            connection.send(work(connection.recv()))
        except (EOFError, OSError):
            return


def _end_with_parent() -> None:
    """End this process at once when its parent is gone, even in the middle of a task."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # it was started by one
    parent.join()
    os._exit(1)
