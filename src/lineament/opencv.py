"""OpenCV for all other files: `from .opencv import cv2`.

An installation that is absent or broken is one error that says what to type.
"""

import re
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .errors import ExtraError, short_reason

if TYPE_CHECKING:
    import cv2 as cv2

PACKAGES = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Packages that bring the same module cv2; two of them overwrite each other's files."""
REQUIRED = "opencv-python-headless"
"""The one that this package requires."""
USED = ("warpAffine", "resize", "cvtColor", "polylines")
"""Functions that a sound installation has; an empty folder called cv2 can be imported, too."""


def __getattr__(name: str) -> Any:
    if name != "cv2":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["cv2"] = load()
    return globals()["cv2"]


def load() -> Any:
    """Import OpenCV.

    Raises:
        ExtraError: If it is absent or broken.
    """
    try:
        import cv2
    except Exception as error:  # mixed files of two packages fail in many ways
        raise _unusable(short_reason(error)) from error
    missing = [name for name in USED if not hasattr(cv2, name)]
    if missing:
        raise _unusable(f"its module cv2 has no {missing[0]}")
    return cv2


def _unusable(reason: str) -> ExtraError:
    return ExtraError(f"OpenCV cannot be used: {reason}; {remedy()}")


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages of OpenCV that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def remedy() -> str:
    """Return what to type so that one package of OpenCV is installed and intact.

    Pip does not know that files of one package were overwritten or deleted with another, so
    all are removed first. The one without windows is imported on servers, too.
    """
    installed = installed_versions()
    has_contrib = any("contrib" in name for name in installed)
    kept = "opencv-contrib-python-headless" if has_contrib else REQUIRED
    install = f"pip install --no-deps '{kept}{required_versions()}'"
    if not installed:
        return f"type: {install}"
    return f"type: pip uninstall -y {' '.join(installed)} && {install}"


def required_versions() -> str:
    """Return the versions that this package requires, e.g. "<5,>=4.10"; empty if unknown."""
    try:
        lines = metadata.requires("lineament") or []
    except metadata.PackageNotFoundError:
        return ""
    for line in lines:
        stated = re.match(rf"{REQUIRED}\s*\(?([^;()]*)", line)
        if stated and "extra ==" not in line:
            return stated[1].replace(" ", "")
    return ""
