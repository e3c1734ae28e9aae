"""The hook of PyInstaller collects what the package reads and loads late, without torch."""

import importlib
import runpy
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType

import lineament

ROOT = Path(__file__).parents[1]
HOOK = Path(lineament.__file__).parent / "pyinstaller/hook-lineament.py"


def copy_metadata(name):
    """Return the metadata folder of a package; all but one are installed."""
    if name == "onnxruntime":
        raise metadata.PackageNotFoundError(name)
    return [(f"{name}.dist-info", ".")]


def test_the_entry_point_names_the_folder_of_the_hook():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    entry = stated["project"]["entry-points"]["pyinstaller40"]["hook-dirs"]
    module, function = entry.split(":")
    folders = getattr(importlib.import_module(module), function)()
    assert folders == [str(HOOK.parent)]


def test_the_hook_collects_data_and_the_modules_that_are_loaded_late(monkeypatch):
    hooks = ModuleType("PyInstaller.utils.hooks")
    hooks.collect_data_files = lambda name: [(f"{name}/weights/fast.onnx", name)]
    hooks.copy_metadata = copy_metadata
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "PyInstaller.utils.hooks", hooks)
    found = runpy.run_path(str(HOOK))
    copied = {path.removesuffix(".dist-info") for path, _ in found["datas"][1:]}
    assert {"lineament", "numpy", "onnxruntime-gpu", "pydantic"} <= copied
    assert not {"onnxruntime", "torch"} & copied  # replaced, and of an extra
    homes = {f"lineament.{home}" for home in lineament._HOMES.values()}
    assert set(found["hiddenimports"]) == homes
    assert "lineament.inference.predictor" in homes
    assert "torch" in found["excludedimports"]
