"""Frames of a video by number: exact with and without PyAV, each decoded once in rising order."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lineament.errors import ExtraError, ImageError
from lineament.io.video_decoders import AVDecoder, OpenCVDecoder
from lineament.io.video_reader import (
    VideoReader,
    close_video,
    frame_rate,
    read_video_frame,
)


@pytest.fixture(params=["pyav", "opencv"])
def decoder(request, monkeypatch) -> type:
    """The decoder that a reader is expected to choose."""
    if request.param == "opencv":
        monkeypatch.setitem(sys.modules, "av", None)
        return OpenCVDecoder
    pytest.importorskip("av")
    return AVDecoder


def video(path: Path, frames: int, rate: float = 25) -> Path:
    """Write a video whose frame k is gray of value 10 + 20 k."""
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (32, 24))
    for k in range(frames):
        out.write(np.full((24, 32, 3), 10 + 20 * k, np.uint8))
    out.release()
    return path


def value(image) -> int:
    return int(image[0, 0, 0])


def test_frames_are_the_same_in_any_order(tmp_path: Path, decoder: type) -> None:
    path = video(tmp_path / "v.avi", 6)
    with VideoReader(path, exact_times=False) as frames:
        assert isinstance(frames._decoder, decoder)
        values = {k: value(frames.read(k)) for k in (4, 1, 5, 0, 0, 3)}
    for k, found in values.items():
        assert abs(found - (10 + 20 * k)) <= 3
    with VideoReader(path, exact_times=False) as frames:
        in_order = [frame.image for frame in frames]
    assert [value(image) for image in in_order] == [
        value(read_video_frame(path, k)) for k in range(6)
    ]
    close_video()


def test_rising_numbers_decode_each_frame_once(
    tmp_path: Path, decoder: type, monkeypatch
) -> None:
    decoded = []
    decode = decoder.decode

    def counted(self):
        for frame in decode(self):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(decoder, "decode", counted)
    with VideoReader(video(tmp_path / "v.avi", 6), exact_times=False) as frames:
        for k in (0, 2, 3, 5):
            frames.read(k)
    assert len(decoded) == 6


def test_a_video_states_its_frame_rate(tmp_path: Path, decoder: type) -> None:
    assert frame_rate(video(tmp_path / "v.avi", 3, rate=12.5)) == pytest.approx(12.5)


def test_frames_that_cannot_be_read_give_a_one_line_error(
    tmp_path: Path, decoder: type
) -> None:
    with pytest.raises(ImageError, match=r"v\.avi: no such video; expected a file"):
        VideoReader(tmp_path / "v.avi", exact_times=False)
    (tmp_path / "v.avi").write_bytes(b"no video" * 99)
    with pytest.raises(
        ImageError, match=r"v\.avi: cannot be opened as a video"
    ) as caught:
        VideoReader(tmp_path / "v.avi", exact_times=False)
    assert "\n" not in str(caught.value)
    with VideoReader(video(tmp_path / "w.avi", 2), exact_times=False) as frames:
        with pytest.raises(
            ImageError, match=r"w\.avi: ends before frame 9 \(counted from 0\)"
        ):
            frames.read(9)
        with pytest.raises(ImageError, match="frame -1; expected a number from 0"):
            frames.read(-1)
        assert (
            abs(value(frames.read(1)) - 30) <= 3
        )  # going back is possible after reaching the end


def test_alternating_between_two_videos_does_not_mix_them(
    tmp_path: Path, decoder: type
) -> None:
    one, two = video(tmp_path / "1.avi", 3), video(tmp_path / "2.avi", 5)
    for path, frame in ((one, 2), (two, 4), (one, 0), (one, 1), (two, 3)):
        assert abs(value(read_video_frame(path, frame)) - (10 + 20 * frame)) <= 3
    close_video()
    assert abs(value(read_video_frame(one, 1)) - 30) <= 3
    close_video()


def test_only_exact_times_cameras_and_addresses_need_pyav(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = video(tmp_path / "v.avi", 2)
    for source, exact_times in (
        (path, True),
        (0, False),
        ("rtsp://127.0.0.1/a", False),
    ):
        with pytest.raises(ExtraError, match="PyAV is not installed"):
            VideoReader(source, exact_times=exact_times)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "in" / "0.png")
    assert len(list(VideoReader(tmp_path / "in"))) == 1


@pytest.mark.data
def test_pyav_and_opencv_count_the_same_frames(data_root: Path, monkeypatch) -> None:
    pytest.importorskip("av")
    path = next(iter(sorted((data_root / "talking_face").rglob("*.webm"))), None)
    if path is None:
        pytest.skip("needs the video of Talking Face")
    with VideoReader(path) as reader:
        exact = [reader.read(k) for k in (0, 50, 90)]
    rate = frame_rate(path)
    monkeypatch.setitem(sys.modules, "av", None)
    with VideoReader(path, exact_times=False) as reader:
        for k, image in zip((0, 50, 90), exact, strict=True):
            # conversions from YUV round differently; a neighboring frame differs by more
            assert np.abs(reader.read(k).astype(int) - image).mean() < 1
    assert frame_rate(path) == pytest.approx(rate)


def test_animated_frames_without_a_duration_are_a_usual_time_apart(tmp_path):
    frames = [Image.fromarray(np.full((16, 16, 3), v, np.uint8)) for v in (0, 90, 200)]
    path = tmp_path / "a.webp"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=0, lossless=True
    )
    with VideoReader(path) as reader:
        times = [frame.timestamp for frame in reader]
    assert times == pytest.approx([0, 1 / 30, 2 / 30])


def test_a_folder_may_have_names_with_superscripts(tmp_path):
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for name in ("1²2.png", "1²10.png"):
        image.save(tmp_path / name)
    with VideoReader(tmp_path) as reader:
        assert len(list(reader)) == 2
