"""page.py and runtime.py: the files of a page, and the pinned runtime."""

import json
import re
from dataclasses import asdict
from hashlib import sha256

import numpy as np
import pytest
from typer.testing import CliRunner

from lineament.cli import app
from lineament.errors import InputError, ModelError
from lineament.inference import recrop
from lineament.inference.model_files import find_model
from lineament.schemes import scheme
from lineament.serving import page, runtime
from tiny_onnx import write_model


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with small files in place of the runtime's."""
    folder = tmp_path / "npm"
    folder.mkdir()
    digests = {}
    for name in runtime.FILES:
        (folder / name).write_bytes(name.encode())
        digests[name] = sha256(name.encode()).hexdigest()
    monkeypatch.setattr(runtime, "FILES", digests)
    return folder


@pytest.fixture
def written(files, tmp_path, monkeypatch):
    """A page with the shipped files unchanged, as without onnx."""
    monkeypatch.setattr(page, "has_onnx", lambda: False)
    out = tmp_path / "out"
    page.write_page(out, ["accurate", "fast"], runtime=files)
    return out


def test_a_page_holds_every_file_that_its_html_and_modules_name(written):
    names = {path.name for path in written.iterdir()}
    html = (written / "index.html").read_text()
    named = set(re.findall(r'(?:src|href)="([^":]+)"', html))
    for path in written.glob("*.js"):
        if not path.name.startswith("ort"):
            named |= set(re.findall(r'from "\./([^"]+)"', path.read_text()))
    stated = json.loads((written / "models.json").read_text())
    named |= {stated["runtime"][key] for key in ("module", "loader", "file")}
    named |= {entry["file"] for entry in stated["models"].values()}
    assert named | {stated["detector"]["file"]} <= names
    assert not [path for path in written.iterdir() if path.suffix == ".part"]


def test_the_html_states_a_policy_that_allows_no_other_host(written):
    html = (written / "index.html").read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy == page.POLICY
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "unsafe-inline" not in policy
    # the policy would block them
    assert not re.search(r"<style|<script>|style=|onclick", html)


def test_models_json_matches_the_model_cards(written):
    stated = json.loads((written / "models.json").read_text())
    assert list(stated["models"]) == ["accurate", "fast"]
    fast = stated["models"]["fast"]
    assert (fast["size"], fast["padding"], fast["points"]) == (128, 1.3, 68)
    assert fast["scheme_entries"] == {"scheme": "ibug68"}
    assert fast["predicts_presence"]
    np.testing.assert_array_equal(fast["mean_shape"], scheme("ibug68").mean_shape)
    assert fast["own"] is None
    assert len(fast["colors"]) == 68
    assert fast["license"].startswith("Research only")
    assert fast["bytes"] == find_model("fast").stat().st_size
    detector = stated["detector"]
    assert detector["coarse_sides"] == [160]
    assert len(detector["mean_five"]) == 5


def test_without_onnx_the_shipped_files_are_copied(written):
    for name in ("fast", "accurate", "detector"):
        copied = (written / f"{name}.onnx").read_bytes()
        assert copied == find_model(name).read_bytes()


def test_with_onnx_int8_files_are_rewritten(files, tmp_path):
    pytest.importorskip("onnx")
    made = page.write_page(tmp_path / "out", runtime=files)
    assert made.converted
    for name in ("fast", "detector"):
        assert (tmp_path / "out" / f"{name}.onnx").read_bytes() != (
            find_model(name).read_bytes()
        )
    # already for browsers: copied
    again = tmp_path / "again"
    page.write_page(again, [str(tmp_path / "out" / "fast.onnx")], runtime=files)
    first = (tmp_path / "out" / "fast.onnx").read_bytes()
    assert (again / "fast.onnx").read_bytes() == first


def test_files_of_another_version_are_rejected(files, tmp_path):
    name = next(iter(runtime.FILES))
    (files / name).write_text("changed")
    with pytest.raises(InputError, match=r"SHA-256 .* npm install onnxruntime-web@"):
        page.write_page(tmp_path / "out", runtime=files)
    assert not (tmp_path / "out").exists()


def test_the_runtime_is_found_in_the_folder_of_npm(files, tmp_path):
    inside = tmp_path / "project" / "node_modules" / "onnxruntime-web" / "dist"
    inside.parent.mkdir(parents=True)
    files.rename(inside)
    assert runtime.find_runtime(tmp_path / "project") == inside
    with pytest.raises(InputError, match="expected the folder of the npm package"):
        runtime.find_runtime(tmp_path)


def test_without_npm_the_error_names_the_option(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"npm is not installed.* --runtime"):
        runtime.find_runtime()


def test_a_failure_of_npm_gives_a_one_line_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake = tmp_path / "npm"
    fake.write_text("#!/bin/sh\necho 'no such host' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: str(fake))
    with pytest.raises(InputError, match=r"npm cannot fetch .* \(no such host\)"):
        runtime.find_runtime()
    assert not list(tmp_path.rglob("*.wasm"))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["fast", "fast"], "two models have the same name: fast, fast"),
        (["mean.safetensors"], "a page runs only ONNX models"),
        (["detector"], "a face detector, not a landmark model"),
        (["fsat"], "did you mean 'fast'"),
    ],
)
def test_models_that_a_page_cannot_run_are_rejected(files, tmp_path, models, message):
    with pytest.raises((InputError, ModelError), match=message):
        page.write_page(tmp_path / "out", models, runtime=files)
    assert not (tmp_path / "out").exists()


def test_a_recurrent_model_is_rejected(tmp_path):
    pytest.importorskip("onnx")
    outputs = ("landmarks_crop", "scores", "sigma_px", "memory_after")
    path = write_model(tmp_path / "tiny.onnx", outputs)
    with pytest.raises(ModelError, match="a recurrent model, which a page cannot run"):
        page.open_model(str(path))


def test_points_without_examples_are_stated(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = write_model(tmp_path / "tiny.onnx")
    model = onnx.load(str(path))
    (entry,) = model.metadata_props
    entry.value = json.dumps(json.loads(entry.value) | {"never_learned": [0, 3]})
    onnx.save(model, str(path))
    stated = page.model_entry(page.open_model(str(path)))
    assert stated["never_learned"] == [0, 3]
    # crops of five points are those of the 68 points of a mean face
    assert len(stated["mean_shape"]) == 68
    assert len(stated["own"]) == 3
    assert stated["points"] == len(stated["colors"]) == 5


def test_the_command_writes_a_page_and_prints_how_to_open_it(files, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["page", str(out), "--runtime", str(files)])
    assert done.exit_code == 0, done.output
    assert f"{out}  " in done.output
    assert f"python -m http.server --bind 127.0.0.1 --directory {out}" in done.output
    assert (out / "index.html").is_file()


def test_the_module_crops_faces_again_under_the_conditions_of_the_package():
    script = (page.STATIC / "landmarks.js").read_text(encoding="utf-8")
    (block,) = re.findall(r"const POLICY = \{(.*?)\};", script, re.DOTALL)
    stated = {}
    for name, value in re.findall(r"(\w+): ([\d.]+),", block):
        stated[re.sub("[A-Z]", lambda m: "_" + m[0].lower(), name)] = float(value)
    assert stated == asdict(recrop.DEFAULT_RECROP)
    (rolls,) = re.findall(r"const SEARCH_ROLLS_DEG = \[(.*?)\];", script)
    assert tuple(map(float, rolls.split(","))) == recrop.SEARCH_ROLLS_DEG
