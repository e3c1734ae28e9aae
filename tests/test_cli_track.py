"""track and stability: tracks and drawn videos, interrupted runs that resume, tables of jitter."""

import csv
import json
import signal
import subprocess
import sys
import time
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

av = pytest.importorskip("av")

import lineament.tracking.tracker  # before a test replaces Predictor
from commands import call
from lineament import VideoReader, VideoWriter, read_tracks, save_image
from lineament.errors import ModelError
from scenes import scene
from tiny_onnx import VISIBLE, write_model


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Return a video of 40 frames with a face that moves through the image."""
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    with VideoWriter(path) as writer:
        for k, x in enumerate(np.linspace(90, 230, 40)):
            writer.write(scene(("astronaut", 110, x, 120)), k / 25)
    return path


def test_without_out_every_frame_is_printed_as_a_line(video):
    code, out, _ = call("track", video, "--max-frames", "3")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["frame"] for row in rows] == [0, 1, 2]
    assert rows[2]["time"] == pytest.approx(2 / 25, abs=1e-3)
    assert rows[2]["faces"][0]["track_id"] == 1
    assert len(rows[2]["faces"][0]["landmarks"]) == 68


def test_a_drawn_video_is_written_with_its_tracks(video, tmp_path):
    code, _, err = call(
        "track",
        video,
        "--out",
        tmp_path / "drawn.mp4",
        "--format",
        "csv",
        "--draw-trails",
        "--max-frames",
        "8",
    )
    assert (code, err.splitlines()[-1].split(" -> ")[0]) == (0, "8 frames")
    drawn, plain = (
        list(VideoReader(tmp_path / "drawn.mp4")),
        list(VideoReader(video))[:8],
    )
    assert [frame.timestamp for frame in drawn] == pytest.approx(
        [frame.timestamp for frame in plain], abs=2e-3
    )
    changed = np.abs(drawn[5].image.astype(int) - plain[5].image).max(-1) > 60
    assert 0.005 < changed.mean() < 0.3
    assert read_tracks(tmp_path / "drawn.jsonl").ids() == [1]
    with (tmp_path / "drawn.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8


def test_a_format_that_agrees_with_out_is_accepted(video, tmp_path):
    for kind in ("jsonl", "csv"):
        words = (
            "--out",
            tmp_path / f"a.{kind}",
            "--format",
            kind,
            "--max-frames",
            "2",
            "--overwrite",
        )
        assert call("track", video, *words)[0] == 0
        assert (tmp_path / f"a.{kind}").exists()


def test_a_drawn_video_keeps_the_pixel_aspect_ratio(tmp_path):
    with VideoWriter(tmp_path / "wide.mp4") as writer:
        writer.pixel_aspect = Fraction(16, 11)
        writer.write(scene(("astronaut", 110, 150, 120)), 0)
    assert call("track", tmp_path / "wide.mp4", "--out", tmp_path / "drawn.mp4")[0] == 0
    drawn = VideoReader(tmp_path / "drawn.mp4")
    next(iter(drawn))
    assert drawn.pixel_aspect == Fraction(16, 11)


def test_a_folder_of_frames_is_a_video(tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(3):
        save_image(
            tmp_path / "in" / f"{k}.png", scene(("astronaut", 110, 150 + k, 120))
        )
    assert (
        call("track", tmp_path / "in", "--fps", "10", "--out", tmp_path / "a.jsonl")[0]
        == 0
    )
    assert read_tracks(tmp_path / "a.jsonl").times == pytest.approx([0, 0.1, 0.2])


def test_presence_is_written_and_decides_which_faces_are_tracked(tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "in").mkdir()
    for k in range(3):
        image = scene(("astronaut", 110, 150, 120))
        save_image(tmp_path / "in" / f"{k}.png", image)
    model = write_model(tmp_path / "tiny.onnx")
    words = ("track", tmp_path / "in", "--model", model, "--max-faces", "1", "--out")
    assert call(*words, tmp_path / "a.jsonl", "--min-presence", "0.1")[0] == 0
    tracks = read_tracks(tmp_path / "a.jsonl")
    assert tracks.settings["min_presence"] == 0.1
    assert [len(faces) for faces in tracks.faces] == [1, 1, 1]
    (face,) = tracks.faces[2]
    # the mean red of the crop, and its green times a factor per landmark
    assert 0.1 < face.presence < 1
    assert face.visible == pytest.approx(face.visible[0] * VISIBLE, abs=1e-4)
    assert call(*words, tmp_path / "b.jsonl", "--min-presence", "1")[0] == 0
    assert [len(faces) for faces in read_tracks(tmp_path / "b.jsonl").faces] == [0] * 3


def test_existing_files_are_kept_without_overwrite(video, tmp_path):
    (tmp_path / "a.jsonl").write_text("mine")
    code, _, err = call("track", video, "--out", tmp_path / "a.jsonl")
    assert code == 2
    assert "exists; choose another --out, or add --overwrite" in err
    assert (tmp_path / "a.jsonl").read_text() == "mine"
    assert (
        call(
            "track",
            video,
            "--max-frames",
            "2",
            "--out",
            tmp_path / "a.jsonl",
            "--overwrite",
        )[0]
        == 0
    )
    assert len(read_tracks(tmp_path / "a.jsonl").times) == 2


@pytest.mark.slow
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(video, tmp_path):
    """The process is killed twice, as in a power failure; the drawn video is complete as well."""
    words = [sys.executable, "-c", SLOWLY, "track", str(video), "--workers", "1"]
    for number in range(2):
        run = subprocess.Popen(
            [
                *words,
                "--out",
                str(tmp_path / "a.mp4"),
                *(["--resume"] if number else []),
            ],
            stderr=subprocess.DEVNULL,
        )
        saved = tmp_path / "a.jsonl.state"
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        until = time.monotonic() + 60
        while time.monotonic() < until and not (
            saved.exists() and saved.stat().st_mtime_ns > before
        ):
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not (tmp_path / "a.jsonl").exists()
    done = json.loads(saved.read_text())["frames"]
    assert 0 < done < 40
    assert (
        call("track", video, "--workers", "1", "--out", tmp_path / "a.mp4", "--resume")[
            0
        ]
        == 0
    )
    assert call("track", video, "--workers", "1", "--out", tmp_path / "b.mp4")[0] == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.slow
def test_an_interrupted_run_resumes(video, tmp_path):
    words = [
        sys.executable,
        "-c",
        SLOWLY,
        "track",
        str(video),
        "--workers",
        "1",
        "--out",
        str(tmp_path / "a.jsonl"),
    ]
    run = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    saved = tmp_path / "a.jsonl.state"
    while time.monotonic() < until and not (
        saved.exists() and json.loads(saved.read_text())["frames"]
    ):
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    assert "--resume continues" in run.communicate()[1]
    assert run.returncode == 130
    assert (
        call(
            "track", video, "--workers", "1", "--out", tmp_path / "a.jsonl", "--resume"
        )[0]
        == 0
    )
    assert call("track", video, "--workers", "1", "--out", tmp_path / "b.jsonl")[0] == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_resume_converts_complete_tracks_that_were_not_converted(video, tmp_path):
    words = ("track", video, "--max-frames", "3", "--out", tmp_path / "a.csv")
    assert call(*words)[0] == 0
    wanted = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv").unlink()  # as if killed between writing and converting
    assert call(*words, "--resume")[0] == 0
    assert (tmp_path / "a.csv").read_bytes() == wanted
    code, _, err = call(*words, "--resume")
    assert (code, "exists; choose" in " ".join(err.split())) == (2, True)
    (tmp_path / "a.csv").unlink()
    code, _, err = call(*words, "--resume", "--smooth", "kalman")
    assert code == 2
    assert "made from another video or with other settings" in " ".join(err.split())
    assert not (tmp_path / "a.csv").exists()


def test_an_outdated_table_is_deleted_before_its_tracks_are_replaced(
    video, tmp_path, monkeypatch
):
    """If the run is killed before the new table, no outdated table is left next to new tracks."""
    words = (
        "track",
        video,
        "--max-frames",
        "3",
        "--out",
        tmp_path / "a.csv",
        "--overwrite",
    )
    assert call(*words)[0] == 0

    def killed(*names):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lineament.io.track_files.convert_tracks", killed)
        assert call(*words, "--smooth", "none")[0] == 130
    assert not (tmp_path / "a.csv").exists()
    assert call(*words[:-1], "--smooth", "none", "--resume")[0] == 0
    assert (tmp_path / "a.csv").exists()


def test_a_video_without_a_frame_leaves_no_files(video, tmp_path):
    (tmp_path / "v.mp4").write_bytes(video.read_bytes()[:1500])
    for _ in range(2):  # the second run must behave like the first
        code, _, err = call("track", tmp_path / "v.mp4", "--out", tmp_path / "a.mp4")
        assert (code, "no frames can be decoded" in err) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


@pytest.mark.slow
def test_wrong_options_do_not_destroy_an_interrupted_run(video, tmp_path):
    source = tmp_path / "in.mp4"
    source.write_bytes(video.read_bytes())
    words = ["track", str(source), "--workers", "1", "--out", str(tmp_path / "a.jsonl")]
    run = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words], stderr=subprocess.DEVNULL
    )
    state, until = tmp_path / "a.jsonl.state", time.monotonic() + 60
    while time.monotonic() < until and not (
        state.exists() and json.loads(state.read_text())["frames"] > 5
    ):
        time.sleep(0.02)
    run.kill()
    run.wait()
    for more, message in (
        ([], "left over from an interrupted run; add --resume"),
        (
            ["--resume", "--max-frames", "3"],
            "3 frames, but the interrupted run already has",
        ),
        (
            ["--rerun", str(tmp_path / "q.rec")],
            "of a recording; expected .rrd",
        ),
    ):
        code, _, err = call(*words, *more)
        assert code == 1
        assert message in err
    with VideoWriter(source) as writer:
        writer.write(scene(), 0.0)
    code, _, err = call(*words, "--resume")
    assert code == 1
    assert "is from another video or other settings" in err
    assert json.loads(state.read_text())["frames"] > 5


def test_the_source_is_never_overwritten(video, tmp_path):
    own = tmp_path / "own.mp4"
    own.write_bytes(video.read_bytes())
    code, _, err = call("track", own, "--out", own, "--overwrite")
    assert code == 2
    assert "is the source and would be overwritten" in " ".join(err.split())
    assert own.read_bytes() == video.read_bytes()


def test_a_video_with_fewer_frames_than_it_states_is_noted(video, tmp_path):
    with (
        av.open(str(video)) as one,
        av.open(
            str(tmp_path / "whole.mp4"), "w", options={"movflags": "faststart"}
        ) as other,
    ):
        stream = other.add_stream_from_template(one.streams.video[0])
        for packet in one.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                other.mux(packet)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    code, out, err = call("track", tmp_path / "half.mp4")
    done = len(out.splitlines())
    assert (code, 0 < done < 36) == (0, True)
    assert f"claims 40 frames, but only {done} could be read" in err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_camera_is_tracked_until_a_signal_arrives(video, tmp_path, monkeypatch, sent):
    from lineament.io.video_reader import VideoReader as Reader

    class Endless(Reader):
        """A fake camera without a length that raises a signal at the sixth frame."""

        def __init__(self, source, fps):
            super().__init__(video)
            self.live, self.frames = True, None

        def __iter__(self):
            for frame in super().__iter__():
                if frame.number == 5:
                    signal.raise_signal(sent)
                yield frame

    monkeypatch.setattr("lineament.io.video_reader.VideoReader", Endless)
    before = signal.getsignal(sent)
    code, _, err = call("track", "0", "--out", tmp_path / "a.mp4", "--format", "csv")
    assert (code, err.splitlines()[-1].split(" -> ")[0]) == (0, "6 frames")
    assert len(list(Reader(tmp_path / "a.mp4"))) == 6
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 7
    assert signal.getsignal(sent) is before


def test_files_are_completed_if_a_live_stream_stalls(video, tmp_path, monkeypatch):
    from lineament.io.video_reader import VideoReader as Reader

    sent = 8

    class Silent(Reader):
        def __init__(self, source, fps):
            super().__init__(video)
            self.live = self._decoder.live = True
            self._decoder._packets = self._silent(self._decoder._packets)
            self.frames = None

        def _silent(self, packets):
            def some():
                yield from islice(packets(), sent)
                raise OSError("Connection timed out")

            return some

    monkeypatch.setattr("lineament.io.video_reader.VideoReader", Silent)
    code, _, err = call("track", "http://127.0.0.1/live", "--out", tmp_path / "a.csv")
    assert (
        code,
        "the frames stopped (Connection timed out); the files are complete up to there"
        in " ".join(err.split()),
    ) == (0, True)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + sent
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.csv", "a.jsonl"]
    sent = 0
    code, _, err = call("track", "http://127.0.0.1/live", "--out", tmp_path / "b.csv")
    assert (
        code,
        "no frames received (Connection timed out)" in " ".join(err.split()),
    ) == (
        1,
        True,
    )
    assert not list(tmp_path.glob("b.*"))


# the command with slow frames, and state saved after every frame
SLOWLY = """
import time
from lineament.cli import main, track_output
from lineament.tracking.tracker import Tracker
track_output.SAVE_S = 0.0
called = Tracker.__call__
def slowly(self, *arguments):
    time.sleep(0.05)
    return called(self, *arguments)
