"""Public names: listed by hand, each documented, and none loaded before it is used."""

import ast
import inspect
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

import lineament

SOURCE = Path(lineament.__file__)


def in_fresh_process(script):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", lineament.__all__)
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(lineament, name)
    assert not isinstance(value, ModuleType)
    if callable(value):
        assert len(inspect.getdoc(value) or "") > 20


def test_names_for_type_checkers_are_those_for_users():
    block = next(
        node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)
    )
    imported = {alias.name: node.module for node in block.body for alias in node.names}
    assert imported == lineament._HOMES
    assert set(dir(lineament)) == {"__version__", *imported}


def test_every_error_of_the_tree_is_public():
    from lineament import errors

    tree = {
        n
        for n, c in vars(errors).items()
        if inspect.isclass(c) and issubclass(c, errors.LineamentError)
    }
    assert tree <= set(lineament.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(
        AttributeError, match="module 'lineament' has no attribute 'detcet'"
    ):
        _ = lineament.detcet


def test_no_module_shadows_a_public_name():
    script = (
        "import pkgutil, lineament\n"
        "names = {m.name for m in pkgutil.iter_modules(lineament.__path__)}\n"
        "print(sorted(names & set(lineament.__all__)))"
    )
    assert in_fresh_process(script).split() == ["[]"]


def test_importing_loads_no_library_opens_no_socket_and_sets_nothing():
    script = (
        "import json, sys, os\nseen = []\n"
        "def watch(event, args):\n"
        "    if event.startswith('socket.'):\n"
        "        seen.append(event)\n"
        "sys.addaudithook(watch)\n"
        "before = dict(os.environ)\nimport lineament\n"
        "heavy = ['torch', 'cv2', 'onnxruntime', 'numpy', 'PIL', 'pydantic']\n"
        "heavy += ['matplotlib', 'scipy', 'socket']\n"
        "loaded = [m for m in heavy if m in sys.modules]\n"
        "print(json.dumps([seen, loaded, before == dict(os.environ)]))"
    )
    assert json.loads(in_fresh_process(script)) == [[], [], True]


def test_using_the_names_opens_no_socket_and_loads_no_torch():
    script = (
        "import json, sys\nseen = []\n"
        "def watch(event, args):\n"
        "    if event.startswith('socket.'):\n"
        "        seen.append(event)\n"
        "sys.addaudithook(watch)\n"
        "import lineament\nvalues = [getattr(lineament, name) for name in lineament.__all__]\n"
        "heavy = ['torch', 'matplotlib', 'scipy', 'pyarrow', 'onnxruntime']\n"
        "print(json.dumps([seen, [m for m in heavy if m in sys.modules]]))"
    )
    assert json.loads(in_fresh_process(script)) == [[], []]


def test_a_predictor_does_not_import_the_settings_of_recipes():
    script = (
        "import json, sys\nfrom lineament import Predictor\n"
        "print(json.dumps([m for m in sys.modules if m.startswith('lineament.recipe')]))"
    )
    assert json.loads(in_fresh_process(script)) == []


def test_importing_takes_under_three_tenths_of_a_second():
    def seconds():
        start = time.perf_counter()
        in_fresh_process("import lineament")
        return time.perf_counter() - start

    # includes interpreter startup; the best of five, since other processes may be running
    assert min(seconds() for _ in range(5)) < 0.3
