"""Video files, cameras, URLs, folders of images -> frames, in order or by number."""

import math
import os
import re
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
from .media_files import ANIMATED, find_images, is_video
from .video_decoders import (
    RGB,
    AVDecoder,
    DecodedFrame,
    Decoder,
    OpenCVDecoder,
    open_camera,
)

WAIT_S = 30.0
"""Seconds that a URL may be silent."""
DEFAULT_RATE = 30.0
ANIMATIONS = (".webp", ".avif")
"""Animated images that Pillow decodes, as FFmpeg reads them badly or not at all."""
MAX_BACKWARD_S = 1.0
"""A clock that jumps back by more was restarted: its times continue from the frame before."""


class Frame(NamedTuple):
    """One frame of a video."""

    number: int
    """Counted from 0."""
    timestamp: float
    """Seconds, as the file states them; greater than the frame before's."""
    image: RGB
    """RGB (H, W, 3), upright by the rotation that the file states."""


class FolderDecoder(Decoder):
    """The images of a folder, in the order of the numbers in their names, `rate` per second."""

    def __init__(self, folder: Path, rate: float) -> None:
        self._paths = sorted(find_images(folder), key=_numbers_last)
        self.frames, self.rate = len(self._paths), rate

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the images that can be read."""
        assert self.rate is not None
        for index, path in enumerate(self._paths):
            try:
                image = read_image(path)
            except ImageError:
                self.broken += 1
                continue
            yield index / self.rate, lambda image=image: image  # type: ignore[misc]


def _numbers_last(path: Path) -> list[Any]:
    """Return the key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if part.isdigit() else part for part in parts]


class AnimationDecoder(Decoder):
    """The frames of an animated image, each shown for the time that the file states.

    Raises:
        ImageError: If the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            known = [ANIMATED[path.suffix.lower()]]
            self._image: Any = Image.open(path, formats=known)
            self._image.load()  # states the duration
        except Exception as error:  # decoders raise nearly any class
            raise ImageError(
                f"{path}: cannot be opened as a video ({short_reason(error)})"
            ) from error
        self.frames = int(getattr(self._image, "n_frames", 1))
        shown_s = self._shown_s()
        self.rate = 1 / shown_s if shown_s else None

    def _shown_s(self) -> float:
        """Return for how many seconds the frame decoded last is shown."""
        return float(self._image.info.get("duration", 0)) / 1000

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames in order; the file ends at the first one that is broken."""
        time = 0.0
        for number in range(self.frames or 0):
            try:
                self._image.seek(number)
                image = read_image(self._image)
            except Exception:  # as above
                self.broken += 1
                return
            yield time, lambda image=image: image  # type: ignore[misc]
            time += self._shown_s()

    def close(self) -> None:
        """Release the file."""
        self._image.close()


