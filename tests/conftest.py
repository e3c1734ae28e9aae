"""What several tests stand on: the data folder, skipped by name where it is absent, and one thread a library."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import pytest

cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the data sets."""
    root = Path(os.environ.get("LINEAMENT_DATA") or Path(__file__).parents[1] / "../shared/data")
    if not root.is_dir():
        pytest.skip(f"needs the data sets: no folder {root}; set LINEAMENT_DATA")
    return root
