"""Freed memory is reused."""

import subprocess
import sys

import pytest

WATCH = """
import resource, sys
import numpy as np
from lineament.training.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "kept" else True
for k in range(12):
    if k == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(10_000_000) for _ in range(2)]
    del blocks
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no mallopt")
def test_freed_blocks_of_80_mb_are_reused():
    found = {}
    for which in ("kept", "handed back"):
        done = subprocess.run(
            [sys.executable, "-c", WATCH, which],
            capture_output=True,
            text=True,
            check=True,
        )
        kept, faults = done.stdout.split()
        if kept == "False":
            pytest.skip("the C library has no mallopt")
        found[which] = int(faults)
    assert found["kept"] < 100 < found["handed back"]