class VideoReader:
    """Read the frames of a video: iterate once for all in order, or `read` single ones by number.

    If a file has several video streams, cover images and thumbnails are ignored.

    Frames that cannot be decoded are skipped and counted in `broken`. `live` sources
    cannot be read again; if one stops sending, the frames end, and `silent` gives the
    reason. `frames` and `rate` (frames per second) are as the source states them, or None.
    `pixel_aspect` is the displayed width of a pixel divided by its height, known from the
    first frame on; landmarks are in pixels.

    Args:
        source: A file, a URL, the number of a camera, or a folder of
            images, in the order of the numbers in their names.
        rate: Frames per second of a folder of images.
        threads: Threads of the decoder; 0: its default.
        exact_times: Whether frame times matter. If not, OpenCV reads files when PyAV is not
            installed.

    Raises:
        ImageError: If the source is not a video, or a URL that is not live stops
            sending.
        ExtraError: If PyAV is needed and not installed.
    """

    def __init__(
        self,
        source: str | Path | int,
        rate: float = DEFAULT_RATE,
        threads: int = 0,
        exact_times: bool = True,
    ) -> None:
        self.name = str(source)
        self._source, self._rate, self._threads = source, rate, threads
        self._exact_times = exact_times
        self._restart()

    def _restart(self) -> None:
        self._decoder = self._open()
        self._decoded: Iterator[DecodedFrame] = self._decoder.decode()
        self._next = 0
        self.live = self._decoder.live
        self.frames, self.rate = self._decoder.frames, self._decoder.rate

    def _open(self) -> Decoder:
        """Choose the decoder of the source."""
        path = Path(self.name)
        if is_camera(self._source):
            return open_camera(int(self.name), self._threads)
        if is_address(self._source):
            return AVDecoder(
                self.name, self.name, self._threads, remote=True, timeout=WAIT_S
            )
        if path.is_dir():
            if not 0 < self._rate < math.inf:
                raise ImageError(
                    f"the rate is {self._rate}; wanted frames per second, above 0"
                )
            return FolderDecoder(path, self._rate)
        if not path.is_file():
            raise ImageError(
                f"{self.name}: no such video; wanted a file, a folder of images, a URL or a "
                "camera"
            )
        if path.suffix.lower() in ANIMATIONS and is_video(path):
            return AnimationDecoder(path)
        if not self._exact_times and find_spec("av") is None:
            return OpenCVDecoder(path)
        # absolute: a name may hold a colon, as a URL does
        return AVDecoder(str(path.absolute()), self.name, self._threads)

    @property
    def broken(self) -> int:
        """Number of frames that could not be decoded so far."""
        return self._decoder.broken

    @property
    def silent(self) -> str:
        """Reason why a live source stopped sending; empty if it did not."""
        return self._decoder.silent

    @property
    def pixel_aspect(self) -> Fraction:
        """Displayed width of a pixel divided by its height."""
        return self._decoder.pixel_aspect

    def __iter__(self) -> Iterator[Frame]:
        last, offset, index = -1.0, 0.0, -1
        step = 1 / (self.rate or DEFAULT_RATE)
        for index, (timestamp, convert) in enumerate(self._decoded):
            # some files repeat a time, or have none
            time = 0.0 if not index else last + step
            if timestamp is not None:
                time = timestamp + offset
            # joined files, a restarted stream
            if index and time < last - MAX_BACKWARD_S:
                offset += last + step - time
                time = last + step
            time = time if time > last or not index else last + step / 100
            last = time
            yield Frame(index, time, convert())
        if index < 0:
            self.close()
            if self.live:
                why = f" ({self.silent})" if self.silent else ""
                raise ImageError(f"{self.name}: no frames received{why}")
            raise ImageError(
                f"{self.name}: no frames can be decoded; get the file again"
            )

    def read(self, number: int) -> RGB:
        """Return frame `number` as RGB (H, W, 3); increasing numbers decode each frame once.

        Frames are counted by decoding, since seeking is inexact in many codecs.

        Raises:
            ImageError: If the video ends before that frame.
        """
        if number < 0:
            raise ImageError(f"{self.name}: frame {number}; wanted a number from 0")
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

    def end(self) -> None:
        """End after the frame in progress; may be called from a signal handler."""
        self._decoder.ended = True

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
    """Return whether `source` is a URL, such as https://example.org/a.mp4."""
    return "://" in str(source)


def is_camera(source: str | Path | int) -> bool:
    """Return whether `source` is a camera's number; a file of that name has priority."""
    if isinstance(source, int):
        return True
    return str(source).isdecimal() and not Path(source).exists()


def every_nth_frame(path: Path, every: int) -> Iterator[tuple[int, RGB]]:
    """Yield every N-th frame of a video, from the first, with its number.

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
    """Return the frames per second that the video at `path` states; 30 if it states none.

    Raises:
        ImageError: If the file is not a video.
    """
    with VideoReader(path, exact_times=False) as video:
        rate = video.rate or 0.0
    return rate if 1 <= rate <= 1000 else DEFAULT_RATE


# one open video per thread: samples of a video mostly come in order
_open = threading.local()


def read_video_frame(path: Path, number: int) -> RGB:
    """Return frame `number`, counted from 0, of the video at `path` as RGB (H, W, 3).

    The video stays open for the next call of the same thread, so that rising numbers
    decode each frame once.

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
