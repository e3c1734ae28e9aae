"""Rerun file: the viewer gets frames and faces, and the file appears complete."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lineament.analysis.rerun_file import RerunWriter
from lineament.errors import ExtraError, ImageError
from lineament.face import Face, Faces

IMAGE = np.zeros((20, 30, 3), np.uint8)


def faces(*numbers):
    made = [
        Face(
            np.full((5, 2), 3.0),
            np.ones(5),
            np.full(5, 1.5),
            (0, 0, 9, 9),
            1.0,
            "five",
            n,
        )
        for n in numbers
    ]
    return Faces(tuple(made), "five", 5)


class Stream:
    """A fake of rerun's stream that records its calls."""

    def __init__(self, name):
        self.shown = []

    def save(self, path):
        self.path = path

    def set_time(self, name, duration):
        self.shown.append((name, duration))

    def log(self, name, what):
        self.shown.append((name, what))

    def flush(self):
        with open(self.path, "w") as file:  # noqa: PTH123
            file.write("rrd")

    def disconnect(self):
        pass


@pytest.fixture
def rerun(monkeypatch):
    made = SimpleNamespace(
        RecordingStream=Stream,
        Image=lambda image: SimpleNamespace(
            compress=lambda jpeg_quality: ("image", image.shape)
        ),
        Points2D=lambda points, colors, radii: (
            "points",
            points.tolist(),
            len(colors),
            radii.tolist(),
            colors.tolist(),
        ),
        Scalars=lambda value: ("number", value),
        Clear=lambda recursive: "clear",
    )
    monkeypatch.setitem(sys.modules, "rerun", made)


def test_the_viewer_gets_frames_faces_and_those_that_left(rerun, tmp_path):
    with RerunWriter(tmp_path / "a.rrd") as recording:
        recording.add(IMAGE, 0.5, faces(1, 2))
        recording.add(IMAGE, 0.6, faces(2))
        shown = recording._stream.shown
        assert not (tmp_path / "a.rrd").exists()
    assert (tmp_path / "a.rrd").read_text() == "rrd"
    assert shown[:2] == [("time", 0.5), ("video", ("image", (20, 30, 3)))]
    # rerun counts from the corner of the first pixel, we from its center
    assert shown[2][0] == "video/face_1"
    assert shown[2][1][:-1] == ("points", [[3.5, 3.5]] * 5, 5, [1.5] * 5)
    assert shown[3] == ("sigma_px/face_1", ("number", 1.5))
    assert [name for name, what in shown if what == "clear"] == ["video/face_1"]


def test_the_viewer_gets_presence_if_it_is_known_and_occluded_points_dark(
    rerun, tmp_path
):
    (plain,) = faces(1)
    known = replace(plain, presence=0.75, visible=[1, 0.4, 0.5, 0, 1])
    with RerunWriter(tmp_path / "a.rrd") as recording:
        recording.add(IMAGE, 0.5, faces(1))
        recording.add(IMAGE, 0.6, Faces((known,), "five", 5))
        shown = recording._stream.shown
    bright, dark = (np.array(shown[k][1][-1]) for k in (2, 6))
    assert (bright[[0, 2, 4]] == dark[[0, 2, 4]]).all()
    assert (dark[[1, 3]] == (0.4 * bright[[1, 3]]).astype(int)).all()
    values = [name for name, _ in shown if "px/" in name or "presence" in name]
    assert values == ["sigma_px/face_1", "sigma_px/face_1", "presence/face_1"]


def test_an_error_leaves_no_file_under_the_name(rerun, tmp_path):
    with pytest.raises(KeyError), RerunWriter(tmp_path / "a.rrd"):
        raise KeyError
    assert not (tmp_path / "a.rrd").exists()


def test_another_suffix_and_a_missing_package_are_errors(tmp_path, monkeypatch):
    with pytest.raises(
        ImageError, match=r"unsupported suffix '\.mp4' of a recording; expected \.rrd"
    ):
        RerunWriter(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(
        ExtraError,
        match=r"rerun is not installed; type: pip install 'lineament\[rerun\]'",
    ):
        RerunWriter(tmp_path / "a.rrd")


def test_the_real_package_writes_a_recording(tmp_path):
    pytest.importorskip("rerun")
    with RerunWriter(tmp_path / "a.rrd") as recording:
        for k in range(3):
            recording.add(IMAGE, k / 30, faces(1) if k != 1 else faces())
    assert (tmp_path / "a.rrd").stat().st_size > 500
