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


def test_the_hook_collects_data_and_every_module_that_an_application_runs(monkeypatch):
    hooks = ModuleType("PyInstaller.utils.hooks")
    modules = [
        *("lineament", "lineament.face", "lineament.inference.predictor"),
        *("lineament.training.trainer", "lineament.models", "lineament.pyinstaller"),
    ]
    hooks.collect_data_files = lambda name: [(f"{name}/weights/fast.onnx", name)]
    hooks.copy_metadata = lambda name: [(f"{name}.dist-info", ".")]
    hooks.collect_submodules = lambda name, filter: [m for m in modules if filter(m)]
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "PyInstaller.utils.hooks", hooks)
    found = runpy.run_path(str(HOOK))
    assert len(found["datas"]) == 2
    assert found["hiddenimports"] == modules[:3]
    homes = {f"lineament.{home}" for home in lineament._HOMES.values()}
    assert all(found["is_used"](home) for home in homes)
    assert "torch" in found["excludedimports"]
