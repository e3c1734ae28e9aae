"""The doctor: it lists packages, problems and the commands that fix them, and never crashes."""

import hashlib
import json
import re
import shlex
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from lineament import doctor
from lineament.doctor import Check, diagnose, healthy
from lineament.errors import ModelError
from lineament.inference import registry


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the package's weights with an empty folder."""
    monkeypatch.setattr(doctor, "weights_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Fake the installed packages; the requirements are numpy<3,>=1.26, OpenCV and two extras."""
    installed = {
        "lineament": "0.1.0",
        "numpy": "2.4.0",
        "opencv-python-headless": "4.11.0.86",
    }
    required = [
        "numpy<3,>=1.26",
        "opencv-python-headless<6,>=4.10",
        "scipy>=1.12; extra == 'data'",
        'no-such-package==0.1.0; extra == "backbones"',
    ]

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda name: required)
    return installed


def _named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def _put(folder: Path, name: str, content: bytes, **card: object) -> None:
    (folder / f"{name}.onnx").write_bytes(content)
    full = {"sha256": hashlib.sha256(content).hexdigest()} | card
    (folder / f"{name}.json").write_text(json.dumps(full), encoding="utf-8")


def test_onnxruntime_gpu_satisfies_the_requirement_of_onnxruntime(
    versions: dict[str, str],
) -> None:
    required = metadata.requires("lineament")
    assert required is not None
    required.append("onnxruntime<2,>=1.20")
    check = _named(diagnose(speed=False), "onnxruntime")
    assert (check.status, check.found) == ("failed", "not installed")
    versions["onnxruntime-gpu"] = "1.22.0"
    check = _named(diagnose(speed=False), "onnxruntime")
    assert (check.status, check.found) == ("ok", "1.22.0")


def test_this_installation_has_every_package_it_requires() -> None:
    checks = diagnose(speed=False)
    assert [
        c for c in checks if c.group in ("system", "packages") and c.status != "ok"
    ] == []
    assert {
        "python",
        "platform",
        "threads",
        "providers",
        "lineament",
        "numpy",
        "onnxruntime",
    } <= {c.name for c in checks}
    assert _named(checks, "numpy").found == np.__version__
    assert "CPUExecutionProvider" in _named(checks, "providers").found


def test_groups_come_in_a_fixed_order(versions: dict[str, str], weights: Path) -> None:
    seen = list(dict.fromkeys(check.group for check in diagnose()))
    assert seen == ["system", "packages", "extras", "weights"]


def test_a_failed_check_names_the_command_to_type(
    versions: dict[str, str], weights: Path
) -> None:
    del versions["numpy"]
    check = _named(diagnose(), "numpy")
    assert (check.status, check.found) == ("failed", "not installed")
    assert check.advice == "type: pip install 'numpy<3,>=1.26'"


@pytest.mark.parametrize("version", ["1.25.3", "3.0.0", "3.1rc1"])
def test_a_version_out_of_range_fails_with_both_versions(
    version: str, versions: dict[str, str], weights: Path
) -> None:
    versions["numpy"] = version
    check = _named(diagnose(), "numpy")
    assert check.status == "failed"
    assert check.found == f"{version}; expected <3,>=1.26"


@pytest.mark.parametrize("version", ["1.26", "1.26.4", "2.10.0", "2.4.0+local9"])
def test_a_version_in_range_is_ok(
    version: str, versions: dict[str, str], weights: Path
) -> None:
    versions["numpy"] = version
    assert _named(diagnose(), "numpy").status == "ok"


def test_a_missing_extra_is_not_a_failure_and_names_the_command(
    versions: dict[str, str], weights: Path
) -> None:
    check = _named(diagnose(), "backbones: no-such-package")
    assert (check.group, check.status) == ("extras", "absent")
    assert check.advice == "type: pip install 'lineament[backbones]'"
    assert healthy([check])


