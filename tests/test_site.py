"""The documentation site builds strictly and offline, and its navigation and pages are complete."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")  # of mkdocs
ROOT = Path(__file__).parents[1]
BUILDERS = ("mkdocs", "material", "mkdocstrings_handlers")


def nav_pages(entries):
    """Return the pages of a navigation, in order."""
    pages = []
    for entry in entries:
        (value,) = entry.values()
        pages += nav_pages(value) if isinstance(value, list) else [value]
    return pages


def settings():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    missing = [name for name in BUILDERS if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs the group docs: no {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    # strict: a broken link or anchor, a page outside the navigation, a wrong docstring
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_docs_page_is_in_the_navigation_once():
    pages = nav_pages(settings()["nav"])
    written = []
    for path in (ROOT / "docs").rglob("*.md"):
        written.append(path.relative_to(ROOT / "docs").as_posix())
    assert sorted(set(pages)) == sorted(pages)
    assert set(written) - {"pictures/README.md"} <= set(pages)


def test_the_pages_of_the_navigation_are_built(site):
    for page in nav_pages(settings()["nav"]):
        assert (site / page).with_suffix(".html").is_file(), page


def test_every_public_name_is_on_the_page_of_the_api(site):
    page = (site / "api.html").read_text(encoding="utf-8")
    listed = set(re.findall(r'<h2 id="lineament\.(\w+)"', page))
    generated = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    # test_docs.py holds that page to lineament.__all__
    assert listed == set(re.findall(r"^### (\w+)", generated, re.MULTILINE))


def test_pages_load_no_external_resources(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    loaded = set()
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", text):
            if 'rel="canonical"' not in tag:
                loaded |= set(re.findall(r'(?:src|href)="((?:https?:)?//[^"]*)"', tag))
    assert loaded == set()


def test_a_file_that_a_page_links_is_shown(site):
    recipe = site / "repository/recipes/fine-tune.toml.html"
    assert "init_from" in recipe.read_text(encoding="utf-8")
    page = (site / "own-data.html").read_text(encoding="utf-8")
    assert 'href="repository/recipes/fine-tune.toml.html"' in page


def test_the_recipe_of_conda_has_the_dependencies_of_the_package():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    recipe = yaml.safe_load((ROOT / "conda/meta.yaml").read_text("utf-8"))
    wanted = {f"python {stated['requires-python']}"}
    for line in stated["dependencies"]:
        name, bounds = re.fullmatch(r"([\w-]+)(.*)", line).groups()
        name = {"opencv-python-headless": "py-opencv"}.get(name, name)
        wanted.add(f"{name} {bounds}")
    assert set(recipe["requirements"]["run"]) == wanted
    assert recipe["package"] == {"name": stated["name"], "version": stated["version"]}
    entry = f"lineament = {stated['scripts']['lineament']}"
    assert recipe["build"]["entry_points"] == [entry]
