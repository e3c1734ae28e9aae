"""One frame of a video -> RGB uint8 (H, W, 3). Frames are counted by decoding: seeking is inexact in many codecs."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError


class VideoFrames:
    """The frames of one video by number, from 0; rising numbers decode each frame once."""

    def __init__(self, path: Path) -> None:
        """Raises: ImageError where the file is missing or no video."""
        if not path.is_file():
            raise ImageError(f"{path}: no such video; check the path")
        self.path = path
        self._at = 0
        self._capture = self._open()

    def _open(self) -> Any:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise ImageError(
                f"{self.path}: cannot be opened as a video; wanted a codec that OpenCV's FFmpeg reads"
            )
        return capture

    def read(self, frame: int) -> NDArray[np.uint8]:
        """Frame number `frame`: RGB (H, W, 3).    Raises: ImageError where the video ends before it."""
        if frame < 0:
            raise ImageError(f"{self.path}: frame {frame}; wanted a number from 0")
        if frame < self._at:
            self._capture.release()
            self._capture, self._at = self._open(), 0
        while self._at < frame and self._capture.grab():
            self._at += 1
        found, picture = self._capture.read() if self._at == frame else (False, None)
        if not found:
            raise ImageError(
                f"{self.path}: ends before frame {frame} (frames count from 0); check the annotations"
            )
        self._at += 1
        return np.asarray(cv2.cvtColor(np.asarray(picture), cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def frame_rate(path: Path) -> float:
    """Frames a second of the video at `path`, as the file states them; 30 where it does not say.

    Raises: ImageError where the file is missing or no video.
    """
    with VideoFrames(path) as video:
        rate = float(video._capture.get(cv2.CAP_PROP_FPS))
    return rate if 1 <= rate <= 1000 else 30.0


_open = threading.local()  # one open video for each thread: samples of a video mostly come in order


def read_video_frame(path: Path, frame: int) -> NDArray[np.uint8]:
    """Frame number `frame`, from 0, of the video at `path`: RGB (H, W, 3).

    The video stays open for the next call of the same thread, so that rising numbers decode each frame once.
    Raises: ImageError where the file is no video or ends before the frame.
    """
    key = (os.getpid(), path)  # a forked process must not share its parent's decoder
    if getattr(_open, "key", None) != key:
        close_video()
        _open.video, _open.key = VideoFrames(path), key
    video: VideoFrames = _open.video
    return video.read(frame)


def close_video() -> None:
    """Let go of the video that this thread read last."""
    if getattr(_open, "key", None) is not None and _open.key[0] == os.getpid():
        _open.video.close()
    _open.key = None
