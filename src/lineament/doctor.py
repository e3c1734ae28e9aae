"""Checks of this installation: Python, packages, extras, weights, speed."""

import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .errors import ExtraError
from .inference.device import DEVICES, offered_devices
from .inference.model_files import missing_data_remedy, weights_folder
from .inference.processors import usable_cores
from .inference.runtime import load_runtime
from .opencv import PACKAGES as OPENCV
from .opencv import installed_versions, load, remedy

PACKAGE = "lineament"
OLDEST_PYTHON = (3, 11)
MODULES = {"pillow": "PIL"}
"""Module name of a package, if it differs from the package name."""
RUNTIME = "onnxruntime"
"""Package that is replaced by others for running on other devices."""
REINSTALL = missing_data_remedy()
SPEED_SECONDS = 1.0
IMAGE_SHAPE = (480, 640, 3)


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    group: str
    """"system", "packages", "extras", "weights" or "speed"."""
    name: str
    """Item that was checked, e.g. "numpy"."""
    status: str
    """"ok", "absent" for an optional package, or "failed"."""
    found: str
    """Result of the check, e.g. "2.4.1"."""
    advice: str = ""
    """Suggested action; empty if none is needed."""
    milliseconds: float | None = None
    """Median time per call, for a speed check."""


def diagnose(speed: bool = True) -> list[Check]:
    """Run all checks of this installation, in a fixed order of groups; never raises.

    Args:
        speed: Also time each shipped model, about one second in all.
    """
    checks = [*_system(), *_packages(), *_weights()]
    return [*checks, *_speed(checks)] if speed else checks


def healthy(checks: list[Check]) -> bool:
    """Return True if no check failed; a missing extra is not a failure."""
    return all(check.status != "failed" for check in checks)


def _system() -> Iterator[Check]:
    kind = f"{platform.python_version()} ({platform.python_implementation()})"
    status, advice = "ok", ""
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        status = "failed"
        advice = f"expected Python {oldest} or newer; make an environment with it"
    yield Check("system", "python", status, f"{kind}, {sys.executable}", advice)
    kind = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield Check("system", "platform", "ok", kind)
    limit = os.environ.get("OMP_NUM_THREADS")
    limited = f", OMP_NUM_THREADS={limit}" if limit else ""
    usable = f"{usable_cores()} of {os.cpu_count()} processors usable{limited}"
    yield Check("system", "threads", "ok", usable)
    yield _providers()


def _providers() -> Check:
    try:
        providers = load_runtime().get_available_providers()
    except Exception as error:  # broken binaries raise many kinds of exceptions
        advice = "type: pip install --force-reinstall onnxruntime"
        return Check("system", "providers", "failed", _first_line(error), advice)
    found = f"{', '.join(providers)}; devices: {', '.join(offered_devices())}"
    return Check("system", "providers", "ok", found)


def _packages() -> Iterator[Check]:
    location = Path(__file__).parent
    try:
        found = f"{metadata.version(PACKAGE)}, {location}"
        yield Check("packages", PACKAGE, "ok", found)
        required = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        found, advice = (
            f"not installed, run from {location}",
            f"type: pip install {PACKAGE}",
        )
        yield Check("packages", PACKAGE, "failed", found, advice)
        return
    for line in required:
        if "extra ==" not in line:
            check = _opencv if line.startswith(OPENCV) else _package
            yield check(line, None)
    for line in required:
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
            yield _package(line, extra[1])


def _package(requirement: str, extra: str | None) -> Check:
    """Check one requirement of the package, e.g. "numpy<3,>=1.26"."""
    text = requirement.split(";")[0].strip()
    name, limits = _parsed(requirement)
    version = _version(name)
    required = f"{PACKAGE}[{extra}]" if extra else text
    advice = f"type: pip install '{required}'"
    group, label = ("extras", f"{extra}: {name}") if extra else ("packages", name)
    if version is None:
        status = "absent" if extra else "failed"
        return Check(group, label, status, "not installed", advice)
    if not _importable(name):  # installed according to pip only
        found = f"{version}, but its files are missing"
        advice = f"type: pip install --force-reinstall --no-deps '{text}'"
        return Check(group, label, "failed", found, advice)
    if not all(_satisfies(version, sign, limit) for sign, limit in limits):
        found = f"{version}; expected {text.removeprefix(name).strip()}"
        return Check(group, label, "failed", found, advice)
    return Check(group, label, "ok", version)