Tracker.__call__ = slowly
main()
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--resume",),
            "--resume, --overwrite, --draw-trails, --rerun and --format need --out",
        ),
        (
            ("--format", "csv"),
            "--resume, --overwrite, --draw-trails, --rerun and --format need --out",
        ),
        (
            ("--format", "csv", "--out", "a.jsonl"),
            "--format csv and --out a.jsonl name different formats",
        ),
        (("--draw-trails", "--out", "a.jsonl"), "--draw-trails needs a video as --out"),
        (("--out", "a.txt"), "unsupported suffix '.txt'; expected .mp4"),
        (("--smooth", "median"), "'median' is not one of"),
        (
            ("--resume", "--out", "b.jsonl"),
            "--resume is for videos that can be read again; a camera or a live stream",
        ),
    ],
)
def test_options_that_do_not_fit_are_usage_errors(words, message, video):
    code, _, err = call("track", "0" if "b.jsonl" in words else video, *words)
    assert code == 2
    assert message in " ".join(err.split())


def test_a_file_that_is_not_a_video_gives_a_one_line_error(tmp_path):
    (tmp_path / "a.mp4").write_text("no")
    for path in (tmp_path / "a.mp4", tmp_path / "none.mp4"):
        code, _, err = call("track", path)
        assert code == 1
        assert err.startswith("lineament: ")
        assert len(err.splitlines()) == 1