def test_another_opencv_package_is_accepted_but_two_are_a_conflict(
    versions: dict[str, str], weights: Path
) -> None:
    del versions["opencv-python-headless"]
    versions["opencv-python"] = "4.12.0.88"
    assert _named(diagnose(), "opencv-python-headless").status == "ok"
    versions["opencv-contrib-python"] = "4.12.0.88"
    check = _named(diagnose(), "opencv")
    assert (check.status, check.found) == (
        "failed",
        "2 packages that overwrite each other: opencv-python, opencv-contrib-python",
    )
    assert check.advice == (
        "type: pip uninstall -y opencv-python opencv-contrib-python && "
        "pip install --no-deps 'opencv-contrib-python-headless<6,>=4.10'"
    )


@pytest.mark.parametrize("other", [[], ["opencv-python"]])
def test_following_the_advice_about_opencv_fixes_it(
    other: list[str], versions: dict[str, str], weights: Path
) -> None:
    """One advice is enough for a version that is too new, alone or with a second package."""
    versions |= dict.fromkeys(["opencv-python-headless", *other], "7.0.0")
    failed = [c for c in diagnose() if "opencv" in c.name]
    assert [check.status for check in failed] == ["failed"]
    _follow(failed[0].advice, versions)
    after = [c for c in diagnose() if "opencv" in c.name]
    assert [(check.status, check.advice) for check in after] == [("ok", "")]


def test_opencv_without_package_metadata_is_accepted(
    versions: dict[str, str], weights: Path
) -> None:
    del versions["opencv-python-headless"]
    check = _named(diagnose(), "opencv-python-headless")
    assert (check.status, check.found) == ("ok", cv2.__version__)


def _follow(advice: str, versions: dict[str, str]) -> None:
    """Apply pip's changes to `versions`."""
    for command in advice.removeprefix("type: ").split(" && "):
        words = shlex.split(command)
        if words[1] == "uninstall":
            for name in words[3:]:
                del versions[name]
        else:
            name, limits = re.match(r"([a-z-]+)(.*)", words[-1]).groups()
            assert limits == "<6,>=4.10"
            versions.setdefault(name, "5.0.0")


def test_opencv_that_cannot_be_used_is_the_only_failed_check(
    versions: dict[str, str], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(weights, "fast", b"abc")
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    (check,) = [check for check in diagnose() if check.status == "failed"]
    assert check.found == "OpenCV cannot be used: its module cv2 has no warpAffine"
    assert check.advice.startswith("type: pip uninstall -y opencv-python-headless && ")


def test_a_package_with_missing_files_is_force_reinstalled(
    versions: dict[str, str], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModuleSpec("numpy", None)  # as for an empty folder
    monkeypatch.setattr(doctor, "find_spec", lambda name: spec)
    check = _named(diagnose(speed=False), "numpy")
    assert (check.status, check.found) == ("failed", "2.4.0, but its files are missing")
    assert check.advice == (
        "type: pip install --force-reinstall --no-deps 'numpy<3,>=1.26'"
    )


def test_running_from_a_folder_without_installing_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], weights: Path
) -> None:
    del versions["lineament"]
    check = _named(diagnose(), "lineament")
    assert check.status == "failed"
    assert check.found.startswith("not installed, run from ")
    assert check.advice == "type: pip install lineament"


def test_an_old_python_fails(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], weights: Path
) -> None:
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (9, 1))
    check = _named(diagnose(), "python")
    assert (check.status, check.advice) == (
        "failed",
        "expected Python 9.1 or newer; make an environment with it",
    )


def test_a_runtime_that_cannot_be_imported_is_a_failed_check(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    checks = diagnose(True)
    assert _named(checks, "providers").status == "failed"
    # models loaded by earlier calls do not need the import
    assert [check.name for check in checks if check.group == "speed"] == [
        "accurate",
        "best",
        "dense",
        "detector",
        "fast",
        "tiny",
    ]


def test_a_broken_runtime_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], weights: Path
) -> None:
    import onnxruntime

    def broken() -> Any:
        raise ImportError("libonnxruntime.so: cannot open\nmore")

    monkeypatch.setattr(onnxruntime, "get_available_providers", broken)
    check = _named(diagnose(), "providers")
    assert (check.status, check.found) == ("failed", "libonnxruntime.so: cannot open")


