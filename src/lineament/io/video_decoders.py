"""Decoders of videos: PyAV (extra `video`) and OpenCV; VideoReader chooses between them."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, missing_extra, short_reason
from ..opencv import cv2
from .foreign_images import display_matrix, frame_to_rgb, is_sideways

CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
    "win32": ("dshow", "video={}"),
}
"""FFmpeg's input format and the address of a camera, by platform."""
CAMERA_OPTIONS = {"darwin": {"framerate": "30"}}
"""Built-in cameras refuse FFmpeg's default, 29.97."""
MAX_BROKEN = 1000
DEFAULT = 0x1
"""FFmpeg's flag of the stream to choose by default."""
STILL = 0x400 | 0x800 | 0x100000
"""Its flags of cover images, thumbnails and still images."""
RGB = NDArray[np.uint8]
DecodedFrame = tuple[float | None, Callable[[], RGB]]
"""Seconds, if the file states them, and a function that converts the frame to RGB."""


class Decoder:
    """One pass over the frames of a video.

    Frames that cannot be decoded are skipped and counted in `broken`. `frames` and
    `rate` are what the file states.
    """

    frames: int | None = None
    rate: float | None = None
    live = False
    """Whether the source cannot be read again, as a camera."""
    pixel_aspect = Fraction(1)
    """Width of a pixel as displayed, in heights; known with the first frame."""
    broken = 0
    silent = ""
    """Why a live source ended; empty if it did not."""
    ended = False
    """Set to end a live source after its next frame."""

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames in order; called once."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the file or the camera."""


class OpenCVDecoder(Decoder):
    """A video file by OpenCV, which states no exact times."""

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageError(
                f"{path}: cannot be opened as a video; wanted a codec that OpenCV's FFmpeg reads"
            )
        self.rate = float(self._capture.get(cv2.CAP_PROP_FPS)) or None

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames; one that is not converted costs no conversion."""
        while self._capture.grab():
            yield None, self._convert

    def _convert(self) -> RGB:
        _, image = self._capture.retrieve()
        rgb = cv2.cvtColor(np.asarray(image), cv2.COLOR_BGR2RGB)
        return np.asarray(rgb, dtype=np.uint8)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


class AVDecoder(Decoder):
    """A file, a URL or a camera by PyAV, upright by the rotation that the file states.

    Args:
        name: How errors call the video.
        remote: Whether the source is a URL, whose silence is an error if it is not
            live.

    Raises:
        ImageError: If there is no video in it.
        ExtraError: If PyAV is not installed.
    """

    def __init__(
        self,
        where: str,
        name: str,
        threads: int,
        kind: str | None = None,
        remote: bool = False,
        **options: Any,
    ) -> None:
        av = import_av()
        self._name, self._remote = name, remote
        try:
            self._container = av.open(
                where, format=kind, metadata_errors="replace", **options
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise ImageError(
                f"{name}: cannot be opened as a video ({short_reason(error)})"
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise ImageError(
                f"{name}: contains no video; wanted a file with moving images"
            )
        self.live = kind is not None or (remote and self._container.duration is None)
        self._stream = max(self._container.streams.video, key=_video_rank)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = threads
        self.frames = self._stream.frames or None
        rate = self._stream.average_rate
        self.rate = float(rate) if rate else None

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames with the times that the file states."""
        av = import_av()
        silent = ""
        packets = self._packets()
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                packet, silent = None, short_reason(error)
            for frame in self._decoded(packet, flush=bool(silent)):
                matrix = display_matrix(frame)
                aspect = self._stream.sample_aspect_ratio or Fraction(1)
                self.pixel_aspect = 1 / aspect if is_sideways(matrix) else aspect
                yield frame.time, partial(frame_to_rgb, frame)
            if packet is None:
                break
        if self.live:
            self.silent = silent
        elif silent and self._remote:
            raise ImageError(
                f"{self._name}: the frames stopped ({silent}); resume when it is "
                "available again"
            )
        elif silent:
            self.broken += 1

    def _decoded(self, packet: Any, flush: bool) -> list[Any]:
        """Return the frames of a packet; of None, those that the codec still holds if `flush`."""
        av = import_av()
        codec = self._stream.codec_context
        try:
            if packet is not None:
                return list(packet.decode())
            return list(codec.decode(None)) if flush else []
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.broken += 1
            if self.broken > MAX_BROKEN and not codec.is_open:
                self.ended = True
            return []

    def _packets(self) -> Iterator[Any]:
        """Yield the packets of the file or the camera up to its end."""
        av = import_av()
        packets = self._container.demux(self._stream)
        while not self.ended:
            try:
                packet = next(packets, None)
            except av.error.EOFError:
                return
            except BlockingIOError:  # a camera that has no frame yet
                time.sleep(0.002)
                packets = self._container.demux(self._stream)
                continue
            if packet is None:
                return
            yield packet

    def close(self) -> None:
        """Release the file or the camera."""
        self._container.close()


def _video_rank(stream: Any) -> tuple[bool, bool, int]:
    """Return the key by which the video itself comes before covers, thumbnails and previews.

    FFmpeg's own choice prefers a thumbnail that is marked as the default stream.
    """
    disposition = int(stream.disposition)
    is_still = bool(disposition & STILL) or _stated_frames(stream) == 1
    return not is_still, bool(disposition & DEFAULT), stream.width * stream.height


def _stated_frames(stream: Any) -> int:
    """Return the number of frames that a stream states; 0 if it states none."""
    stated = re.fullmatch(
        r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")
    )
    if stream.frames or not stated or not stream.average_rate:
        return int(stream.frames)
    hours, minutes, seconds = map(float, stated.groups())  # of Matroska
    return round((3600 * hours + 60 * minutes + seconds) * float(stream.average_rate))


def import_av() -> Any:
    """Import PyAV.

    Raises:
        ExtraError: If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise missing_extra("PyAV", "video") from error
    av.logging.set_level(None)
    return av


def open_camera(number: int, threads: int) -> AVDecoder:
    """Open the camera of that number.

    Raises:
        ImageError: If there is none.
    """
    kind, address = CAMERAS.get(sys.platform, CAMERAS["linux"])
    device: object = number
    if kind == "dshow":
        devices = []
        for found in import_av().enumerate_input_devices(kind):
            if "video" in found.media_types:
                devices.append(found.description)
        if number >= len(devices):
            raise ImageError(f"{number}: no such camera; {len(devices)} found")
        device = devices[number]
    options = CAMERA_OPTIONS.get(sys.platform, {})
    return AVDecoder(
        address.format(device), str(number), threads, kind, options=options
    )