def test_stability_passes_face_limits_to_the_tracker(tmp_path, monkeypatch):
    given = {}

    def make_tracker(model, **options):
        given.update(options)
        raise ModelError("no tracker here")

    monkeypatch.setattr(lineament.tracking.tracker, "Tracker", make_tracker)
    words = ("--min-face", "40px", "--min-presence", "0.5", "--flip")
    code, _, err = call("stability", tmp_path / "walk.mp4", *words)
    assert (code, "no tracker here" in err) == (1, True)
    found = {"detector": "default", "min_face": "40px", "min_presence": 0.5}
    assert given == found | {"smooth": None, "flip": True}


def test_stability_is_measured_for_videos_and_tracks(video, tmp_path):
    pytest.importorskip("matplotlib")
    code, out, _ = call("stability", video, "--plot", tmp_path / "s.png")
    assert code == 0
    head, raw, smooth = out.splitlines()
    assert head.split()[:4] == ["track", "face", "frames", "gaps"]
    assert "as measured" in raw
    assert "one-euro" in smooth
    assert (
        call("stability", video, "--flip", "--smooth", "none")[1].count("as measured")
        == 1
    )
    code, _, err = call("stability", video, "--detector", tmp_path / "none.onnx")
    assert code != 0
    assert "none.onnx" in err
    assert (tmp_path / "s.png").stat().st_size > 5000
    call("track", video, "--out", tmp_path / "a.jsonl")
    call("track", video, "--out", tmp_path / "raw.jsonl", "--smooth", "none")
    words = ("--reference", tmp_path / "raw.jsonl", "--truth", tmp_path / "raw.jsonl")
    code, out, _ = call("stability", tmp_path / "a.jsonl", *words)
    assert code == 0
    assert out.splitlines()[-2].split()[-5:] == [
        "id",
        "switches",
        "misses",
        "false",
        "positives",
    ]
    assert out.splitlines()[-1].split()[-4:] == ["40", "0", "0", "0"]
    (tmp_path / "short.jsonl").write_text(
        "\n".join((tmp_path / "raw.jsonl").read_text().splitlines()[:6]) + "\n"
    )
    others = tmp_path / "others.jsonl"
    others.write_text(
        (tmp_path / "raw.jsonl").read_text().replace('"track_id": 1', '"track_id": 7')
    )
    code, out, _ = call(
        "stability",
        tmp_path / "a.jsonl",
        "--reference",
        others,
        "--plot",
        tmp_path / "o.png",
    )
    assert (code, out.split()[-1], (tmp_path / "o.png").exists()) == (0, "-", True)
    (tmp_path / "in").mkdir()
    code, _, err = call("stability", tmp_path / "in", "--fps", "0")
    assert (code, "fps is 0.0; expected frames per second" in err) == (1, True)
    code, out, _ = call("stability", tmp_path / "a.jsonl")
    assert (code, out.split()[-1]) == (0, "-")  # without a reference there is no lag
    code, _, err = call("stability", tmp_path / "a.csv")
    assert (code, "lacks the frames without a face" in " ".join(err.split())) == (
        2,
        True,
    )
    code, out, _ = call(
        "stability", tmp_path / "short.jsonl", "--truth", tmp_path / "short.jsonl"
    )
    assert "no face of 30 frames or more" in out
    assert out.splitlines()[-1].split()[-4:] == ["5", "0", "0", "0"]
    code, _, err = call("stability", video, "--reference", tmp_path / "raw.jsonl")
    assert code == 2
    assert "--reference is only for a track file" in " ".join(err.split())
    code, _, err = call(
        "stability", tmp_path / "a.jsonl", video, "--truth", tmp_path / "raw.jsonl"
    )
    assert code == 2
    assert "--reference and --truth need exactly one track file" in " ".join(
        err.split()
    )
