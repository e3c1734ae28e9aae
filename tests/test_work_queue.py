"""The queue of the server: order, expected wait, batches, cancelled jobs."""

import asyncio
import threading
import time

import pytest

from lineament.serving.refusals import Refusal
from lineament.serving.work_queue import ClientGoneError, Job, WorkQueue, outcome_of


@pytest.fixture
def make_queue():
    made = []

    def make(*arguments):
        made.append(WorkQueue(*arguments))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


def doubled(items):
    return [2 * item for item in items]


class Gate:
    """Work that waits for the event `opened` and records its batches."""

    def __init__(self):
        self.opened, self.entered, self.batches = (
            threading.Event(),
            threading.Event(),
            [],
        )

    def __call__(self, items):
        self.batches.append(list(items))
        self.entered.set()
        assert self.opened.wait(30)
        return items


def test_a_job_returns_the_result_of_its_work(make_queue):
    queue = make_queue(2, 1.0)
    jobs = [queue.submit(Job("double", doubled, number)) for number in range(20)]
    assert [job.future.result(10) for job in jobs] == list(range(0, 40, 2))


def test_a_thread_survives_failing_work(make_queue):
    queue = make_queue(1, 1.0)
    failed = queue.submit(Job("fail", lambda items: 1 / 0, None))
    with pytest.raises(ZeroDivisionError):
        failed.future.result(10)
    assert queue.submit(Job("double", doubled, 4)).future.result(10) == 8


def test_an_error_as_result_fails_only_its_job(make_queue):
    queue = make_queue(1, 1.0, 4)
    gate = Gate()
    first = queue.submit(Job("wait", gate, 0))
    assert gate.entered.wait(10)
    mixed = [
        queue.submit(
            Job(
                "mixed", lambda items: [ValueError() if i else i for i in items], i, "k"
            ),
            always=True,
        )
        for i in (0, 1)
    ]
    gate.opened.set()
    assert first.future.result(10) == 0
    assert mixed[0].future.result(10) == 0
    with pytest.raises(ValueError):  # noqa: PT011, the error has no text
        mixed[1].future.result(10)


def test_jobs_of_one_key_share_a_call_and_others_do_not(make_queue):
    queue = make_queue(1, 1.0, 3)
    gate = Gate()
    queue.submit(Job("wait", gate, "first"))
    assert gate.entered.wait(10)
    keys = {"a": "k", "b": "other", "c": "k", "d": "k", "e": "k", "f": None}
    jobs = [
        queue.submit(Job("wait", gate, item, key), always=True)
        for item, key in keys.items()
    ]
    jobs[2].future.cancel()  # c is cancelled, so d takes its place in the batch
    gate.opened.set()
    for job in (*jobs[:2], *jobs[3:]):
        job.future.result(10)
    assert gate.batches == [["first"], ["a", "d", "e"], ["b"], ["f"]]


def test_without_a_batch_size_each_job_runs_alone(make_queue):
    queue = make_queue(1, 1.0)
    gate = Gate()
    gate.opened.set()
    jobs = [queue.submit(Job("wait", gate, i, "k"), always=True) for i in range(4)]
    for job in jobs:
        job.future.result(10)
    assert gate.batches == [[0], [1], [2], [3]]


def test_a_job_that_would_wait_too_long_is_rejected_with_the_time(make_queue):
    queue = make_queue(1, 3.0)
    queue._costs["wait"] = 2.0
    gate = Gate()
    queue.submit(Job("wait", gate, 0))
    assert gate.entered.wait(10)
    assert 1.0 < queue.expected_wait_s() <= 2.0
    waiting = queue.submit(Job("wait", gate, 1))
    assert 3.0 < queue.expected_wait_s() <= 4.0
    with pytest.raises(Refusal) as refused:
        queue.submit(Job("wait", gate, 2))
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] in ("3", "4")
    waiting.future.cancel()  # a cancelled job makes room immediately
    assert queue.expected_wait_s() <= 2.0
    assert len(queue) == 1
    gate.opened.set()


def test_the_expected_time_follows_the_measured_one(make_queue):
    queue = make_queue(1, 1.0)
    for _ in range(3):
        queue.submit(
            Job("sleep", lambda items: time.sleep(0.02) or items, 0)
        ).future.result(10)
    wanted = queue._costs["sleep"]
    assert 0.02 <= wanted < 0.5


def test_a_job_that_does_not_start_in_time_is_rejected(make_queue):
    queue = make_queue(1, 10.0)
    gate = Gate()
    queue.submit(Job("wait", gate, 0))
    assert gate.entered.wait(10)
    late = queue.submit(Job("wait", gate, 1))
    with pytest.raises(Refusal, match="busy"):
        asyncio.run(outcome_of(late, wait_s=0.05))
    assert late.future.cancelled()
    gate.opened.set()


def test_a_job_that_started_in_time_is_waited_for(make_queue):
    queue = make_queue(1, 10.0)
    slow = queue.submit(Job("sleep", lambda items: time.sleep(0.3) or items, 5))
    assert asyncio.run(outcome_of(slow, wait_s=0.1)) == 5


def test_a_cancelled_job_never_runs(make_queue):
    queue = make_queue(1, 10.0)
    gate = Gate()
    queue.submit(Job("wait", gate, 0))
    assert gate.entered.wait(10)
    waiting = queue.submit(Job("wait", gate, 1))

    async def leave():
        gone = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        await outcome_of(waiting, gone)

    with pytest.raises(ClientGoneError):
        asyncio.run(leave())
    last = queue.submit(Job("wait", gate, 2), always=True)
    gate.opened.set()
    last.future.result(10)
    assert gate.batches == [[0], [2]]
