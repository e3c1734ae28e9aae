"""What this installation is made of and whether it works, as data: a list of checks for the CLI to print."""

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

from .inference.model_files import weights_folder
from .inference.onnx_model import usable_cores
from .inference.registry import load_model

PACKAGE = "lineament"
OLDEST_PYTHON = (3, 11)
MODULES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
}  # where the module is not called as its package is
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
REINSTALL = f"type: pip install --force-reinstall --no-deps {PACKAGE}"
SPEED_SECONDS = 1.0
PICTURE = (480, 640, 3)


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    group: str
    """"system", "packages", "extras", "weights" or "speed"."""
    name: str
    """What was looked at, e.g. "numpy"."""
    status: str
    """"ok"; "absent", for what is optional and not here; or "failed"."""
    found: str
    """What was found, e.g. "2.4.1"."""
    advice: str = ""
    """What to type or do next; empty where nothing is."""
    milliseconds: float | None = None
    """The median time of one call, of a speed check."""


def diagnose(speed: bool = True) -> list[Check]:
    """Every check of this installation, in a fixed order of groups; it never fails by itself.

    speed: also time each model that comes with the package, about one second in all.
    """
    checks = [*_system(), *_packages(), *_weights()]
    return [*checks, *_speed(checks)] if speed else checks


def healthy(checks: list[Check]) -> bool:
    """Whether no check failed; absent extras are no failure."""
    return all(check.status != "failed" for check in checks)


def _system() -> Iterator[Check]:
    new_enough = sys.version_info >= OLDEST_PYTHON
    wanted = ".".join(map(str, OLDEST_PYTHON))
    yield Check(
        "system",
        "python",
        "ok" if new_enough else "failed",
        f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}",
        "" if new_enough else f"wanted Python {wanted} or newer; make an environment with it",
    )
    yield Check(
        "system",
        "platform",
        "ok",
        f"{platform.system()} {platform.release()}, {platform.machine()}",
    )
    limit = os.environ.get("OMP_NUM_THREADS")
    told = f", OMP_NUM_THREADS={limit}" if limit else ""
    yield Check(
        "system", "threads", "ok", f"{usable_cores()} of {os.cpu_count()} processors usable{told}"
    )
    yield _providers()


def _providers() -> Check:
    try:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        listed = onnxruntime.get_available_providers()
    except (
        Exception
    ) as error:  # a broken binary fails in many ways; the doctor tells instead of failing with it
        return Check(
            "system",
            "providers",
            "failed",
            _told(error),
            "type: pip install --force-reinstall onnxruntime",
        )
    return Check("system", "providers", "ok", ", ".join(listed) + "; used: CPUExecutionProvider")


def _packages() -> Iterator[Check]:
    try:
        yield Check(
            "packages", PACKAGE, "ok", f"{metadata.version(PACKAGE)}, {Path(__file__).parent}"
        )
        required = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        advice = f"type: pip install {PACKAGE}"
        yield Check(
            "packages",
            PACKAGE,
            "failed",
            f"not installed, run from {Path(__file__).parent}",
            advice,
        )
        return
    yield from (_package(line, None) for line in required if "extra ==" not in line)
    rivals = [name for name in OPENCV if _version(name)]
    if len(rivals) > 1:
        advice = f"they overwrite each other; type: pip uninstall {' '.join(rivals)}, then pip install {rivals[0]}"
        yield Check(
            "packages", "opencv", "failed", f"{len(rivals)} packages: {', '.join(rivals)}", advice
        )
    for line in required:
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
            yield _package(line, extra[1])


