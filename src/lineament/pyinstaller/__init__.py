"""The hook of PyInstaller for this package, found by the entry point `pyinstaller40`."""

from pathlib import Path


def hook_folders() -> list[str]:
    """Return the folders in which PyInstaller looks for hooks."""
    return [str(Path(__file__).parent)]
