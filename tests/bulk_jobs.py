"""A bulk job for tests: small images, a fake predictor, rows; `python -m bulk_jobs` runs one."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lineament.face import Face, Faces
from lineament.serving.bulk.folder import OutputFolder
from lineament.serving.bulk.images import ReadOptions
from lineament.serving.bulk.job import run_missing
from lineament.serving.bulk.parts import PartWorker
from lineament.serving.bulk.plan import PARTS, open_plan

SCHEME, POINTS = "five", 5
DEADLY = 99
"""Mean red of an image that kills the process which predicts it."""


class MeanColor:
    """A fake predictor: as many faces as the mean red value, at (mean green, mean blue).

    Args:
        delay_s: Time per image, seconds.
    """

    def __init__(self, delay_s=0.0):
        self.delay_s = delay_s

    def __call__(self, images, boxes=None):
        return [self.faces(image) for image in images]

    def faces(self, image):
        time.sleep(self.delay_s)
        red, green, blue = image.reshape(-1, 3).mean(0)
        if red == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        places = np.column_stack([np.arange(5) + green, np.arange(5) + blue])
        unknown = np.full(POINTS, 0.5)
        box = [green, blue, green + 4, blue + 4]
        face = Face(places, unknown, unknown, box, 0.5, SCHEME)
        size = (image.shape[1], image.shape[0])
        return Faces((face,) * int(red), SCHEME, POINTS, size)


def image_of(number):
    """Return a small image that encodes 0 to 2 faces at a unique position."""
    color = (number % 3, number % 200, number // 200)
    return Image.new("RGB", (8, 6), color)


def write_images(folder, count, broken_every=0):
    """Write `count` images in two folders; every `broken_every`-th file contains text instead."""
    for number in range(count):
        path = folder / f"{number % 2}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if broken_every and number % broken_every == 7:
            path.write_text("no image")
        else:
            image_of(number).save(path)
    return folder


def start_job(inputs, out, part_images=5, delay_s=0.0, **options):
    """Return the worker of a job after writing or reading its plan."""
    plan = open_plan(OutputFolder(out), list(map(str, inputs)), {}, part_images)
    return PartWorker(str(out), plan, MeanColor(delay_s), ReadOptions(**options))


def run_job(inputs, out, workers=1, address=None, **options):
    """Run a job to completion and return the counts of its parts by part number."""
    worker = start_job(inputs, out, **options)
    return dict(run_missing(worker, workers, address))


def run_here(inputs, out, **options):
    """Run a job in this process, without worker processes or Ray."""
    worker = start_job(inputs, out, **options)
    return {n: worker(n) for n in worker.plan.missing(OutputFolder(out))}


def rows_of(out, folder=""):
    """Return the rows of a job as sorted tuples, with image paths relative to `folder`."""
    import pyarrow.parquet as parquet

    rows = []
    for path in sorted(Path(out, PARTS).glob("*.parquet")):
        for row in parquet.ParquetFile(path).read().to_pylist():
            row["image"] = row["image"].removeprefix(str(folder))
            row["error"] = (row["error"] or "").replace(str(folder), "")
            rows.append(tuple(map(str, row.values())))
    return sorted(rows)


def children(pid):
    """Return the running child processes of `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text(encoding="ascii").split())
        except OSError:  # the thread has exited
            continue
    return found


def wait_for_parts(out, count, job, timeout_s=60):
    """Wait until `count` parts are written or the job has ended."""
    end = time.monotonic() + timeout_s
    while len(list(Path(out, PARTS).glob("*.parquet"))) < count and job.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)


if __name__ == "__main__":
    run_job([sys.argv[1]], sys.argv[2], workers=2, part_images=5, delay_s=0.01)
