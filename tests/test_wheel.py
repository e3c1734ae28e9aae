"""The wheel: it contains every file that the package reads, nothing else, and is small."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in the wheel and their sizes, and the wheel's own size."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    script = (
        f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    path = folder / done.stdout.splitlines()[-1]
    with zipfile.ZipFile(path) as archive:
        return {
            entry.filename: entry.file_size for entry in archive.infolist()
        }, path.stat().st_size


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    names, _ = wheel
    source = ROOT / "src"
    wanted = {
        p.relative_to(source).as_posix()
        for p in source.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    wanted = {
        name
        for name in wanted
        if name.startswith("lineament/") and not name.endswith(".part")
    }
    assert wanted <= names.keys()
    assert any(name.startswith("lineament/tables/protocols/") for name in names)


def test_the_wheel_contains_only_the_package(wheel):
    names, _ = wheel
    assert {name.split("/")[0] for name in names} - {"lineament"} == {
        name.split("/")[0] for name in names if ".dist-info/" in name
    }
    # no image of a data set, no checkpoint
    assert {Path(name).suffix for name in names if name.startswith("lineament/")} <= {
        ".py",
        ".toml",
        ".typed",
        ".onnx",
        ".json",
        *(".html", ".css", ".js", ".txt"),  # the page
    }


def test_every_model_in_the_wheel_has_its_card_and_the_wheel_is_under_30_mb(wheel):
    names, size = wheel
    models = {name.removesuffix(".onnx") for name in names if name.endswith(".onnx")}
    assert all(f"{name}.json" in names for name in models)
    assert size < 30e6


def test_no_file_in_git_is_large():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("needs a checkout of git")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert [
        path for path in files if path.exists() and path.stat().st_size > 12e6
    ] == []
