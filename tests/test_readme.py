"""Documents: Python blocks run, command lines parse, and the files they name exist."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
import typer

from lineament import VideoWriter, read_image
from lineament.cli import app
from lineament.evaluation.protocols import make_protocol
from lineament.inference.foreign_model import ForeignSettings
from lineament.inference.model_files import weights_folder
from lineament.plugins import entry_points
from lineament.recipe import Recipe
from lineament.scheme_file.names import complete_table
from lineament.scheme_file.table import scheme_from_table
from lineament.study.settings import Study

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
            for m in re.findall(
                r"`lineament ([a-z]+(?:-[a-z]+)*)", path.read_text("utf-8")
            )
        }
    )


def test_the_readme_shows_python_and_commands():
    assert any(name == "README.md" for name, _, _ in PYTHON)
    assert command_lines()


@pytest.mark.parametrize(("document", "text", "before"), PYTHON)
def test_a_block_of_python_compiles(document, text, before):
    compile(text, document, "exec")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Make a folder with the files that blocks name: the images of the docs, and a video."""
    if not all(
        (weights_folder() / f"{name}.onnx").is_file()
        for name in ("accurate", "detector")
    ):
        pytest.skip("needs the weights of the package")
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "docs").symlink_to(ROOT / "docs")
    image = read_image(ROOT / "docs/pictures/astronaut.jpg")
    if find_spec("av"):
        with VideoWriter(folder / "talk.mp4") as writer:
            for number in range(3):
                writer.write(image, number / 25)
    return folder


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if blocks(path, "python")],
    ids=lambda path: path.name,
)
def test_the_python_of_a_document_runs(document, workplace):
    texts = [text for text, before in blocks(document, "python") if before != NOT_RUN]
    script = "\n".join(texts)
    if "talk.mp4" in script:
        pytest.importorskip("av")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=workplace,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or "print(" not in script


def is_scheme(table):
    """Check a table of points, or of the rules that make them."""
    rules = table.get("from", {}).values()
    counts = [len(rule["exact"]) for rule in rules]
    names = [f"point_{k}" for k in range(max(counts, default=0))]
    stated = {"points": names, "mirror": []} | table
    assert len(scheme_from_table(complete_table(stated, "docs"), "own", "docs")) > 1


def is_study(table):
    """Check the keys of a study."""
    Study.model_validate(table)


def is_recipe(table):
    """Check the keys of a recipe."""
    Recipe.model_validate({"name": "own", "train": {"steps": 1}} | table)


def is_project(table):
    """Check the entry points of a package."""
    for group, names in table["project"]["entry-points"].items():
        assert group in (entry_points.MODELS, entry_points.READERS, *PATHS)
        assert all(re.fullmatch(r"[\w.]+:\w+", value) for value in names.values())


def is_protocol(table):
    """Check the keys of a protocol."""
    make_protocol({"id": "own"} | table, "docs")


def is_foreign_model(table):
    """Check the keys of the table next to an ONNX file of others."""
    ForeignSettings.model_validate(table)


PATHS = (entry_points.DETECTORS, entry_points.SCHEMES)
KINDS = {
    "thresholds": is_protocol,
    "unit": is_foreign_model,
    "points": is_scheme,
    "from": is_scheme,
    "rows": is_study,
    "data": is_recipe,
    "project": is_project,
}
"""Check of a block of TOML by a key that only this kind of file has."""
TOML = [(path.name, text) for path in DOCUMENTS for text, _ in blocks(path, "toml")]


@pytest.mark.parametrize(("document", "text"), TOML)
def test_a_block_of_toml_is_a_file_that_is_read(document, text):
    table = tomllib.loads(text)
    check = next(KINDS[key] for key in KINDS if key in table)
    check(table)


JAVASCRIPT = [(path.name, text) for path in DOCUMENTS for text, _ in blocks(path, "js")]


@pytest.mark.skipif(which("node") is None, reason="needs node")
@pytest.mark.parametrize(("document", "text"), JAVASCRIPT)
def test_a_block_of_javascript_parses_as_a_module(document, text, tmp_path):
    (tmp_path / "block.mjs").write_text(text, encoding="utf-8")
    command = ["node", "--check", tmp_path / "block.mjs"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_is_of_a_kind_that_a_test_runs_or_parses(document):
    text = document.read_text(encoding="utf-8")
    opened = re.findall(r"^ *```(\w*)$", text, re.MULTILINE)[::2]
    assert set(opened) <= {"", "python", "toml", "js", "text"}


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
