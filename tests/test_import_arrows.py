"""Imports point one way, heavy libraries stay in their folders, files and functions stay short."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "lineament"

# A file imports only from lines above its own, or from its own line if that is a folder,
# but never in a circle.
ORDER = (
    "errors",
    "opencv",
    "atomic",
    "geometry",
    "plugins",
    "scheme_file",
    "schemes",
    "notebook",
    "face",
    "crop",
    "recipe",
    "estimator",
    "io",
    "analysis",
    "data",
    "models",
    "classic",
    "inference",
    "tracking",
    "labeling",
    "evaluation",  # before training, which validates by its metrics
    "training",
    "export",
    "study",
    "serving",
    "doctor",
    "pyinstaller",
    "cli",
    "__main__",
)
NEEDS_TORCH = ("models", "training", "export", "study")
CHAIN = 11  # study/run trains by a task, whose network has 9 files below it; the rest has 10
FILE_LINES, FUNCTION_LINES = 400, 60


def name_of(path: Path) -> str:
    """Return the dotted name below the package; a folder's __init__ has the folder's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def line_of(name: str) -> int:
    return ORDER.index(name.split(".")[0])


def targets(node: ast.ImportFrom, path: Path) -> set[str]:
    """Return the modules of this package that a relative import refers to."""
    folder = path.relative_to(ROOT).parent.parts
    start = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")]
    base = ".".join(part for part in start if part)
    return {
        inner if (inner := f"{base}.{alias.name}".strip(".")) in FILES else base
        for alias in node.names
    }


@cache
def imports(name: str) -> frozenset[str]:
    """Return the modules that `name` imports anywhere in its file, including local imports."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= targets(node, FILES[name])
    return frozenset(found - {name, ""})


def foreign_at_top(name: str) -> set[str]:
    """Return the libraries that `name` imports at module level."""
    found: set[str] = set()
    for node in ast.parse(FILES[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
    return found


MODULES = [name for name in FILES if name]


@pytest.mark.parametrize("name", MODULES)
def test_every_file_has_its_place_in_the_order(name):
    assert name.split(".")[0] in ORDER


@pytest.mark.parametrize("name", MODULES)
def test_no_import_points_up(name):
    upward = [other for other in imports(name) if line_of(other) > line_of(name)]
    assert upward == []


@pytest.mark.parametrize("name", MODULES)
def test_files_of_the_top_folder_import_in_order_strictly(name):
    level = [
        other
        for other in imports(name)
        if "." not in name and line_of(other) == line_of(name)
    ]
    assert [other for other in level if not other.startswith(f"{name}.")] == []


def test_there_is_no_import_cycle_and_no_chain_is_too_long():
    finished: dict[str, int] = {}

    def depth(name: str, above: tuple[str, ...]) -> int:
        assert name not in above, "a circle: " + " -> ".join(
            [*above[above.index(name) :], name]
        )
        if name not in finished:
            # every file may import errors, so that arrow is not counted
            inner = imports(name) - {"errors"}
            finished[name] = max(
                (1 + depth(other, (*above, name)) for other in inner), default=0
            )
        return finished[name]

    for name in MODULES:
        depth(name, ())
    long = {
        name: chain
        for name, chain in finished.items()
        if chain > CHAIN and not name.startswith(("cli", "__"))
    }
    assert long == {}


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_are_imported_only_in_their_folders(name):
    forbidden = {
        "torch",
        "matplotlib",
        "scipy",
        "pyarrow",
        "onnx",
        "onnxscript",
        "tensorboard",
        "supervision",
    }
    if name.startswith(NEEDS_TORCH):
        forbidden -= {"torch"}
    assert foreign_at_top(name) & forbidden == set()


@pytest.mark.parametrize("name", MODULES)
def test_no_file_reaches_the_network_or_unpickles(name):
    text = FILES[name].read_text(encoding="utf-8")
    loaded = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if isinstance(node, ast.Import)
    } | {
        node.module.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    assert (
        loaded & {"socket", "urllib", "http", "requests", "pickle", "shelve", "marshal"}
        == set()
    )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(
                k.arg == "weights_only" and ast.unparse(k.value) == "True"
                for k in node.keywords
            )
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "np.load",
            "numpy.load",
        ):
            assert not any(
                k.arg == "allow_pickle" and ast.unparse(k.value) == "True"
                for k in node.keywords
            )


@pytest.mark.parametrize("name", list(FILES))
def test_files_and_functions_stay_short_and_documented(name):
    text = FILES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE_LINES
    tree = ast.parse(text)
    assert not text.strip() or ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION_LINES, node.name


@pytest.mark.parametrize("name", list(FILES))
def test_every_public_function_and_class_documents_what_it_returns(name):
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_library_code_does_not_print_or_exit():
    said = []
    for name, path in FILES.items():
        if name.startswith("cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "sys.exit",
                "exit",
                "quit",
            ):
                said.append(f"{name}:{node.lineno}")
    assert said == []
