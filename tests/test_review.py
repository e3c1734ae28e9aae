"""A review on the page and by its addresses: decisions become files, at once and completely."""

import json
import threading
import time
from dataclasses import replace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from chromium import Chromium, find_chromium
from lineament.data.label_files import write_label_files
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.io.pts import parse_pts
from lineament.io.review_files import read_face
from lineament.schemes import check_scheme, scheme
from lineament.serving.review.candidate import Candidate
from lineament.serving.review.collect import (
    Comparison,
    candidates_of_results,
    candidates_of_samples,
)
from lineament.serving.review.order import doubts, parse_order, ranking_score
from lineament.serving.review.queue import make_queue, read_queue, write_queue
from lineament.serving.review.session import Review
from lineament.serving.review.stats import (
    agreements,
    calibration,
    merged,
    reviewer_stats,
)
from tiny_sets import picture, text

TOKEN = "a-token-of-tests"
SIDE = 200.0
needs_chromium = pytest.mark.skipif(not find_chromium(), reason="needs Chromium")
"""Longer side of the faces here, pixels."""


@pytest.fixture
def own(tmp_path):
    """Return the name of a scheme of four points."""
    points = '["left_eye", "right_eye", "chin", "nose"]'
    lines = f'points = {points}\nname = "review4"\nedges = [[0, 1]]'
    return check_scheme(str(text(tmp_path / "own.toml", lines)))


def candidates(folder, name, count=3):
    """Faces whose longer side is SIDE, of a user's scheme."""
    made = []
    for number in range(count):
        image = picture(folder / f"{number}.jpg", 90 + number, (400, 500))
        landmarks = np.array([[250.0, 110], [150, 110], [200, 300], [205, 200]])
        landmarks[2, 1] = 100 + SIDE
        landmarks[:2, 1] = 100
        sigma = np.array([1.0, 1, 2, 1]) * (number + 1)
        box = np.array([120.0, 80, 280, 320])
        face = Candidate(
            image=image,
            image_size=(500, 400),
            scheme=name,
            box=box,
            landmarks=landmarks,
            occluded=np.array([False, False, False, True]),
            sigma_px=sigma,
            predicted=landmarks,
            second=landmarks + np.array([3.0, -2.0]),
        )
        made.append(face)
    return made


@pytest.fixture
def review(tmp_path, own):
    queue = make_queue(candidates(tmp_path / "photos", own), "sigma")
    return Review(tmp_path / "review", queue, "ann")


@pytest.fixture
def address(review):
    server_file = pytest.importorskip("lineament.serving.review.server")
    found = []
    server = server_file.make_server(review, TOKEN, 0, found.append)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not found:
        assert time.monotonic() < end
        time.sleep(0.02)
    yield found[0]
    server.should_exit = True
    thread.join(30)


def ask(url, body=None, **headers):
    """Return status, content type and body of a response."""
    data = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if body is not None else {}
    method = "GET" if body is None else "PUT"
    request = Request(url, data, kind | headers, method=method)
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["content-type"], answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read()


# orders


def test_the_most_doubtful_face_comes_first(review):
    assert [face.name for face in review.faces] == ["2", "1", "0"]
    # sigma in box sides: of four points the worst, 2 (n + 1) px of 200
    assert [face.doubt for face in review.faces] == pytest.approx([0.03, 0.02, 0.01])


def test_the_doubt_in_a_face_is_the_mean_of_its_worst_third():
    assert ranking_score(np.array([9.0, 1, 6, 2, 3, 0])) == 7.5
    assert ranking_score(np.array([np.nan, 1.0, np.nan])) == 1
    assert ranking_score(np.full(3, np.nan)) == 0


@pytest.mark.parametrize("order", ["sigma", "spread", "disagree", "audit"])
def test_every_order_puts_a_spoiled_label_first(order, tmp_path):
    mean = np.asarray(scheme("ibug68").mean_shape)
    truth = 100 + 200 * (mean - mean.min(0))
    unknown = np.full(68, 1.0)
    made = []
    for number in range(6):
        landmarks = truth.copy()
        if number == 4:
            landmarks[::3] += [12.0, -9.0]
        made.append(
            Candidate(
                image=tmp_path / f"{number}.jpg",
                image_size=(500, 500),
                scheme="ibug68",
                box=np.array([100.0, 100, 300, 300]),
                landmarks=landmarks,
                occluded=np.zeros(68, np.bool_),
                sigma_px=unknown,
                predicted=truth,
                spread_px=unknown,
                second=truth,
                annotated=True,
            )
        )
    assert int(np.argmax(doubts(made, order))) == 4


