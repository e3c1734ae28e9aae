"""Track files: frames read back as written, and interrupted runs resume at their last state."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from lineament import Predictor, Tracker
from lineament.errors import DataError, InputError
from lineament.face import Face, Faces
from lineament.io.track_files import (
    Tracks,
    TrackWriter,
    convert_tracks,
    is_partial,
    read_tracks,
)
from lineament.io.video_reader import Frame
from lineament.tracking.offline import smoothed, track_all
from scenes import scene

SETTINGS = {"source": "a.mp4", "every": 15}
NONE = Faces((), "five", 5)


def face(track_id, x=0.0):
    points = np.arange(10.0).reshape(5, 2) + x
    return Face(
        points,
        np.full(5, 0.5),
        np.full(5, 1.5),
        (x, 0, x + 9, 9),
        0.75,
        "five",
        track_id,
    )


def faces(*ids, x=0.0):
    return Faces(
        tuple(face(number, x + 20 * k) for k, number in enumerate(ids)), "five", 5
    )


FRAMES = [faces(1), faces(1, 2, x=1), NONE, faces(2, x=3)]


def write(path, frames=FRAMES, **options):
    with TrackWriter(path, SETTINGS, "five", **options) as writer:
        for number, found in enumerate(frames[writer.frames :], writer.frames):
            writer.write(number, number / 30, found)
    return path


def test_written_values_survive_a_round_trip(tmp_path):
    tracks = read_tracks(write(tmp_path / "a.jsonl"))
    assert (tracks.scheme, tracks.settings, tracks.ids()) == ("five", SETTINGS, [1, 2])
    assert tracks.times == pytest.approx([0, 1 / 30, 2 / 30, 0.1], abs=1e-6)
    path = tracks.landmarks(2)
    assert path.shape == (4, 5, 2)
    assert np.isnan(path[[0, 2]]).all()
    np.testing.assert_allclose(path[3], face(2, 3).landmarks)
    np.testing.assert_allclose(tracks.faces[1][1].sigma_px, 1.5)
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob("*.state"))


def test_presence_and_visibility_read_back_and_are_nan_in_files_without_them(tmp_path):
    known = replace(face(1), presence=0.25, visible=[0, 0.5, np.nan, 1, 1])
    frames = [Faces((known,), "five", 5), faces(1)]
    first, second = read_tracks(write(tmp_path / "a.jsonl", frames)).faces
    assert first.presence.tolist() == [0.25]
    np.testing.assert_array_equal(first.visible, [[0, 0.5, np.nan, 1, 1]])
    assert "presence" not in (tmp_path / "a.jsonl").read_text().splitlines()[2]
    assert np.isnan(second.presence).all()
    assert np.isnan(second.visible).all()
    convert_tracks(tmp_path / "a.jsonl", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [row["presence"] for row in rows] == ["0.25", "nan"]
    assert [row["visible_1"] for row in rows] == ["0.5", "nan"]


def test_tracks_killed_at_the_very_end_are_complete(tmp_path):
    path = write(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl.state").write_text("{}")  # killed after the rename
    assert not is_partial(path)
    with pytest.raises(DataError, match="exists"):
        TrackWriter(path, SETTINGS, "five")
    write(path, overwrite=True)
    assert not list(tmp_path.glob("*.state"))


def stopped(path, after=2, more=1):
    """Write a run killed after saving its state and writing `more` frames and half a line."""
    writer = TrackWriter(path, SETTINGS, "five")
    for number in range(after):
        writer.write(number, number / 30, FRAMES[number])
    writer.save({"next": after})
    for number in range(after, after + more):
        writer.write(number, number / 30, FRAMES[number])
    writer._file.write(b'{"frame": 9, "ti')
    writer._file.close()


def test_a_killed_run_resumes_from_its_last_state_with_equal_results(
    tmp_path,
):
    stopped(tmp_path / "a.jsonl")
    writer = TrackWriter(tmp_path / "a.jsonl", SETTINGS, "five", resume=True)
    assert (writer.frames, writer.state) == (2, {"next": 2})
    assert [len(kept) for kept in writer.written()] == [1, 2]
    writer._file.close()
    write(tmp_path / "a.jsonl", resume=True)
    assert (tmp_path / "a.jsonl").read_bytes() == write(
        tmp_path / "b.jsonl"
    ).read_bytes()


def test_an_existing_file_is_kept_without_overwrite(tmp_path):
    path = write(tmp_path / "a.jsonl")
    with pytest.raises(
        DataError, match="exists; choose another --out, or add --overwrite"
    ):
        TrackWriter(path, SETTINGS, "five")
    assert len(read_tracks(write(path, FRAMES[:1], overwrite=True)).faces) == 1


def test_an_interrupted_run_is_not_replaced_by_a_new_one(tmp_path):
    stopped(tmp_path / "a.jsonl")
    with pytest.raises(
        DataError,
        match="left over from an interrupted run; add --resume to continue it, or --overwrite",
    ):
        write(tmp_path / "a.jsonl")
    write(tmp_path / "a.jsonl", overwrite=True)
    assert len(read_tracks(tmp_path / "a.jsonl").times) == len(FRAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_tracks_of_one_frame_are_smoothed_as_they_are(tmp_path):
    one = Tracks("five", {}, np.zeros(1), (faces(1),))
    assert np.array_equal(
        smoothed(one, "one-euro").faces[0][0].landmarks, one.faces[0][0].landmarks
    )


def test_only_a_run_of_the_same_settings_is_resumed(tmp_path):
    with pytest.raises(
        DataError, match="no interrupted run to resume; start without --resume"
    ):
        TrackWriter(tmp_path / "a.jsonl", SETTINGS, "five", resume=True)
    stopped(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="is from another video or other settings"):
        TrackWriter(tmp_path / "a.jsonl", SETTINGS | {"every": 3}, "five", resume=True)


def test_tables_have_a_row_per_face_with_frame_and_time(tmp_path):
    convert_tracks(write(tmp_path / "a.jsonl"), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["track_id"]) for row in rows] == [
        ("0", "1"),
        ("1", "1"),
        ("1", "2"),
        ("3", "2"),
    ]
    assert float(rows[3]["time"]) == 0.1
    assert float(rows[3]["y_4"]) == 12.0
    pyarrow = pytest.importorskip("pyarrow.parquet")
    convert_tracks(tmp_path / "a.jsonl", tmp_path / "a.parquet")
    table = pyarrow.read_table(tmp_path / "a.parquet").to_pydict()
    assert table["frame"] == [0, 1, 1, 3]
    assert table["x"][3] == [3.0, 5.0, 7.0, 9.0, 11.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a track file"),
        (
            '{"image": "a.jpg", "faces": []}\n',
            "not a track file; expected the .jsonl file",
        ),
        (
            json.dumps({"kind": "lineament tracks", "scheme": "five", "settings": {}})
            + "\n{}\n",
            r":2: a broken line",
        ),
        (
            json.dumps({"kind": "lineament tracks", "scheme": "five", "settings": {}})
            + "\nx\n",
            r":2: a broken line",
        ),
    ],
)
def test_a_foreign_or_broken_file_is_rejected(text, message, tmp_path):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        read_tracks(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_tracks(tmp_path / "none.jsonl")


def test_a_tracker_sees_all_frames():
    frames = [Frame(k, k / 10, np.full((2, 2, 3), k, np.uint8)) for k in range(3)]

    def one(image, time):
        return faces(1, x=float(image[0, 0, 0]))

    found = track_all(frames, one)
    assert found.times == pytest.approx([0, 0.1, 0.2])
    np.testing.assert_allclose(found.landmarks(1)[2], face(1, 2).landmarks)
    with pytest.raises(DataError, match="no frames to track"):
        track_all([], one)


def test_tracks_smoothed_afterwards_are_what_a_tracker_with_the_filter_gives():
    shown = [("astronaut", 110, 90 + 3 * k, 120) for k in range(8)]
    pictures = [scene(shown[k]) if k != 4 else scene() for k in range(8)]
    frames = [Frame(k, k / 25, picture) for k, picture in enumerate(pictures)]
    predictor = Predictor("fast", threads=1)
    raw = track_all(frames, Tracker(predictor, smooth=None))
    for kind in ("one-euro", "kalman"):
        wanted, found = (
            track_all(frames, Tracker(predictor, smooth=kind)),
            smoothed(raw, kind),
        )
        assert wanted.ids() == found.ids() == [1]
        np.testing.assert_allclose(found.landmarks(1), wanted.landmarks(1), atol=1e-9)
        np.testing.assert_allclose(found.faces[2][0].box, wanted.faces[2][0].box)
        assert np.nanmax(np.abs(found.landmarks(1) - raw.landmarks(1))) > 0.1
    with pytest.raises(InputError, match="unknown filter 'two-euro'"):
        smoothed(raw, "two-euro")


def test_the_part_of_a_killed_run_is_read_up_to_its_last_complete_line(tmp_path):
    part = write(tmp_path / "a.jsonl").rename(tmp_path / "a.jsonl.part")
    part.write_bytes(part.read_bytes()[:-20])
    assert len(read_tracks(part).times) == len(FRAMES) - 1
    complete = part.rename(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="a broken line"):
        read_tracks(complete)


def test_a_file_that_is_no_text_is_rejected(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xd8\xff\xe0\x80 a photo\n")
    with pytest.raises(DataError, match="not a track file"):
        read_tracks(tmp_path / "a.jsonl")
