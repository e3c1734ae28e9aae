"""Small user inputs that failed before: each is read correctly or refused in one line.

They are made by a script next to the repository; without it these tests are skipped.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import lineament.io.image
from commands import call
from lineament.data.audit.audit import audit
from lineament.data.mixture import read_mixture, read_part
from lineament.data.readers.own_data import OwnData
from lineament.errors import DataError
from lineament.recipe import DataPart
from lineament.schemes import check_scheme, scheme

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cases(data_root, tmp_path_factory):
    """Return the folder of the cases."""
    script = data_root.resolve().parent / "cases/make_cases.py"
    if not script.is_file():
        pytest.skip(f"needs the cases: no file {script}")
    out = tmp_path_factory.mktemp("cases")
    portrait = ROOT / "docs/pictures/astronaut.jpg"
    with pytest.MonkeyPatch.context() as patch:
        # the script was written for an earlier layout of the package
        patch.setitem(sys.modules, "lineament.image", lineament.io.image)
        patch.setattr(sys, "argv", [str(script), str(out), str(portrait)])
        runpy.run_path(str(script), run_name="__main__")
    return out


def read(reader, folder, wanted="ibug68", **stated):
    """Return the faces of a folder, read as for training, and the notes."""
    lines = []
    own = OwnData(wanted=wanted, needs_images=True, note=lines.append, **stated)
    samples = read_part(reader, folder, "", wanted, str(folder), lines.append, own)
    return samples, lines


def test_make_01_user_defined_points_are_rejected_without_a_scheme(cases):
    with pytest.raises(DataError, match="names of the 21 points fit no known scheme"):
        read("coco", cases / "make-01/own21.json")
    with pytest.raises(DataError, match="names of the 15 points fit no known scheme"):
        read("coco", cases / "make-01/kaggle15/own15.json")


@pytest.mark.parametrize(
    ("file", "count"), [("own21.json", 21), ("kaggle15/own15.json", 15)]
)
def test_make_01_a_scheme_is_drawn_from_the_file(file, count, cases):
    path = cases / "make-01" / file
    out = path.with_name(f"case{count}.toml")
    code, shown, noted = call("scheme", path, "--out", out)
    assert code == 0
    assert out.with_suffix(".png").is_file()
    assert "mean shape of 6 faces" in noted
    own = scheme(check_scheme(str(out)))
    points = dict(enumerate(own.points))
    # the outer corners, then the upper lids: the outer one of each eye
    assert points[own.mirror[0]] == "leye_outer"
    assert points[own.mirror[1]] == "leye_top2"
    assert "leye_top2" in noted  # which cannot be inferred from the names
    assert own.norm_points["interocular"] == ((0,), (9,))
    assert f"scheme case{count} of {count} points" in shown
    samples, lines = read("coco", path, own.name)
    assert [len(s.landmarks) for s in samples] == [count] * 6
    assert lines == []


@pytest.mark.parametrize("tool", ["cvat", "official", "fiftyone", "labelstudio"])
def test_make_02_images_are_found_in_the_layouts_of_tools(tool, cases):
    samples, lines = read("coco", cases / "make-02" / tool)
    assert len(samples) == 6
    assert all(sample.image.is_file() for sample in samples)
    assert len(lines) == 1
    assert "68 points without names" in lines[0]


def test_make_03_the_category_that_fits_is_read(cases):
    samples, lines = read("coco", cases / "make-03")
    assert [sample.scheme for sample in samples] == ["ibug68"] * 6
    assert any("; reading 'face'" in line for line in lines)
    with pytest.raises(DataError, match="no known scheme"):
        read("coco", cases / "make-03", category="person")


def test_make_04_ten_photos_have_a_validation_face_that_is_printed(cases, tmp_path):
    lines = []
    part = DataPart(reader="folder", folder=str(cases / "make-04"))
    sources, validation = read_mixture([part], "ibug68", cases, tmp_path, lines.append)
    assert len(sources[0].cache) == 9
    assert [len(faces) for faces in validation.values()] == [1]
    assert any("9 faces to train on, 1 for validation: DSC000" in x for x in lines)


@pytest.mark.parametrize(
    ("unit", "word"), [("zero_to_one", "fractions"), ("percent", "percent")]
)
def test_make_06_fractions_and_percent_are_an_error(unit, word, cases):
    with pytest.raises(DataError, match=f"{word} of the image, not pixels; multiply"):
        read("csv", cases / "make-06" / unit)
    errors = [f for f in audit(cases / "make-06" / unit).findings if f.kind == "unit"]
    assert len(errors) == 1
    assert errors[0].severity == "error"


def test_make_08_boxes_to_ignore_are_left_out_and_counted(cases):
    samples, lines = read("dlib", cases / "make-08")
    assert len(samples) == 6
    assert any("6 boxes marked as ignored" in line for line in lines)
    assert np.isfinite(samples[0].landmarks).all()
