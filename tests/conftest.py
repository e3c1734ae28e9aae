"""Fixtures: the data folder, drawn faces, a tiny network to train; one thread per library."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import pytest

from faces import write_faces

cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of the data sets; skip the test if there is none."""
    root = Path(
        os.environ.get("LINEAMENT_DATA") or Path(__file__).parents[1] / "../shared/data"
    )
    if not root.is_dir():
        pytest.skip(f"needs the data sets: no folder {root}; set LINEAMENT_DATA")
    return root


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Return a folder of 30 drawn faces with their landmarks."""
    folder: Path = tmp_path_factory.mktemp("data") / "faces"
    write_faces(folder, 30)
    return folder


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Register the backbone "tiny", for tests of training, which need torch."""
    from lineament.models.backbones.registry import BACKBONES
    from tiny import Tiny

    monkeypatch.setitem(BACKBONES, "tiny", Tiny)
