"""Generated docs match their sources: docstrings, settings and cards."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["api", "recipes", "results", "models"])
def test_a_generated_page_matches_its_source(page):
    if page == "recipes" and importlib.util.find_spec("torch") is None:
        pytest.skip("the settings of networks need torch")
    done = subprocess.run(
        [sys.executable, ROOT / f"scripts/write_{page}.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
