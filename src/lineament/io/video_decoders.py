"""Video decoders: PyAV (extra `video`) and OpenCV; VideoReader chooses between them."""

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
"""FFmpeg input format and camera address, by platform."""
CAMERA_OPTIONS = {"darwin": {"framerate": "30"}}
"""Built-in cameras on macOS reject FFmpeg's default frame rate, 29.97."""
MAX_BROKEN = 1000
DEFAULT = 0x1
"""FFmpeg flag of the default stream."""
STILL = 0x400 | 0x800 | 0x100000
"""FFmpeg flags of cover images, thumbnails and still images."""
RGB = NDArray[np.uint8]
DecodedFrame = tuple[float | None, Callable[[], RGB]]
"""Time in seconds, if the file has one, and a function that converts the frame to RGB."""


class Decoder:
    """One pass over the frames of a video.

    Frames that cannot be decoded are skipped and counted in `skipped_frames`. `frames` and
    `fps` are as stated in the file.
    """

    frames: int | None = None
    fps: float | None = None
    live = False
    """True if the source cannot be read again, like a camera."""
    pixel_aspect = Fraction(1)
    """Displayed width of a pixel divided by its height; known after the first frame."""
    skipped_frames = 0
    stream_error = ""
    """Error that ended a live source; empty if there was none."""
    stopped = False
    """Set to True to end a live source after its next frame."""

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames in order; may only be called once."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the file or the camera."""


class OpenCVDecoder(Decoder):
    """Decode a video file with OpenCV, which provides no exact times."""

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageError(
                f"{path}: cannot be opened as a video; "
                "expected a codec that OpenCV's FFmpeg reads"
            )
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or None

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames; a frame is only converted to RGB when its function is called."""
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
    """Decode a file, URL or camera with PyAV, upright according to the file's rotation metadata.

    Args:
        name: Name of the video in error messages.
        remote: True for a URL; unless it is live, it is an error if it stops sending.

    Raises:
        ImageError: If the source contains no video.
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
                f"{name}: cannot be opened as a video ({short_reason(error)}); check the file "
                "or the address"
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise ImageError(
                f"{name}: contains no video; expected a file with moving images"
            )
        self.live = kind is not None or (remote and self._container.duration is None)
        self._stream = max(self._container.streams.video, key=_video_rank)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = threads
        self.frames = self._stream.frames or None
        rate = self._stream.average_rate
        self.fps = float(rate) if rate else None

    def decode(self) -> Iterator[DecodedFrame]:
        """Yield the frames with the times stated in the file."""
        av = import_av()
        reason = ""
        packets = self._packets()
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                packet, reason = None, short_reason(error)
            for frame in self._decoded(packet, flush=bool(reason)):
                matrix = display_matrix(frame)
                aspect = self._stream.sample_aspect_ratio or Fraction(1)
                self.pixel_aspect = 1 / aspect if is_sideways(matrix) else aspect
                yield frame.time, partial(frame_to_rgb, frame)
            if packet is None:
                break
        if self.live:
            self.stream_error = reason
        elif reason and self._remote:
            raise ImageError(
                f"{self._name}: the frames stopped ({reason}); resume when it is "
                "available again"
            )
        elif reason:
            self.skipped_frames += 1

    def _decoded(self, packet: Any, flush: bool) -> list[Any]:
        """Return the frames in a packet; for None, those left in the codec if `flush` is True."""
        av = import_av()
        codec = self._stream.codec_context
        try:
            if packet is not None:
                return list(packet.decode())
            return list(codec.decode(None)) if flush else []
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.skipped_frames += 1
            if self.skipped_frames > MAX_BROKEN and not codec.is_open:
                self.stopped = True
            return []

    def _packets(self) -> Iterator[Any]:
        """Yield the packets of the file or camera until its end."""
        av = import_av()
        packets = self._container.demux(self._stream)
        while not self.stopped:
            try:
                packet = next(packets, None)
            except av.error.EOFError:
                return
            except BlockingIOError:  # the camera has no new frame yet
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
    """Return a sort key that puts the main video before covers, thumbnails and previews.

    FFmpeg's own choice would prefer a thumbnail marked as the default stream.
    """
    disposition = int(stream.disposition)
    is_still = bool(disposition & STILL) or _stated_frames(stream) == 1
    return not is_still, bool(disposition & DEFAULT), stream.width * stream.height


def _stated_frames(stream: Any) -> int:
    """Return the number of frames stated for a stream; 0 if unknown."""
    stated = re.fullmatch(
        r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")
    )
    if stream.frames or not stated or not stream.average_rate:
        return int(stream.frames)
    hours, minutes, seconds = map(float, stated.groups())  # Matroska's DURATION tag
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
    """Open the camera with the given number.

    Raises:
        ImageError: If there is no such camera.
    """
    kind, address = CAMERAS.get(sys.platform, CAMERAS["linux"])
    device: object = number
    if kind == "dshow":
        devices = []
        for found in import_av().enumerate_input_devices(kind):
            if "video" in found.media_types:
                devices.append(found.description)
        if number >= len(devices):
            raise ImageError(f"camera {number}: no such camera; {len(devices)} found")
        device = devices[number]
    options = CAMERA_OPTIONS.get(sys.platform, {})
    name = f"camera {number}"
    return AVDecoder(address.format(device), name, threads, kind, options=options)
