"""Write generated files, or check that they match their sources."""

import sys
import tomllib
from pathlib import Path

CARDS = Path(__file__).parents[1] / "recipes" / "cards.toml"
WORDS = tomllib.loads(CARDS.read_text(encoding="utf-8"))
"""Texts of cards by name of the model or weights; "common" applies to all."""


def keep(path: Path, text: str, complaint: str) -> None:
    """Write `text` to `path`; with --check, exit with `complaint` if the file differs."""
    if "--check" not in sys.argv:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        sys.exit(complaint)
