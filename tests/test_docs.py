"""Generated docs match their sources: docstrings, settings and cards."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_page_of_public_names_matches_the_docstrings():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/write_api.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_page_of_recipes_matches_the_settings():
    pytest.importorskip("torch")
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/write_recipes.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_result_tables_of_the_readme_match_the_cards():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/write_results.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_tables_of_models_match_the_cards():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/write_models.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