def _opencv(requirement: str, extra: str | None) -> Check:
    """Check that exactly one OpenCV package with a suitable version is installed and intact."""
    name, limits = _parsed(requirement)
    found = installed_versions()
    if len(found) > 1:
        listed = f"{len(found)} packages that overwrite each other: {', '.join(found)}"
        return Check("packages", "opencv", "failed", listed, remedy())
    try:
        here = str(load().__version__)  # may be built from source
    except ExtraError as error:
        reason = str(error).removesuffix(f"; {remedy()}")
        return Check("packages", name, "failed", reason, remedy())
    version = next(iter(found.values()), here)
    if not all(_satisfies(version, *limit) for limit in limits):
        required = requirement.removeprefix(name).strip()
        listed = f"{version}; expected {required}"
        return Check("packages", name, "failed", listed, remedy())
    return Check("packages", name, "ok", version)


def _parsed(requirement: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the name and version limits of a requirement such as "numpy<3,>=1.26"."""
    text = requirement.split(";")[0].strip()
    name = re.split(r"[\s<>=!~\[(]", text, maxsplit=1)[0]
    return name, re.findall(r"(<=|>=|==|<|>)\s*([\w.]+)", text)


def _version(name: str) -> str | None:
    """Return the version of a package, or of a replacement for it that supports other devices."""
    replacing = [device.package for device in DEVICES.values() if name == RUNTIME]
    for package in (name, *replacing):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def _importable(name: str) -> bool:
    """Return True if a package's module exists; if its name is unknown, trust the metadata."""
    module = MODULES.get(name, name.replace("-", "_"))
    if name not in MODULES and not module.isalpha():
        return True
    spec = find_spec(module)
    return spec is not None and spec.origin is not None  # None: an empty folder


def _release(version: str) -> list[int]:
    """Return the first three numbers of a version, with 0 for missing ones."""
    numbers = re.findall(r"\d+", version.split("+")[0])
    return [int(number) for number in [*numbers, 0, 0, 0][:3]]


def _satisfies(version: str, sign: str, limit: str) -> bool:
    a, b = _release(version), _release(limit)
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b}[sign]


def _weights() -> Iterator[Check]:
    folder = weights_folder()
    files = [*folder.glob("*.onnx"), *folder.glob("*.json")]
    if not files:
        yield Check("weights", "models", "failed", f"none in {folder}", REINSTALL)
    for stem in sorted({path.stem for path in files}):
        yield _weight(folder / f"{stem}.onnx")


def _weight(path: Path) -> Check:
    """Check that a weights file exists and matches the digest on its card."""
    failed = ("weights", path.stem, "failed")
    if not path.is_file():
        return Check(*failed, f"its card exists, but {path.name} is missing", REINSTALL)
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        expected = card["sha256"]
        content = path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"no readable card with its sha256 ({_first_line(error)})"
        return Check(*failed, reason, REINSTALL)
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        found = f"its sha256 is {actual[:12]}..., but its card states {str(expected)[:12]}..."
        return Check(*failed, found, REINSTALL)
    found = f"{len(content) / 1e6:.2f} MB, sha256 {actual[:12]}... as on its card"
    return Check("weights", path.stem, "ok", found)


def _speed(checks: list[Check]) -> Iterator[Check]:
    """Measure one call of each model with an intact file, on one thread."""
    if any(c.status == "failed" and c.name.startswith("opencv") for c in checks):
        return  # no model can run without it, and its own check reports the problem
    intact = [c for c in checks if c.group == "weights" and c.status == "ok"]
    names = [check.name for check in intact]
    for name in names:
        try:
            is_detector = name == "detector"
            call, what = _detector_call() if is_detector else _landmark_call(name)
            took = _median_ms(call, SPEED_SECONDS / len(names))
        except Exception as error:  # any exception is reported as a failed check
            yield Check("speed", name, "failed", _first_line(error), REINSTALL)
            continue
        yield Check("speed", name, "ok", f"{took:.1f} ms for {what}", milliseconds=took)


def _detector_call() -> tuple[Callable[[], object], str]:
    from .inference.face_detector import FaceDetector

    detector = FaceDetector(threads=1)
    image = np.random.default_rng(0).integers(0, 256, IMAGE_SHAPE, dtype=np.uint8)
    description = f"an image of {IMAGE_SHAPE[1]} x {IMAGE_SHAPE[0]}, one thread"
    return lambda: detector(image), description


def _landmark_call(name: str) -> tuple[Callable[[], object], str]:
    from .inference.registry import load_model  # loads OpenCV

    model = load_model(name, threads=1)
    shape = (1, model.size, model.size, 3)
    crop = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return lambda: model.predict(crop), "one face, one thread"


def _median_ms(call: Callable[[], object], seconds: float) -> float:
    call()  # warm-up: the first call also allocates memory
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


def _first_line(error: BaseException) -> str:
    """Return the first line of an error."""
    lines = str(error).splitlines()
    return lines[0][:160] if lines else type(error).__name__
