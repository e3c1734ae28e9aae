"""The hook of PyInstaller collects what the package reads and loads late, without torch."""

import importlib
import runpy
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import lineament

ROOT = Path(__file__).parents[1]
HOOK = Path(lineament.__file__).parent / "pyinstaller/hook-lineament.py"


def test_the_entry_point_names_the_folder_of_the_hook():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    entry = stated["project"]["entry-points"]["pyinstaller40"]["hook-dirs"]
    module, function = entry.split(":")
    folders = getattr(importlib.import_module(module), function)()
    assert folders == [str(HOOK.parent)]


def test_the_hook_collects_data_and_the_modules_that_are_loaded_late(monkeypatch):
    hooks = ModuleType("PyInstaller.utils.hooks")
    hooks.collect_data_files = lambda name: [(f"{name}/weights/fast.onnx", name)]
    hooks.copy_metadata = lambda name: [(f"{name}.dist-info", ".")]
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "PyInstaller.utils.hooks", hooks)
    found = runpy.run_path(str(HOOK))
    assert len(found["datas"]) == 2
    homes = {f"lineament.{home}" for home in lineament._HOMES.values()}
    assert set(found["hiddenimports"]) == homes
    assert "lineament.inference.predictor" in homes
    assert "torch" in found["excludedimports"]