def test_missing_weights_are_a_failed_check(
    versions: dict[str, str], weights: Path
) -> None:
    check = _named(diagnose(), "models")
    assert (check.group, check.status) == ("weights", "failed")
    assert check.found == f"none in {weights}"
    assert "pip install --force-reinstall" in check.advice
    assert not healthy([check])


def test_weights_that_match_the_digest_in_their_card_are_ok(
    versions: dict[str, str], weights: Path
) -> None:
    _put(weights, "fast", b"a" * 1_500_000)
    assert _named(diagnose(speed=False), "fast").status == "ok"
    assert _named(diagnose(speed=False), "fast").found.startswith("1.50 MB, sha256 ")


def test_changed_or_missing_weights_and_missing_cards_fail(
    versions: dict[str, str], weights: Path
) -> None:
    _put(weights, "changed", b"abc", sha256="0" * 64)
    _put(weights, "missing", b"abc")
    (weights / "missing.onnx").unlink()
    (weights / "uncarded.onnx").write_bytes(b"abc")
    _put(weights, "garbled", b"abc")
    (weights / "garbled.json").write_text("{", encoding="utf-8")
    _put(weights, "listed", b"abc")
    (weights / "listed.json").write_text("[]", encoding="utf-8")
    checks = {check.name: check for check in diagnose() if check.group == "weights"}
    assert {check.status for check in checks.values()} == {"failed"}
    # the first twelve digits of SHA-256 of "abc", from FIPS 180-2's example
    assert (
        checks["changed"].found
        == "its sha256 is ba7816bf8f01..., but its card states 000000000000..."
    )
    assert checks["missing"].found == "its card exists, but missing.onnx is missing"
    for name in ("uncarded", "garbled", "listed"):
        assert checks[name].found.startswith("no readable card with its sha256")


def test_a_speed_check_gives_the_median_milliseconds(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], weights: Path
) -> None:
    _put(weights, "fast", b"abc")
    _put(weights, "detector", b"abc")
    crops_seen = []

    class FakeModel:
        size = 64

        def predict(self, crops: Any) -> None:
            crops_seen.append(crops.shape)

    monkeypatch.setattr(doctor, "SPEED_SECONDS", 0.01)
    monkeypatch.setattr(registry, "load_model", lambda name, threads: FakeModel())
    monkeypatch.setattr(doctor, "_detector_call", lambda: (lambda: None, "a picture"))
    checks = {check.name: check for check in diagnose() if check.group == "speed"}
    assert set(checks) == {"fast", "detector"}
    assert set(crops_seen) == {(1, 64, 64, 3)}
    for check in checks.values():
        assert check.milliseconds is not None
        assert 0 <= check.milliseconds < 10
        assert f"{check.milliseconds:.1f} ms for" in check.found


def test_the_median_is_over_calls_after_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 0.0, 0.004, 0.5, 0.5, 0.51, 0.6, 0.6, 0.601, 2.0])
    monkeypatch.setattr(doctor.time, "perf_counter", lambda: next(clock))
    # three timed calls of 4, 10 and 1 ms; the clock passes the end after them
    assert doctor._median_ms(lambda: None, 1.0) == pytest.approx(4.0)


def test_a_model_that_cannot_run_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], weights: Path
) -> None:
    def broken(name: str, threads: int) -> Any:
        raise ModelError("fast.onnx: not an ONNX model that can be run")

    _put(weights, "fast", b"abc")
    monkeypatch.setattr(registry, "load_model", broken)
    check = next(c for c in diagnose() if c.group == "speed")
    assert (check.status, check.found) == (
        "failed",
        "fast.onnx: not an ONNX model that can be run",
    )


def test_the_models_of_this_installation_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SPEED_SECONDS", 0.05)
    checks = diagnose()
    right = {c.name for c in checks if c.group == "weights" and c.status == "ok"}
    if not right:
        pytest.skip("this checkout has no weights yet")
    assert {c.name for c in checks if c.group == "speed" and c.status == "ok"} == right