@pytest.mark.parametrize("order", ["name", "random"])
def test_an_order_without_a_score_shows_none(order, tmp_path, own):
    queue = make_queue(candidates(tmp_path, own), order)
    assert [face.doubt for face in queue] == [None] * 3
    if order == "name":
        assert [face.name for face in queue] == ["0", "1", "2"]
    write_queue(tmp_path / "r", queue, {"order": order})
    assert "doubt" not in (tmp_path / "r/queue.json").read_text()
    again = read_queue(tmp_path / "r", {"order": order})
    assert [face.name for face in again] == [face.name for face in queue]
    assert "doubt" not in Review(tmp_path / "r", again, "ann").face(0)


def test_a_wrong_order_gives_a_one_line_error():
    assert parse_order("disagree:fast") == ("disagree", "fast")
    with pytest.raises(DataError, match="unknown order 'sigme'; did you mean"):
        parse_order("sigme")
    for wrong in ("disagree", "sigma:fast"):
        with pytest.raises(DataError, match="disagree needs a second model"):
            parse_order(wrong)


def test_a_restart_repeats_no_prediction(review, tmp_path):
    write_queue(tmp_path / "r", review.faces, {"order": "sigma"})
    assert read_queue(tmp_path / "r", {"order": "audit"}) is None
    again = read_queue(tmp_path / "r", {"order": "sigma"})
    for one, two in zip(review.faces, again, strict=True):
        assert (one.name, one.doubt, one.scheme) == (two.name, two.doubt, two.scheme)
        assert one.image.resolve() == two.image
        for name in ("box", "start", "occluded", "sigma_px", "second"):
            assert np.array_equal(getattr(one, name), getattr(two, name))


def test_labels_are_compared_with_a_model_and_missing_points_filled(tmp_path, own):
    image = picture(tmp_path / "a.jpg", size=(400, 500))
    landmarks = candidates(tmp_path, own, 1)[0].landmarks.copy()
    landmarks[3] = np.nan
    sample = Sample(image, landmarks, own, "a", np.array([100.0, 100, 200, 300]))
    (face,) = candidates_of_samples([sample], Comparison())
    assert face.compared_landmarks() is None
    # without a prediction a missing point starts in the middle of the box
    assert face.start()[3].tolist() == [150, 200]
    with_prediction = replace(face, predicted=landmarks[[0, 1, 2, 0]])
    assert with_prediction.start()[3].tolist() == landmarks[0].tolist()


def test_a_folder_without_results_gives_a_one_line_error(tmp_path):
    with pytest.raises(DataError, match="no results with a face"):
        candidates_of_results(tmp_path, Comparison())


# decisions


def test_a_decision_is_a_complete_pts_file_and_its_history(review, tmp_path):
    moved = review.faces[0].start + 0.25
    review.save(0, moved, [True, False, False, False], seconds=4.0)
    review.save(0, moved + 1, [False] * 4, seconds=6.0)
    folder = tmp_path / "review"
    written = parse_pts((folder / "2.pts").read_text())
    assert np.abs(written - moved - 1).max() < 0.001
    record = read_face(folder, "2")
    assert [save.reviewer for save in record.saves] == ["ann", "ann"]
    assert record.saves[0].occluded == ("left_eye",)
    assert record.last.seconds == 6
    assert record.last.when.endswith("Z")
    assert np.abs(record.start - review.faces[0].start).max() < 1e-4


def test_a_rejected_face_has_no_pts_file_and_is_not_read(review, tmp_path):
    for number in range(3):
        review.save(number, review.faces[number].start, [False] * 4)
    review.save(1, review.faces[1].start, [False] * 4, "not a face")
    assert not (tmp_path / "review/1.pts").exists()
    faces = read_data("review", tmp_path / "review", "all", OwnData(needs_images=True))
    assert [face.name for face in faces] == ["0.jpg", "2.jpg"]
    assert faces[0].image == tmp_path / "photos/0.jpg"
    assert faces[0].visible.all()


def test_a_second_person_starts_from_the_same_landmarks(review, tmp_path):
    review.save(0, review.faces[0].start + 5, [False] * 4)
    other = Review(tmp_path / "review", review.faces, "bob")
    assert other.face(0)["status"] == ""
    assert other.face(0)["landmarks"] == other.face(0)["start"]
    again = Review(tmp_path / "review", review.faces, "ann")
    assert again.face(0)["status"] == "accepted"
    assert again.face(0)["landmarks"] != again.face(0)["start"]
    other.save(0, review.faces[0].start, [False] * 4)
    assert len(read_face(tmp_path / "review", "2").saves) == 2


def test_two_people_at_once_keep_the_decisions_of_both(review, tmp_path):
    other = Review(review.folder, review.faces, "ben")
    start = review.faces[0].start
    for person in (review, other, review):
        person.save(0, start, [False] * 4)
    record = read_face(review.folder, review.faces[0].name)
    assert [save.reviewer for save in record.saves] == ["ann", "ben", "ann"]


