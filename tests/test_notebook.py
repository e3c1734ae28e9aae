"""Faces in notebooks: drawn on their image, which they do not keep, with a table; data frames."""

import gc
import pickle
import re
import sys
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from lineament import Face, Faces, Predictor
from lineament.errors import ExtraError
from lineament.io.image import image_loader
from lineament.io.tables import csv_columns, csv_rows
from lineament.notebook import table_html

SVG = "{http://www.w3.org/2000/svg}"


def one_face(**stated):
    landmarks = np.array([[30.0, 20], [50, 20], [40, 30], [33, 40], [47, 40]])
    scores, sigma = np.full(5, 0.5), np.full(5, 2.0)
    face = Face(landmarks, scores, sigma, [28, 10, 52, 45], 0.75, "five", **stated)
    return Faces((face,), "five", 5, (80, 60))


def drawing(faces):
    """Return the drawing of faces as XML."""
    page = faces._repr_html_()
    return ElementTree.fromstring(re.search("<svg.*</svg>", page)[0])


def no_face(image):
    return np.zeros((0, 4))


def test_faces_are_drawn_where_they_are():
    shown = drawing(one_face())
    assert shown.get("viewBox") == "-0.5 -0.5 80 60"  # pixels are centers
    lines, dots = (path.get("d") for path in shown.iter(f"{SVG}path"))
    assert dots == "M30.0 20.0h0M50.0 20.0h0M40.0 30.0h0M33.0 40.0h0M47.0 40.0h0"
    assert lines.count("L") == lines.count("M")
    assert shown.find(f"{SVG}image") is None


def test_the_table_states_each_face_and_escapes():
    page = one_face(track_id=7, presence=0.9)._repr_html_()
    cells = re.findall("<td>(.*?)</td>", page)
    assert cells == ["0", "7", "0.75", "0.9", "0.5", "2", "28.0, 10.0, 52.0, 45.0"]
    assert "1 face (five)" in page
    none = Faces((), "five", 5)._repr_html_()
    assert "0 faces (five)" in none
    assert "<svg" not in none  # neither image nor size is known
    assert "0 faces (&lt;b&gt;)" in Faces((), "<b>", 5)._repr_html_()
    assert table_html(["<i>"], [["a & b"]]) == (
        "<table><tr><th>&lt;i&gt;</th></tr><tr><td>a &amp; b</td></tr></table>"
    )


@pytest.mark.parametrize("kind", ["path", "array", "pillow"])
def test_the_image_is_shown_if_it_can_be_read_again(kind, tmp_path):
    array = np.full((60, 80, 3), 200, np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    sources = {"path": tmp_path / "a.png", "array": array}
    source = sources.get(kind) if kind != "pillow" else Image.fromarray(array)
    faces = Predictor("fast", no_face, threads=1)(source)
    (shown,) = drawing(faces).iter(f"{SVG}image")
    assert shown.get("href").startswith("data:image/jpeg;base64,")
    assert (shown.get("width"), shown.get("height")) == ("80", "60")
    copied = pickle.loads(pickle.dumps(faces))
    assert drawing(copied).find(f"{SVG}image") is None


def test_faces_do_not_keep_the_image():
    array = np.zeros((60, 80, 3), np.uint8)
    faces = one_face().with_image(image_loader(array))
    assert drawing(faces).find(f"{SVG}image") is not None
    del array
    gc.collect()
    assert drawing(faces).find(f"{SVG}image") is None


def test_without_a_readable_image_only_landmarks_are_drawn(tmp_path):
    for source in (tmp_path / "gone.png", b"bytes"):
        faces = one_face().with_image(image_loader(source))
        assert drawing(faces).find(f"{SVG}image") is None
        assert len(list(drawing(faces).iter(f"{SVG}path"))) == 2


def test_a_data_frame_has_the_columns_and_values_of_csv(monkeypatch):
    made = {}

    class DataFrame:
        def __init__(self, rows, columns):
            made.update(rows=rows, columns=columns)

        def astype(self, types):
            made.update(types=types)
            return self

    pandas = ModuleType("pandas")
    pandas.DataFrame = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    faces = one_face(track_id=7, presence=0.9, visible=np.ones(5))
    assert isinstance(faces.to_dataframe(), DataFrame)
    assert made["columns"] == csv_columns("five", key_columns=())
    assert made["rows"] == [row[1:] for row in csv_rows(faces, "a.jpg")]
    assert made["types"] == {"track_id": "Int64"}


def test_a_data_frame_of_pandas():
    pandas = pytest.importorskip("pandas")
    table = one_face().to_dataframe()
    assert table["x_1"].tolist() == [50]
    assert table["track_id"].isna().all()
    assert len(Faces((), "five", 5).to_dataframe().columns) == len(table.columns)
    assert isinstance(table, pandas.DataFrame)


def test_without_pandas_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ExtraError, match=r"lineament\[notebook\]"):
        one_face().to_dataframe()