def _package(requirement: str, extra: str | None) -> Check:
    """The check of one line of the package's requirements, e.g. "numpy<3,>=1.26"."""
    text = requirement.split(";")[0].strip()
    name = re.split(r"[\s<>=!~\[(]", text, maxsplit=1)[0]
    limits = re.findall(r"(<=|>=|==|<|>)\s*([\w.]+)", text)
    version = _version(name)
    if version is None and name in OPENCV:  # any of its four packages brings cv2
        version = next((found for other in OPENCV if (found := _version(other))), None)
    advice = f"type: pip install '{PACKAGE}[{extra}]'" if extra else f"type: pip install '{text}'"
    group, label = ("extras", f"{extra}: {name}") if extra else ("packages", name)
    if version is None or not _importable(name):
        return Check(group, label, "absent" if extra else "failed", "not installed", advice)
    if not all(_holds(version, sign, limit) for sign, limit in limits):
        return Check(
            group, label, "failed", f"{version}; wanted {text.removeprefix(name).strip()}", advice
        )
    return Check(group, label, "ok", version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _importable(name: str) -> bool:
    """Whether the module is there; of packages whose module we do not know, the metadata is believed."""
    module = MODULES.get(name, name.replace("-", "_"))
    return find_spec(module) is not None if name in MODULES or module.isalpha() else True


def _holds(version: str, sign: str, limit: str) -> bool:
    a, b = (
        tuple(map(int, re.findall(r"\d+", text.split("+")[0])[:3])) for text in (version, limit)
    )
    length = max(len(a), len(b))
    a, b = a + (0,) * (length - len(a)), b + (0,) * (length - len(b))
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b}[sign]


def _weights() -> Iterator[Check]:
    stems = sorted(
        {path.stem for path in weights_folder().glob("*.*") if path.suffix in (".onnx", ".json")}
    )
    if not stems:
        yield Check("weights", "models", "failed", f"none in {weights_folder()}", REINSTALL)
    for stem in stems:
        yield _weight(weights_folder() / f"{stem}.onnx")


def _weight(path: Path) -> Check:
    """Whether the file is there and its bytes are those that its card states."""
    failed = ("weights", path.stem, "failed")
    if not path.is_file():
        return Check(*failed, f"its card is here, {path.name} is not", REINSTALL)
    try:
        wanted = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
        content = path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Check(*failed, f"no readable card states its sha256 ({_told(error)})", REINSTALL)
    given = hashlib.sha256(content).hexdigest()
    if given != wanted:
        return Check(
            *failed, f"its sha256 is {given[:12]}..., its card's {str(wanted)[:12]}...", REINSTALL
        )
    return Check(
        "weights",
        path.stem,
        "ok",
        f"{len(content) / 1e6:.2f} MB, sha256 {given[:12]}... as its card says",
    )


def _speed(checks: list[Check]) -> Iterator[Check]:
    """The time of one call of each model whose file is right, on one thread."""
    names = [check.name for check in checks if check.group == "weights" and check.status == "ok"]
    for name in names:
        try:
            call, what = _detector_call() if name == "detector" else _landmark_call(name)
            took = _median_ms(call, SPEED_SECONDS / len(names))
        except Exception as error:  # whatever is broken, the doctor tells
            yield Check("speed", name, "failed", _told(error), REINSTALL)
            continue
        yield Check("speed", name, "ok", f"{took:.1f} ms for {what}", milliseconds=took)


def _detector_call() -> tuple[Callable[[], object], str]:
    from .inference.face_detector import FaceDetector

    detector = FaceDetector(threads=1)
    image = np.random.default_rng(0).integers(0, 256, PICTURE, dtype=np.uint8)
    return lambda: detector(image), f"a picture of {PICTURE[1]} x {PICTURE[0]}, one thread"


def _landmark_call(name: str) -> tuple[Callable[[], object], str]:
    model = load_model(name, threads=1)
    crop = np.random.default_rng(0).integers(0, 256, (1, model.size, model.size, 3), dtype=np.uint8)
    return lambda: model.predict(crop), "one face, one thread"


def _median_ms(call: Callable[[], object], seconds: float) -> float:
    call()  # the first call also lays out memory
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


def _told(error: BaseException) -> str:
    """The first line of an error."""
    lines = str(error).splitlines()
    return lines[0][:160] if lines else type(error).__name__
