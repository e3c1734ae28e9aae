"""Read frames of video files, cameras, URLs and folders of images, in order or by number."""

import math
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from PIL import Image

from ..errors import ImageError, short_reason
from .image import read_image
from .media_files import animated_format, by_numbers, find_images
from .video_decoders import (
    RGB,
    AVDecoder,
    DecodedFrame,
    Decoder,
    OpenCVDecoder,
    open_camera,
)

EXPECTED = "expected a file, a folder of images, a URL or a camera"
WAIT_S = 30.0
"""Time in seconds after which a URL that sends nothing counts as ended."""
DEFAULT_FPS = 30.0
ANIMATIONS = ["WEBP", "AVIF"]
"""Animated images decoded by Pillow, because FFmpeg's support is poor or missing."""
MAX_BACKWARD_S = 1.0
"""A larger backward jump means that the clock was restarted; times then continue from before."""


class Frame(NamedTuple):
    """One frame of a video."""

    number: int
    """Frame index, from 0."""
    timestamp: float
    """Time in seconds as stated in the file, strictly increasing."""
    image: RGB
    """RGB (H, W, 3), upright according to the file's rotation metadata."""


class FolderDecoder(Decoder):
    """Read the images in a folder, ordered by the numbers in their names, `fps` per second."""

    def __init__(self, folder: Path, fps: float) -> None:
        self._paths = sorted(
            find_images(folder), key=lambda path: by_numbers(str(path))
        )
        self.frames, self.fps = len(self._paths), fps

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the images that can be read."""
        assert self.fps is not None
        for index, path in enumerate(self._paths):
            try:
                image = read_image(path)
            except ImageError:
                self.skipped_frames += 1
                continue
            yield index / self.fps, lambda image=image: image  # type: ignore[misc]


class AnimationDecoder(Decoder):
    """Decode an animated image, whose frames have individual durations.

    Raises:
        ImageError: If the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._image: Any = Image.open(path, formats=ANIMATIONS)
            self._image.load()  # makes the duration available
        except Exception as error:  # decoders raise almost any exception
            raise ImageError(
                f"{path}: cannot be opened as a video ({short_reason(error)}); get the file again"
            ) from error
        self.frames = int(getattr(self._image, "n_frames", 1))
        shown_s = self._shown_s()
        self.fps = 1 / shown_s if shown_s else None

    def _shown_s(self) -> float:
        """Return the duration of the last decoded frame, seconds."""
        return float(self._image.info.get("duration", 0)) / 1000

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames in order, up to the first broken one."""
        time = 0.0
        for number in range(self.frames or 0):
            try:
                self._image.seek(number)
                image = read_image(self._image)
            except Exception:  # a broken frame; decoders raise almost any exception
                self.skipped_frames += 1
                return
            yield time, lambda image=image: image  # type: ignore[misc]
            time += self._shown_s() or 1 / DEFAULT_FPS

    def close(self) -> None:
        """Release the file."""
        self._image.close()


class VideoReader:
    """Read the frames of a video: iterate once over all, or `read` single ones by number.

    Iterating yields frames with `number`, from 0, `timestamp` in seconds, and `image`, RGB
    (H, W, 3).

    If a file has several video streams, cover images and thumbnails are ignored. Frames that
    cannot be decoded are skipped and counted in `skipped_frames`. `live` sources cannot be read
    again; if one stops sending, the frames end, and `stream_error` contains the reason. `frames`
    and `fps` (frames per second) are as stated by the source, or None. `pixel_aspect` is the
    displayed width of a pixel divided by its height, known after the first frame; landmarks are
    in stored pixels.

    Args:
        source: A file, a URL, the number of a camera, or a folder of images, in the order of
            the numbers in their names.
        fps: Frames per second of a folder of images.
        threads: Decoder threads; 0: the decoder's default.
        exact_times: Whether frame times matter. If False, OpenCV, which provides no exact
            times, reads files if PyAV is not installed.

    Raises:
        ImageError: If the source is not a video, or a URL that is not live stops
            sending.
        ExtraError: If PyAV is needed and not installed.
    """

    def __init__(
        self,
        source: str | Path | int,
        fps: float = DEFAULT_FPS,
        threads: int = 0,
        exact_times: bool = True,
    ) -> None:
        self.name = str(source)
        self._source, self._fps, self._threads = source, fps, threads
        self._exact_times = exact_times
        self._restart()

    def _restart(self) -> None:
        self._decoder = self._open()
        self._decoded: Iterator[DecodedFrame] = self._decoder.decode()
        self._next = 0
        self.live = self._decoder.live
        self.frames, self.fps = self._decoder.frames, self._decoder.fps

    def _open(self) -> Decoder:
        """Open the source with a suitable decoder."""
        path = Path(self.name)
        if not self.name:  # as a path, the current folder
            raise ImageError(f"'': no such video; {EXPECTED}")
        if is_camera(self._source):
            return open_camera(int(self.name), self._threads)
        if is_address(self._source):
            return AVDecoder(
                self.name, self.name, self._threads, remote=True, timeout=WAIT_S
            )
        if path.is_dir():
            if not 0 < self._fps < math.inf:
                raise ImageError(
                    f"fps is {self._fps}; expected frames per second, above 0"
                )
            return FolderDecoder(path, self._fps)
        if not path.is_file():
            raise ImageError(f"{self.name}: no such video; {EXPECTED}")
        if animated_format(path, ANIMATIONS):
            return AnimationDecoder(path)
        if not self._exact_times and find_spec("av") is None:
            return OpenCVDecoder(path)
        # absolute, because a file name containing a colon would look like a URL
        return AVDecoder(str(path.absolute()), self.name, self._threads)

    @property
    def skipped_frames(self) -> int:
        """Number of frames skipped so far because they could not be decoded."""
        return self._decoder.skipped_frames

    @property
    def stream_error(self) -> str:
        """Error that ended a live source; empty if there was none."""
        return self._decoder.stream_error

    @property
    def pixel_aspect(self) -> Fraction:
        """Displayed width of a pixel divided by its height; known after the first frame."""
        return self._decoder.pixel_aspect

    def __iter__(self) -> Iterator[Frame]:
        last, offset, index = -1.0, 0.0, -1
        step = 1 / (self.fps or DEFAULT_FPS)
        for index, (timestamp, convert) in enumerate(self._decoded):
            # some files repeat times, or have none
            time = 0.0 if not index else last + step
            if timestamp is not None:
                time = timestamp + offset
            # the clock restarted, e.g. in concatenated files or a restarted stream
            if index and time < last - MAX_BACKWARD_S:
                offset += last + step - time
                time = last + step
            time = time if time > last or not index else last + step / 100
            last = time
            yield Frame(index, time, convert())
        if index < 0:
            self.close()
            if self.live:
                reason = f" ({self.stream_error})" if self.stream_error else ""
                raise ImageError(f"{self.name}: no frames received{reason}")
            raise ImageError(
                f"{self.name}: no frames can be decoded; get the file again"
            )

    def read(self, number: int) -> RGB:
        """Return frame `number`, counted from 0, as RGB (H, W, 3).

        Frames are counted by decoding, since seeking is inexact in many codecs. Ascending
        numbers decode each frame once; a lower number starts over.

        Raises:
            ImageError: If the video ends before that frame.
        """
        if number < 0:
            raise ImageError(f"{self.name}: frame {number}; expected a number from 0")
        if number < self._next:
            self._decoder.close()
            self._restart()
        for _, convert in self._decoded:
            self._next += 1
            if self._next > number:
                return convert()
        raise ImageError(
            f"{self.name}: ends before frame {number} (counted from 0); check the "
            "annotations"
        )

    def stop(self) -> None:
        """Stop after the current frame; may be called from a signal handler."""
        self._decoder.stopped = True

    def close(self) -> None:
        """Release the file or the camera."""
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def is_address(source: str | Path | int) -> bool:
    """Return True if `source` is a URL, such as https://example.org/a.mp4."""
    return "://" in str(source)