def test_decisions_are_never_applied_to_another_face(review, tmp_path):
    review.save(0, review.faces[0].start, [False] * 4)
    moved = replace(review.faces[0], start=review.faces[0].start + 300)
    elsewhere = replace(review.faces[0], image=tmp_path / "other.jpg")
    for other in (moved, elsewhere):
        with pytest.raises(DataError, match="decisions on another face as 2"):
            Review(tmp_path / "review", [other], "ann")
    # another model finds the same face a little elsewhere
    near = replace(review.faces[0], start=review.faces[0].start + 9)
    assert Review(tmp_path / "review", [near], "ann").own_save(0) is not None


@pytest.mark.parametrize(
    ("landmarks", "flags", "status"),
    [
        (np.zeros((3, 2)), [False] * 4, "accepted"),
        (np.full((4, 2), np.nan), [False] * 4, "accepted"),
        (np.full((4, 2), 9e9), [False] * 4, "accepted"),
        (np.zeros((4, 2)), [False], "accepted"),
        (np.zeros((4, 2)), [False] * 4, "perhaps"),
    ],
)
def test_a_decision_that_does_not_fit_writes_nothing(
    landmarks, flags, status, review, tmp_path
):
    with pytest.raises(DataError, match="2: "):
        review.save(0, landmarks, flags, status)
    assert not (tmp_path / "review").exists()


def test_labels_of_other_tools_are_corrected_and_exported(review, tmp_path):
    for number in range(3):
        review.save(number, review.faces[number].start + 0.5, [False] * 4)
    faces = read_data("review", tmp_path / "review", "all")
    write_label_files(faces, "cvat", tmp_path / "cvat")
    own = OwnData(pictures=tmp_path / "photos", scheme=review.scheme)
    back = read_data("cvat", tmp_path / "cvat", "all", own)
    for one, two in zip(faces, back, strict=True):
        assert np.abs(one.landmarks - two.landmarks).max() < 0.01


# figures


def test_figures_of_a_review_are_those_of_its_decisions(review, tmp_path):
    for number, seconds in enumerate((10.0, 20.0, 30.0)):
        start = review.faces[number].start
        # every point moves by 3 px; sigma is 3, 3, 6, 3 for the first face
        review.save(number, start + np.array([3.0, 0.0]), [False] * 4, seconds=seconds)
    other = Review(tmp_path / "other", review.faces, "bob")
    other.save(0, review.faces[0].start + np.array([3.0, 4.0]), [True, *[False] * 3])
    other.save(1, review.faces[1].start, [False] * 4, "not a face")
    both = []
    for session in (review, other):
        names = [face.name for face in session.faces[:2]]
        both.append([read_face(session.folder, name) for name in names])
    records = merged(both)
    ann, bob = reviewer_stats(records)
    assert (ann.reviewer, ann.faces, ann.corrected, ann.rejected) == ("ann", 2, 2, 0)
    assert ann.median_s == 15
    assert ann.faces_per_hour == 240  # 3600 s / mean of 15 s
    assert (bob.faces, bob.corrected, bob.rejected) == (2, 1, 1)
    assert np.isnan(bob.median_s)
    (pair,) = agreements(records)
    assert pair.people == ("ann", "bob")
    assert pair.faces == 1
    assert pair.mean == pytest.approx(4 / SIDE)
    assert pair.occlusion == 0.75
    quarters = calibration(both[0])
    assert sum(part.points for part in quarters) == 8
    # the smallest sigmas are 2 and 2, and moves of 3 px are below 4
    assert quarters[0].mean_sigma_px == 2
    assert quarters[0].mean_move_px == pytest.approx(3)
    assert quarters[0].within_two_sigma == 1


# the server


def test_the_server_answers_only_below_its_token(address):
    status, kind, body = ask(address)
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"review.js" in body
    host = address.removesuffix(f"{TOKEN}/")
    for path in ("", "api/review", f"{TOKEN}x/", f"x{TOKEN}/api/review"):
        assert ask(host + path)[0] == 404
    assert ask(address, Host="example.com")[0] == 400
    for path in ("../pyproject.toml", "%2e%2e/index.html", "session.py", "a/b"):
        assert ask(address + path)[0] == 404


def test_answers_load_nothing_from_elsewhere_and_send_no_address(address):
    with urlopen(address, timeout=30) as answer:
        headers = answer.headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    for name in ("", "review.js", "canvas.js", "review.css"):
        assert b"://" not in ask(address + name)[2].replace(b"http://www.w3.org", b"")


