"""Documents: Python blocks run, command lines parse, and the files they name exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from lineament.cli import app
from lineament.inference.model_files import weights_folder

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# a block after this line is compiled, not run: it needs data or hours
NOT_RUN = "<!-- not run -->"
BLOCK = re.compile(
    r"(?P<before>[^\n]*\n)?\n?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL
)
COMMANDS = typer.main.get_command(app).commands


def blocks(document: Path, *kinds: str) -> list[tuple[str, str]]:
    """The text of each code block of these kinds, and the line before it."""
    found = BLOCK.finditer(document.read_text(encoding="utf-8"))
    return [
        (m["text"], (m["before"] or "").strip()) for m in found if m["kind"] in kinds
    ]


PYTHON = [(path.name, *block) for path in DOCUMENTS for block in blocks(path, "python")]


def command_lines() -> list[str]:
    """Return every `lineament ...` of the shell blocks, without comment, pipe or redirection."""
    lines = []
    for path in DOCUMENTS:
        for text, _ in blocks(path, "", "sh", "bash", "console", "shell"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                words = (
                    words[words.index("lineament") :]
                    if "lineament" in words[:3]
                    else []
                )
                end = next(
                    (
                        i
                        for i, word in enumerate(words)
                        if word[0] in "|><&;" or word == "2>"
                    ),
                    len(words),
                )
                if words and words[1:]:
                    lines.append(shlex.join(words[1:end]))
    return lines


def mentioned() -> list[str]:
    """The commands that running text mentions as `lineament command`."""
    return sorted(
        {
            m
            for path in DOCUMENTS
            for m in re.findall(r"`lineament ([a-z]+)", path.read_text("utf-8"))
        }
    )


def test_the_readme_shows_python_and_commands():
    assert any(name == "README.md" for name, _, _ in PYTHON)
    assert command_lines()


@pytest.mark.parametrize(("document", "text", "before"), PYTHON)
def test_a_block_of_python_compiles(document, text, before):
    compile(text, document, "exec")


def test_the_readmes_python_runs_from_the_repository():
    if not all(
        (weights_folder() / f"{name}.onnx").is_file()
        for name in ("accurate", "detector")
    ):
        pytest.skip("needs the weights of the package")
    script = "\n".join(
        text
        for name, text, before in PYTHON
        if name == "README.md" and before != NOT_RUN
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_parses(line):
    name, *words = shlex.split(line)
    assert name in COMMANDS
    # --help ends early; everything else has to be known, of the right type and complete
    if "--help" not in words:
        COMMANDS[name].make_context(name, words)


@pytest.mark.parametrize("name", mentioned())
def test_a_command_that_the_text_mentions_exists(name):
    assert name in COMMANDS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_links_or_runs_are_there(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    gone = [
        link
        for link in links
        if "://" not in link and not (document.parent / link).exists()
    ]
    scripts = re.findall(r"\b(?:bash|python) ((?:scripts|bench)/[\w./-]+)", text)
    recipes = re.findall(r"\b(recipes/[\w/.-]+\.toml)", text)
    gone += [path for path in (*scripts, *recipes) if not (ROOT / path).exists()]
    assert gone == []
