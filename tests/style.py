"""Measure how the source is written: line widths, comprehensions, docstring openings, banned words.

`python tests/style.py [PART OF A PATH]` prints the figures and every violation.
"""

import ast
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "lineament"
SOFT_WIDTH, WIDTH = 88, 100
OPENINGS = ("What", "Where", "How", "Whether", "As", "Those", "Of")
"""Words that no docstring opens with."""
BANNED = {
    r"\banew\b": "again, or nothing",
    r"\btold\b": "given, or the field's word",
    r"so-manieth": "every N-th",
    r"cr(y|ies) wolf": "false positive",
    r"\bwolves\b": "false positives",
    r"\bstands? on\b": "depends on",
    r"\bheld[ -]back\b": "validation",
    r"\bholds? back\b": "use for validation",
    r"\bbeside\b": "next to",
    r"\bis none of\b": "is not",
    r"\bbut for\b": "except for",
    r"\bin the mean\b": "on average",
    r"\bgoes on\b": "resumes, or continues",
    r"\bgo on with\b": "resume, or continue",
    r"\blearns? again\b": "fine-tune",
    r"\bwhole or not at all\b": "atomically",
    r"\bso many\b": "that many, or a number",
}
"""Regular expressions that source, help and docs must not match, and what to write instead."""


def python_files() -> list[Path]:
    """Return all Python files of the package."""
    return sorted(SOURCE.rglob("*.py"))


def text_files() -> list[Path]:
    """Return the files whose text users read: the package, docs and recipes."""
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    recipes = sorted((ROOT / "recipes").rglob("*.toml")) + sorted(
        (ROOT / "studies").rglob("*.toml")
    )
    tables = sorted(SOURCE.rglob("*.toml"))
    return [*python_files(), *pages, *recipes, *tables]


def source_lines() -> list[tuple[Path, int, str]]:
    """Return each non-blank source line with its file and number."""
    found = []
    for path in python_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip():
                found.append((path, number, line))
    return found


def docstring_lines() -> int:
    """Count the lines of docstrings, including docstrings below fields."""
    total = 0
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Expr) or not isinstance(
                node.value, ast.Constant
            ):
                continue
            if isinstance(node.value.value, str) and node.end_lineno is not None:
                total += node.end_lineno - node.lineno + 1
    return total


def wide_lines(width: int) -> list[str]:
    """Return the locations of source lines longer than `width` columns."""
    return [
        f"{at(path)}:{number}"
        for path, number, line in source_lines()
        if len(line) > width
    ]


def comprehensions() -> int:
    """Count comprehensions and generator expressions in the package."""
    kinds = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    total = 0
    for path in python_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        total += sum(isinstance(node, kinds) for node in ast.walk(tree))
    return total


def bad_openings() -> list[str]:
    """Return the locations of docstrings that start with one of OPENINGS."""
    found = []
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, documented):
                continue
            text = ast.get_docstring(node) or ""
            if re.match(rf"({'|'.join(OPENINGS)})\b", text):
                line = getattr(node, "lineno", 1)
                found.append(f"{at(path)}:{line}: {text.splitlines()[0]}")
    return found


def banned_words() -> list[str]:
    """Return the locations of banned words, each with its replacement."""
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern, instead in BANNED.items():
                match = re.search(pattern, line, re.IGNORECASE)
                if match:
                    found.append(f"{at(path)}:{number}: {match[0]!r}; write {instead}")
    return found


def root_modules() -> list[str]:
    """Return the modules at the root of the package, except `__init__` and `__main__`."""
    return [
        path.stem
        for path in sorted(SOURCE.glob("*.py"))
        if not path.stem.startswith("__")
    ]


def recipe_lines() -> tuple[int, int]:
    """Count the distinct and all non-blank lines of recipes."""
    counted: Counter[str] = Counter()
    for path in (ROOT / "recipes").rglob("*.toml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            bare = line.strip()
            if bare:
                counted[bare] += 1
    return len(counted), sum(counted.values())


def script_lines() -> int:
    """Count the lines in scripts/."""
    files = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def at(path: Path) -> str:
    """Return `path` relative to the repository."""
    return path.relative_to(ROOT).as_posix()


def main() -> None:
    """Print the figures and all violations in paths that contain the argument."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    lines = len(source_lines())
    every = sum(
        len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()
    )
    soft, hard = wide_lines(SOFT_WIDTH), wide_lines(WIDTH)
    distinct, recipes = recipe_lines()
    print(
        f"source lines: {every}, non-blank {lines}, of docstrings {docstring_lines()}"
    )
    print(
        f"over {SOFT_WIDTH} columns: {100 * len(soft) / lines:.1f} %; over {WIDTH}: {len(hard)}"
    )
    print(
        f"comprehensions per 1,000 source lines: {1000 * comprehensions() / every:.1f}"
    )
    print(
        f"docstrings with a bad opening: {len(bad_openings())}; banned words: {len(banned_words())}"
    )
    print(
        f"modules at the root: {len(root_modules())}; lines in scripts/: {script_lines()}"
    )
    print(f"distinct lines of recipes: {100 * distinct / recipes:.0f} % of {recipes}")
    for place in [*hard, *bad_openings(), *banned_words()]:
        if wanted and wanted in place:
            print(place)


if __name__ == "__main__":
    main()
