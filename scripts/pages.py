"""Write files generated from code and cards, or compare them with their sources."""

import sys
import tomllib
from pathlib import Path

CARDS = Path(__file__).parents[1] / "recipes" / "cards.toml"
WORDS = tomllib.loads(CARDS.read_text(encoding="utf-8"))
"""Words of cards by name of the model or of the weights; "common" is for all."""


def keep(path: Path, text: str, complaint: str) -> None:
    """Write `text` to `path`; with --check, exit with the `complaint` if the file differs."""
    if "--check" not in sys.argv:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        sys.exit(complaint)
