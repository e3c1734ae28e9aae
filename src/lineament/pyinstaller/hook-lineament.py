"""Collected by PyInstaller: the tables and weights, and the modules that names load late."""

from PyInstaller.utils.hooks import (  # type: ignore[import-not-found, unused-ignore]
    collect_data_files,
    collect_submodules,
    copy_metadata,
)

TRAINING = ("models", "training", "export", "study", "pyinstaller")
"""Folders that an application does not run: they need torch."""


def is_used(name: str) -> bool:
    """Return whether a module of this name is part of an application."""
    return name.split(".")[1:2] not in [[folder] for folder in TRAINING]


datas = collect_data_files("lineament") + copy_metadata("lineament")
hiddenimports = collect_submodules("lineament", filter=is_used)
excludedimports = ["torch", "matplotlib", "tensorboard"]
