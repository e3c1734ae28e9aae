"""docs/api.md says what the docstrings say, docs/recipes.md what the settings say, README.md what the cards say."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_page_of_public_names_is_what_the_docstrings_say():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/write_api.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_page_of_recipes_is_what_the_settings_say():
    pytest.importorskip("torch")
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/write_recipes.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_result_tables_of_the_readme_are_what_the_cards_say():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts/write_results.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