def is_camera(source: str | Path | int) -> bool:
    """Return True if `source` is a camera number; a file with that name takes precedence."""
    if isinstance(source, int):
        return True
    return str(source).isdecimal() and not Path(source).exists()


def every_nth_frame(path: Path, every: int) -> Iterator[tuple[int, RGB]]:
    """Yield every N-th frame of a video, starting with the first, with its number.

    Raises:
        ImageError: If the file is not a video.
    """
    with VideoReader(path, exact_times=False) as video:
        number = 0
        while True:
            try:
                image = video.read(number)
            except ImageError:
                if number == 0:
                    raise
                return
            yield number, image
            number += every


def frame_rate(path: Path) -> float:
    """Return the frame rate stated in the video at `path`; 30 if unknown.

    Raises:
        ImageError: If the file is not a video.
    """
    with VideoReader(path, exact_times=False) as video:
        fps = video.fps or 0.0
    return fps if 1 <= fps <= 1000 else DEFAULT_FPS


# one open video per thread, because samples of a video are mostly read in order
_open = threading.local()


def read_video_frame(path: Path, number: int) -> RGB:
    """Return frame `number`, counted from 0, of the video at `path` as RGB (H, W, 3).

    The video stays open for the next call in the same thread, so ascending numbers decode each
    frame once.

    Raises:
        ImageError: If the file is not a video or ends before that frame.
    """
    key = (os.getpid(), path)  # a forked process must not share its parent's decoder
    if getattr(_open, "key", None) != key:
        close_video()
        _open.video, _open.key = VideoReader(path, exact_times=False), key
    video: VideoReader = _open.video
    return video.read(number)


def close_video() -> None:
    """Close the video that this thread read last."""
    if getattr(_open, "key", None) is not None and _open.key[0] == os.getpid():
        _open.video.close()
    _open.key = None
