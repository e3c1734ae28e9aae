"""Study pages are built in several calls: rows are kept if command and recipe are unchanged."""

import json
import math

import pytest

pytest.importorskip("torch")

from lineament.cli import study as cli
from lineament.errors import LineamentError
from lineament.inference.processors import usable_cores
from lineament.study import curves, run
from lineament.study.page_rows import (
    PageRows,
    RowOrigin,
    machine,
    merge,
    read_page_rows,
)
from lineament.study.run import StudyOptions
from lineament.study.settings import read_study
from lineament.study.table import Table, write_page

pytestmark = pytest.mark.torch

COMMAND = "lineament study losses.toml"
STUDY = """
name = "losses"
title = "Losses"
recipe = "small.toml"
columns = ["validation"]
rows = [{ name = "a" }, { name = "b" }]
"""
ORIGINS = {"a": RowOrigin("0a", "one"), "b": RowOrigin("0b", "two")}


@pytest.fixture
def page(tmp_path):
    """A page with the row a, without a value, measured before."""
    path = tmp_path / "losses.toml"
    path.write_text(STUDY, encoding="utf-8")
    table = Table(
        read_study(path),
        ("validation",),
        {"a": {"validation": [math.nan, 0.5]}},
        {"a": ORIGINS["a"]},
    )
    write_page(table, tmp_path / "page.md", COMMAND, [])
    return tmp_path / "page.md"


def test_rows_of_an_earlier_call_are_kept_in_the_order_of_the_study(page):
    kept = read_page_rows(page, COMMAND, ORIGINS)
    assert math.isnan(kept.values["a"]["validation"][0])
    assert kept.values["a"]["validation"][1] == 0.5
    new = PageRows({"b": {"validation": [0.25, 0.25]}, "c": {}}, ORIGINS)
    rows = merge(kept, new, ["b", "c", "a"])
    assert list(rows.values) == ["b", "a"]
    assert rows.machines() == "two: b.\n\none: a."


def test_a_row_measured_again_replaces_the_earlier_one(page):
    kept = read_page_rows(page, COMMAND, ORIGINS)
    again = PageRows({"a": {"validation": [0.1]}}, {"a": RowOrigin("0a", "two")})
    rows = merge(kept, again, ["a", "b"])
    assert rows.values == {"a": {"validation": [0.1]}}
    assert rows.machines() == "two."


@pytest.mark.parametrize(
    ("command", "recipe"),
    [(f"{COMMAND} --final", "0a"), (COMMAND, "another")],
    ids=["another command", "another recipe"],
)
def test_rows_of_another_command_or_recipe_are_measured_again(page, command, recipe):
    origins = ORIGINS | {"a": RowOrigin(recipe, "one")}
    assert read_page_rows(page, command, origins).values == {}


def test_a_page_without_values_has_no_rows_and_broken_values_are_rejected(page):
    absent = page.with_name("absent.md")
    assert read_page_rows(absent, COMMAND, ORIGINS).values == {}
    values = page.with_suffix(".json")
    values.write_text(json.dumps({"origins": {"a": {"year": 1}}}), encoding="utf-8")
    with pytest.raises(LineamentError, match="not the values of a page"):
        read_page_rows(page, COMMAND, ORIGINS)


def test_a_row_that_failed_keeps_the_machine_of_its_earlier_values(page):
    kept = read_page_rows(page, COMMAND, ORIGINS)
    here = {row: RowOrigin(origin.recipe, "here") for row, origin in ORIGINS.items()}
    rows = merge(
        kept, PageRows({"a": {}, "b": {"validation": [0.1]}}, here), ["a", "b"]
    )
    assert {row: each.machine for row, each in rows.origins.items()} == {
        "a": "one",
        "b": "here",
    }


def test_the_machine_is_named_by_its_processor():
    assert machine().endswith(f"{usable_cores()} cores")


def test_curves_are_drawn_for_rows_of_earlier_calls_too(tmp_path, monkeypatch):
    path = tmp_path / "losses.toml"
    text = STUDY + 'curves = ["loss"]\n'
    path.write_text(text, encoding="utf-8")
    recipe = (
        'name = "small"\ntrain = { steps = 1 }\n'
        'data = [{ reader = "folder", folder = "x" }]\n'
    )
    (tmp_path / "small.toml").write_text(recipe, encoding="utf-8")
    drawn = []

    def draw(study, rows, page):
        drawn.append(list(rows))
        return []

    monkeypatch.setattr(curves, "draw_study_curves", draw)
    for row in ("b", "a"):
        values = {row: {"validation": [0.1]}}
        monkeypatch.setattr(run, "run_study", lambda *args, v=values: v)
        options = StudyOptions(tmp_path, tmp_path, tmp_path / "runs", only=[row])
        cli._run(read_study(path), path, options, tmp_path / "page.md")
    assert drawn == [["b"], ["a", "b"]]
