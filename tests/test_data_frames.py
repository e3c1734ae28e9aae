"""Frames of a video by number: exact, each decoded once in rising order, errors of one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.data.frames import VideoFrames, close_video, read_video_frame
from lineament.errors import ImageError


def video(path: Path, frames: int) -> Path:
    """A video whose frame k is grey of value 10 + 20 k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 24))
    for k in range(frames):
        out.write(np.full((24, 32, 3), 10 + 20 * k, np.uint8))
    out.release()
    return path


def test_frames_are_the_same_in_any_order_and_decoded_once_in_rising_order(tmp_path: Path) -> None:
    path = video(tmp_path / "v.avi", 6)
    with VideoFrames(path) as frames:
        values = {k: int(frames.read(k)[0, 0, 0]) for k in (4, 1, 5, 0, 0, 3)}
    for k, value in values.items():
        assert abs(value - (10 + 20 * k)) <= 3
    opened: list[int] = []
    with VideoFrames(path) as frames:
        start = frames._open
        frames._open = lambda: opened.append(1) or start()  # type: ignore[method-assign, func-returns-value]
        for k in (0, 2, 3, 5):
            frames.read(k)
    assert opened == []


def test_videos_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"v\.avi: no such video; check the path"):
        VideoFrames(tmp_path / "v.avi")
    (tmp_path / "v.avi").write_bytes(b"no video" * 99)
    with pytest.raises(ImageError, match=r"v\.avi: cannot be opened as a video; wanted a codec"):
        VideoFrames(tmp_path / "v.avi")
    with VideoFrames(video(tmp_path / "w.avi", 2)) as frames:
        with pytest.raises(
            ImageError, match=r"w\.avi: ends before frame 9 \(frames count from 0\)"
        ):
            frames.read(9)
        with pytest.raises(ImageError, match="frame -1; wanted a number from 0"):
            frames.read(-1)


def test_reading_by_turns_from_two_videos_keeps_them_apart(tmp_path: Path) -> None:
    one, two = video(tmp_path / "1.avi", 3), video(tmp_path / "2.avi", 5)
    for path, frame in ((one, 2), (two, 4), (one, 0), (one, 1), (two, 3)):
        assert abs(int(read_video_frame(path, frame)[0, 0, 0]) - (10 + 20 * frame)) <= 3
    close_video()
    assert abs(int(read_video_frame(one, 1)[0, 0, 0]) - 30) <= 3
    close_video()
