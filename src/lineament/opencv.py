"""Import of OpenCV for all other modules: `from .opencv import cv2`.

A missing or broken installation raises one error that explains what to install.
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
"""Packages that provide the module cv2; if several are installed, they overwrite each other."""
REQUIRED = "opencv-python-headless"
"""The package required by Lineament."""
USED = ("warpAffine", "resize", "cvtColor", "polylines")
"""Functions whose presence proves a working installation; even an empty folder imports as cv2."""


def __getattr__(name: str) -> Any:
    if name != "cv2":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["cv2"] = load()
    return globals()["cv2"]


def load() -> Any:
    """Import OpenCV.

    Raises:
        ExtraError: If it is missing or broken.
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
    """Return the versions of the installed OpenCV packages."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def remedy() -> str:
    """Return the commands that leave exactly one intact OpenCV package installed.

    pip does not notice that files of one package were overwritten or deleted with another, so all
    are removed first. The headless package also works on servers.
    """
    installed = installed_versions()
    has_contrib = any("contrib" in name for name in installed)
    package = "opencv-contrib-python-headless" if has_contrib else REQUIRED
    install = f"pip install --no-deps '{package}{required_versions()}'"
    if not installed:
        return f"type: {install}"
    return f"type: pip uninstall -y {' '.join(installed)} && {install}"


def required_versions() -> str:
    """Return the version limits of the required package, e.g. "<5,>=4.10"; empty if unknown."""
    try:
        lines = metadata.requires("lineament") or []
    except metadata.PackageNotFoundError:
        return ""
    for line in lines:
        stated = re.match(rf"{REQUIRED}\s*\(?([^;()]*)", line)
        if stated and "extra ==" not in line:
            return stated[1].replace(" ", "")
    return ""
