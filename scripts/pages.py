"""Files that scripts make from the code and the cards: written, or held against what they should say."""

import sys
from pathlib import Path


def keep(path: Path, text: str, complaint: str) -> None:
    """Writes `text` to `path`; with --check the script ends with the `complaint` where it says anything else."""
    if "--check" not in sys.argv:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        sys.exit(complaint)
