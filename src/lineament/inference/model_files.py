"""Model files: the packaged ones, and the cards next to them."""

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ModelError, did_you_mean
from ..plugins.entry_points import MODELS, plugin_file, plugin_names

DETECTOR = "detector"
"""Name of the packaged face detector, reserved: no landmark model may have it."""
SUFFIXES = (".onnx", ".safetensors", ".toml")
"""Suffixes of model files; a .toml file describes a third-party .onnx file."""


def find_model(name: str) -> Path:
    """Return the file of a model of this or another package, or `name` itself if it is a path.

    Raises:
        ModelError: If `name` is neither a model nor a file.
        ExtraError: If another package's model cannot be used.
    """
    path = Path(name)
    if path.suffix in SUFFIXES:
        return path
    known = [path.stem for path in sorted(weights_folder().glob("*.onnx"))]
    if name in known:
        return weights_folder() / f"{name}.onnx"
    added = plugin_file(MODELS, name)
    if added is not None:
        return _with_suffix(added, name)
    if not known or name == DETECTOR:
        what, file = "models are", ".onnx file"
        if known:
            what, file = "face detector is", f"{DETECTOR}.onnx"
        raise ModelError(
            f"the packaged {what} missing: no {file} in {weights_folder()}; "
            f"{missing_data_remedy()}"
        )
    landmark_models = [other for other in known if other != DETECTOR]
    landmark_models += plugin_names(MODELS)
    raise ModelError(
        f"unknown model {name!r}; give the path of an .onnx file, of a .toml file "
        "that describes a third-party one, or a name: "
        f"{did_you_mean(name, landmark_models)}"
    )


def missing_data_remedy() -> str:
    """Return advice for the case that files of the package are missing."""
    if getattr(
        sys, "frozen", False
    ):  # an application frozen by PyInstaller or a similar tool
        return (
            "build this application with them (PyInstaller: --collect-data lineament)"
        )
    return "type: pip install --force-reinstall --no-deps lineament"


def _with_suffix(path: Path, name: str) -> Path:
    if path.suffix in SUFFIXES:
        return path
    raise ModelError(
        f"the model {name!r} of another package is {path}; "
        f"expected {' or '.join(SUFFIXES)}"
    )


def list_models() -> list[dict[str, Any]]:
    """Return the model cards, one dict each, of this package and of installed plug-ins."""
    cards = [read_card(path) for path in sorted(weights_folder().glob("*.onnx"))]
    for name in plugin_names(MODELS):
        cards.append(read_card(find_model(name)) | {"name": name})
    return cards


def weights_folder() -> Path:
    """Return the folder of the packaged models."""
    return Path(str(files("lineament").joinpath("weights")))


def portable_path(path: Path) -> str:
    """Return a path that another process can use; for a packaged model, only its file name."""
    folder, absolute = weights_folder(), path.absolute()
    return absolute.name if absolute.parent == folder else str(absolute)


def path_here(portable: str) -> Path:
    """Return the local path for a result of `portable_path`."""
    return weights_folder() / portable  # an absolute path replaces the folder


def read_card(path: Path) -> dict[str, Any]:
    """Return the card next to the model file at `path`; empty if there is none.

    Raises:
        ModelError: If it is not JSON.
    """
    card = path.with_suffix(".json")
    if not card.is_file():
        return {}
    try:
        return dict(json.loads(card.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise ModelError(
            f"{card}: not a card ({error}); "
            "expected the JSON file written with the model"
        ) from error
