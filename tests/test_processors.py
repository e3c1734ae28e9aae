"""The number of processors is limited by affinity and by the container."""

import os

import pytest

from lineament.inference import processors
from lineament.inference.processors import container_limit, usable_cores


def write_v1(folder, quota, period):
    (folder / "cpu").mkdir()
    (folder / "cpu/cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu/cpu.cfs_period_us").write_text(period)


@pytest.fixture
def container(tmp_path, monkeypatch):
    """Return the folder of limits of a container that is bound to 8 processors."""
    monkeypatch.setattr(processors, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    return tmp_path


# a quota of 150 ms per 100 ms is the time of one and a half processors: two are used
@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000\n", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("6400000 100000", 8),
        ("max 100000", 8),
        ("garbage", 8),
    ],
)
def test_the_limit_of_a_container_limits_the_processors(container, text, cores):
    (container / "cpu.max").write_text(text)
    assert usable_cores() == cores


@pytest.mark.parametrize(("quota", "limit"), [("250000", 2.5), ("-1", None)])
def test_limits_of_older_kernels_are_read(container, quota, limit):
    write_v1(container, quota, "100000")
    assert container_limit() == limit


def test_without_a_container_all_processors_are_used(container):
    assert container_limit() is None
    assert usable_cores() == 8
