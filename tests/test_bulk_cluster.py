"""Bulk jobs on Ray: the rows of a local job, even if a machine leaves the cluster."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bulk_jobs import children, rows_of, run_here, wait_for_parts, write_images
from lineament.errors import WorkError
from lineament.serving.bulk.cluster import CPUS_PER_ACTOR, ray_tasks

pytest.importorskip("ray")
TIMEOUT_S = 400


def start(*words):
    """Start a job on Ray in a separate process, so that Ray's leftovers do not affect the tests."""
    folder = str(Path(__file__).parent)
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "bulk_cluster", *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(job):
    """Return the number of parts that the job completed; kill it if it hangs."""
    try:
        printed, errors = job.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        raise
    assert job.returncode == 0, errors
    return int(re.search(r"parts (\d+)", printed)[1])


def test_actors_reserve_less_than_one_cpu():
    assert CPUS_PER_ACTOR < 1


@pytest.mark.slow
def test_ray_on_this_machine_gives_the_rows_of_one_process(tmp_path):
    folder = write_images(tmp_path / "in", 60, broken_every=60)
    run_here([folder], tmp_path / "a")
    assert finish(start(folder, tmp_path / "b")) == 12
    assert rows_of(tmp_path / "b") == rows_of(tmp_path / "a")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_killed_actors_and_drivers_lose_and_duplicate_no_rows(tmp_path):
    folder, out = write_images(tmp_path / "in", 400), tmp_path / "out"
    run_here([folder], tmp_path / "whole")
    job = start(folder, out)
    wait_for_parts(out, 3, job, TIMEOUT_S)
    actors = actors_of(job.pid)
    os.kill(actors[0], signal.SIGKILL)
    wait_for_parts(out, 20, job, TIMEOUT_S)
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    done = len(list(out.rglob("part-*")))
    assert done < 80
    assert finish(start(folder, out)) <= 80 - done
    assert rows_of(out) == rows_of(tmp_path / "whole")


def actors_of(pid):
    """Return the actors among the descendants of a process."""
    found = []
    for child in children(pid):
        title = Path(f"/proc/{child}/cmdline").read_bytes()
        found += [child] if title.startswith(b"ray::MapWorker") else []
        found += actors_of(child)
    return found


@pytest.mark.slow
def test_a_removed_machine_loses_and_duplicates_no_rows(tmp_path):
    folder, out = write_images(tmp_path / "in", 200, broken_every=100), tmp_path / "out"
    run_here([folder], tmp_path / "whole")
    assert finish(start(folder, out, "leave")) == 40
    assert rows_of(out) == rows_of(tmp_path / "whole")


def test_a_cluster_that_cannot_be_reached_is_a_single_error(monkeypatch):
    def refuse(address, **options):
        raise ConnectionError(f"no GCS at {address}")

    errors = SimpleNamespace(RayError=RuntimeError)
    ray = SimpleNamespace(is_initialized=bool, init=refuse, exceptions=errors)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(WorkError, match=r"Ray at h:9: .*\(no GCS at h:9\); check"):
        list(ray_tasks(print, [0], 1, "h:9"))