def test_a_face_is_served_and_a_decision_on_it_is_taken(address, review, tmp_path):
    overview = json.loads(ask(address + "api/review")[2])
    assert overview["points"] == ["left_eye", "right_eye", "chin", "nose"]
    assert overview["mirror"] == [1, 0, 2, 3]
    face = json.loads(ask(address + "api/faces/0")[2])
    assert face["second"][0] == [253.0, 98.0]
    status, kind, image = ask(address + "api/faces/0/image")
    assert (status, kind) == (200, "image/jpeg")
    assert image[:2] == b"\xff\xd8"
    decision = {
        "landmarks": face["landmarks"],
        "occluded": face["occluded"],
        "status": "accepted",
        "seconds": 2.5,
    }
    assert ask(address + "api/faces/0", decision)[0] == 200
    assert (tmp_path / "review/2.pts").is_file()
    assert review.overview()["faces"][0]["status"] == "accepted"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("api/faces/7", None, 404),
        ("api/faces/-1", None, 404),
        ("api/faces/x", None, 422),
        ("api/faces/0", {"landmarks": []}, 422),
        ("api/faces/0", {"landmarks": "no", "reviewer": "eve"}, 422),
        # larger than the buffers of a connection
        ("api/faces/0", "x" * 30_000_000, 413),
    ],
)
def test_a_wrong_request_gives_a_one_line_error(path, body, status, address, tmp_path):
    answer = ask(address + path, body)
    assert answer[0] == status
    error = json.loads(answer[2])["error"]
    assert set(error) == {"code", "message"}
    assert "Traceback" not in error["message"]
    assert not (tmp_path / "review").exists()


def test_a_missing_image_is_named_in_the_error(address, tmp_path):
    (tmp_path / "photos/2.jpg").unlink()
    status, _, body = ask(address + "api/faces/0/image")
    assert status == 404
    assert "2.jpg" in json.loads(body)["error"]["message"]


# the page


def progress(number):
    return (
        f"document.getElementById('progress').textContent.startsWith('Face {number} ')"
    )


@needs_chromium
def test_landmarks_are_corrected_in_a_browser(address, review, tmp_path):
    width, height = 1400, 1000
    flag = f"--window-size={width},{height}"
    with Chromium(tmp_path / "profile", flag) as tab:
        tab.open(address)
        ready = (
            "!!document.querySelector('#facts')?.textContent.includes('ranking score')"
        )
        tab.wait_for(ready)
        box = tab.evaluate(
            "(({left, top, width, height}) => [left, top, width, height])"
            "(document.getElementById('canvas').getBoundingClientRect())"
        )
        # the face fills 700 pixels, or nine tenths of a smaller window
        scale = min(700, 0.9 * min(box[2:])) / SIDE
        assert height < 1100
        start = review.faces[0].start
        middle = (start.min(0) + start.max(0)) / 2

        def place(point):
            at = (np.asarray(point) - middle) * scale
            return box[0] + box[2] / 2 + at[0], box[1] + box[3] / 2 + at[1]

        x, y = place(start[2])
        tab.drag((x, y), (x + 35, y - 14))
        tab.key("ArrowRight")
        tab.key("ArrowUp", modifiers=8)
        tab.key("h")
        tab.key("ArrowDown")
        tab.key("z")
        tab.key("Enter")
        tab.wait_for(progress(2))
        tab.wait_for(ready)
        written = parse_pts((tmp_path / "review/2.pts").read_text())
        # dragged, then a quarter of a pixel to the right and two up; the last step is undone
        wanted = start.copy()
        wanted[2] += [35 / scale + 0.25, -14 / scale - 2]
        assert np.abs(written - wanted).max() < 0.01
        last = read_face(tmp_path / "review", "2").last
        assert last.occluded == ("chin", "nose")
        assert 0 < last.seconds < 60
        # mirrored, a drag to the right moves to the left of the image; sides are exchanged
        tab.key("m")
        x, y = place(start[3])
        x = 2 * (box[0] + box[2] / 2) - x
        tab.drag((x, y), (x + 70, y))
        tab.key("x")
        tab.key("t")
        tab.screenshot(tmp_path / "page.png", width, height)
        tab.key("Enter")
        tab.wait_for(progress(3))
        tab.wait_for(ready)
        written = parse_pts((tmp_path / "review/1.pts").read_text())
        wanted = start[[1, 0, 2, 3]]
        # the predicted place of the selected point, the nose
        wanted[3] = start[3] + [3, -2]
        assert np.abs(written - wanted).max() < 0.01
        tab.key("Delete")
        tab.wait_for(
            "document.getElementById('progress').textContent.includes('all reviewed')"
        )
        assert not (tmp_path / "review/0.pts").exists()
        assert read_face(tmp_path / "review", "0").last.status == "not a face"
        assert tab.messages == []
