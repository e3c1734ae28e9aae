"""lineament review, review stats, annotations: from the command line to files."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from commands import FakePredictor, call
from lineament.io.review_files import read_face, write_face
from lineament.serving.review import server
from tiny_sets import picture, shape, text


class Reviewer:
    """A fake server that accepts every face, shifted by a pixel to the right."""

    def __init__(self, session):
        self.session = session

    def run(self):
        for number, face in enumerate(self.session.faces):
            moved = face.start + np.array([1.0, 0.0])
            self.session.save(number, moved, face.occluded.tolist(), seconds=12.0)


@pytest.fixture(autouse=True)
def sessions(monkeypatch):
    """The sessions that were served; predictors find one face in every image."""
    served = []

    def make_server(session, token, port, started):
        assert len(token) >= 32
        started(f"http://127.0.0.1:{port}/{token}/")
        served.append(session)
        return Reviewer(session)

    monkeypatch.setattr(server, "make_server", make_server)
    monkeypatch.setattr("lineament.inference.predictor.Predictor", FakePredictor)
    return served


def review(*words):
    return call("review", *words, "--no-browser", "--reviewer", "ann")


def test_photos_become_corrected_faces(tmp_path, sessions):
    picture(tmp_path / "photos/a.jpg", size=(90, 90))
    picture(tmp_path / "photos/x/b.jpg", size=(90, 90))
    code, shown, noted = review(tmp_path / "photos", "--out", tmp_path / "r")
    assert code == 0
    assert shown.startswith("http://127.0.0.1:0/")
    assert "2 faces, reviewer ann" in noted
    assert sorted(path.name for path in (tmp_path / "r").rglob("*.pts")) == [
        "a.pts",
        "b.pts",
    ]
    last = read_face(tmp_path / "r", "x/b").last
    assert (last.reviewer, last.seconds) == ("ann", 12)


def test_a_second_start_keeps_the_order_and_the_decisions(tmp_path, sessions):
    picture(tmp_path / "photos/a.jpg", size=(90, 90))
    words = (tmp_path / "photos", "--out", tmp_path / "r")
    assert review(*words)[0] == 0
    (tmp_path / "photos/a.jpg").unlink()  # images are not read or predicted again
    assert review(*words)[0] == 0
    assert sessions[1].own_save(0).status == "accepted"


def test_results_and_labels_are_reviewed(tmp_path, sessions):
    picture(tmp_path / "photos/a.jpg", size=(90, 90))
    results = tmp_path / "results"
    assert call("detect", tmp_path / "photos", "--out", results)[0] == 0
    assert review(results, "--out", tmp_path / "one")[0] == 0
    labels = ("--reader", "review", "--order", "disagree:fast", "--out")
    assert review(tmp_path / "one", *labels, tmp_path / "two")[0] == 0
    first, second = sessions[0].faces[0], sessions[1].faces[0]
    assert np.allclose(second.start, first.start + np.array([1.0, 0.0]), atol=1e-3)
    assert second.second is not None


def test_results_of_other_points_than_the_model_are_not_compared(tmp_path):
    picture(tmp_path / "photos/a.jpg", size=(90, 90))
    results = tmp_path / "results"
    words = ("--scheme", "five", "--out", results)
    assert call("detect", tmp_path / "photos", *words)[0] == 0
    for order in ("disagree:fast", "spread"):
        words = ("--order", order, "--out", tmp_path / "r")
        code, _, noted = review(results, *words)
        assert code == 1
        assert "faces of five cannot be compared with ibug68" in noted
        assert not (tmp_path / "r").exists()
    words = ("--scheme", "five", "--out", tmp_path / "r")
    assert review(results, "--order", "disagree:fast", *words)[0] == 0


def test_user_defined_points_are_reviewed_without_a_model(
    tmp_path, sessions, monkeypatch
):
    monkeypatch.undo()
    monkeypatch.setattr(
        server,
        "make_server",
        lambda session, *rest: sessions.append(session) or Reviewer(session),
    )
    names = '["left_eye", "right_eye", "chin"]'
    own = text(tmp_path / "mine.toml", f'points = {names}\nname = "command3"')
    picture(tmp_path / "faces/a.jpg", size=(90, 90))
    points = "\n".join(f"{x} {y}" for x, y in 3 * shape(3))
    text(tmp_path / "faces/a.pts", f"version: 1\nn_points: 3\n{{\n{points}\n}}\n")
    words = ("--reader", "folder", "--scheme", own, "--order", "audit")
    code, _, noted = review(tmp_path / "faces", *words, "--out", tmp_path / "r")
    assert code == 0
    assert "the labels are not compared with accurate" in noted
    assert sessions[0].overview()["points"] == ["left_eye", "right_eye", "chin"]
    assert sessions[0].faces[0].second is None


def test_figures_are_printed(tmp_path):
    picture(tmp_path / "photos/a.jpg", size=(90, 90))
    review(tmp_path / "photos", "--out", tmp_path / "r")
    code, shown, _ = call("review", "stats", tmp_path / "r")
    assert code == 0
    lines = shown.splitlines()
    assert lines[1].split() == ["ann", "1", "1", "0", "12.0", "300"]
    # every landmark moved by 1 px, sigma is 1.5
    assert lines[-1].split() == ["17", "1.50", "1.00", "100.0"]
    code, shown, _ = call("review", "stats", tmp_path / "r", "--json")
    assert json.loads(shown)["reviewer_stats"][0]["faces_per_hour"] == 300
    code, _, noted = call("review", "stats", tmp_path / "photos")
    assert code == 1
    assert "no reviewed face" in noted


def test_figures_of_two_schemes_are_rejected(tmp_path):
    picture(tmp_path / "photos/a.jpg", size=(90, 90))
    review(tmp_path / "photos", "--out", tmp_path / "r")
    face = read_face(tmp_path / "r", "a")
    for reviewer in ("ann", "bob"):
        five = replace(
            face.saves[0], reviewer=reviewer, landmarks=face.start[:5], occluded=()
        )
        other = replace(
            face,
            scheme="five",
            start=face.start[:5],
            sigma_px=np.ones(5),
            saves=(five,),
        )
        write_face(tmp_path / reviewer, other)
    folders = [tmp_path / name for name in ("r", "ann", "bob")]
    code, _, noted = call("review", "stats", *folders)
    assert code == 1
    assert (
        "the reviews are of five, ibug68; give reviews of one scheme at a time" in noted
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--order", "sigme"), "unknown order 'sigme'; did you mean 'sigma'?"),
        (("--order", "disagree"), "write --order disagree:MODEL"),
        (("--order", "disagree:accurate"), "would compare accurate with itself"),
        (("--model", "broken"), "unknown model 'broken'"),
    ],
)
def test_a_wrong_review_gives_a_one_line_error_and_writes_nothing(
    words, message, tmp_path
):
    picture(tmp_path / "photos/a.jpg", size=(90, 90))
    code, _, noted = review(tmp_path / "photos", "--out", tmp_path / "r", *words)
    assert code == 1
    assert message in noted
    assert len(noted.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_a_missing_folder_gives_a_one_line_error(tmp_path):
    code, _, noted = review(tmp_path / "absent", "--out", tmp_path / "r")
    assert code == 1
    assert noted.strip().endswith("absent: no such file or folder; check the path")
    assert len(noted.strip().splitlines()) == 1


def test_no_face_gives_a_one_line_error(tmp_path):
    picture(tmp_path / "photos/a.jpg", 0, size=(90, 90))
    code, _, noted = review(tmp_path / "photos", "--out", tmp_path / "r")
    assert code == 1
    assert "no faces to review" in noted


def test_annotations_are_read_and_written(tmp_path):
    picture(tmp_path / "faces/a.jpg", size=(90, 90))
    points = "\n".join(f"{x} {y}" for x, y in 4 * shape(5))
    text(tmp_path / "faces/a.pts", f"version: 1\nn_points: 5\n{{\n{points}\n}}\n")
    code, shown, noted = call(
        "annotations",
        "write",
        tmp_path / "faces",
        "--format",
        "cvat",
        "--out",
        tmp_path / "c",
    )
    assert code == 0
    assert shown.split() == [str(tmp_path / "c/annotations.xml")]
    assert "1 faces in 1 images, scheme five" in noted
    pictures = ("--pictures", tmp_path / "faces")
    read = (
        "annotations",
        "read",
        tmp_path / "c",
        *pictures,
        "--out",
        tmp_path / "back",
    )
    assert call(*read)[0] == 0
    one = (tmp_path / "faces/a.pts").read_text().split()
    two = (tmp_path / "back/a.pts").read_text().split()
    first = [float(word) for word in one[5:-1]]
    assert np.allclose(first, [float(word) for word in two[5:-1]], atol=0.01)
    code, _, noted = call(
        "annotations", "read", tmp_path / "no", "--out", tmp_path / "x"
    )
    assert code == 1
    assert "no file or folder" in noted


def test_help_names_the_commands():
    code, shown, _ = call("review", "--help")
    assert code == 0
    assert "stats" in shown
