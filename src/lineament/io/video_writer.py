"""Write frames with times to video files with PyAV (extra `video`)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import AtomicWriter, partial_path, replace_file
from ..errors import ImageError, short_reason
from ..opencv import cv2
from .video_decoders import import_av

ENCODERS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".webm": "libvpx-vp9",
}
"""Encoder by suffix of the written video."""
CONTAINERS = {".m4v": "mp4", ".mkv": "matroska"}
"""FFmpeg's container name, if it differs from the suffix."""
MAX_SIDE = 16_384
"""Maximum width and height of x264, pixels."""
CLOCK = 90_000
"""Timestamp ticks per second in written videos, as in MPEG."""


class VideoWriter(AtomicWriter):
    """Write frames with times to a video file without sound.

    The file gets its name when it is closed; until then it is `path` with ".part" appended,
    playable even if the program is killed. Equal frames and times give equal bytes with the
    same PyAV version on the same machine. Set `pixel_aspect`, the displayed width of a pixel
    divided by its height, before the first frame; .webm cannot store it.

    Args:
        path: File to write; its suffix, a key of ENCODERS, selects the encoding.
        quality: 0 (best) to 51, x264's scale.

    Raises:
        ImageError: If the suffix is unsupported or the file cannot be written.
        ExtraError: If PyAV is not installed.
    """

    def __init__(self, path: str | Path, quality: int = 23) -> None:
        self.path = Path(path)
        self._partial = partial_path(self.path)
        suffix = self.path.suffix.lower()
        if suffix not in ENCODERS:
            raise ImageError(
                f"{path}: unsupported video suffix {suffix!r}; "
                f"expected {', '.join(ENCODERS)}"
            )
        self._encoder = ENCODERS[suffix]
        container = CONTAINERS.get(suffix, suffix[1:])
        av = import_av()
        options = {"flush_packets": "1"}
        if container in ("mp4", "mov"):
            # fragmented, so that a truncated file is still playable
            options["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
        else:
            options["fflags"] = "+bitexact"  # no random id
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            place = str(self._partial.absolute())
            self._container = av.open(place, "w", container, options=options)
        except (av.error.FFmpegError, OSError) as error:
            raise ImageError(
                f"{path}: cannot be written ({short_reason(error)}); choose another "
                "path"
            ) from error
        self._quality = quality
        self.pixel_aspect = Fraction(1)
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1

    def write(self, image: NDArray[np.uint8], timestamp: float) -> None:
        """Add a frame; if its size differs from the first frame, it is letterboxed.

        Args:
            image: RGB (H, W, 3).
            timestamp: Seconds since the first frame, increasing.

        Raises:
            ImageError: If the frame is too large, or the file cannot be written.
        """
        av = import_av()
        if self._stream is not None:
            image = fitted(image, self._size)
        self._size = (image.shape[1], image.shape[0])
        height, width = (side + side % 2 for side in image.shape[:2])
        if self._stream is None:
            self._stream = self._new_stream(width, height)
        if (height, width) != image.shape[:2]:  # codecs require even sides
            border = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
            image = np.pad(image, border, mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last = max(round(timestamp * CLOCK), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, CLOCK)
        with self._encoding():
            self._container.mux(self._stream.encode(frame))

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        """Translate the errors of FFmpeg, such as those of a full disk."""
        av = import_av()
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise ImageError(
                f"{self.path}: cannot be written ({short_reason(error)}); check the disk"
            ) from error

    def _new_stream(self, width: int, height: int) -> Any:
        if max(width, height) > MAX_SIDE:
            raise ImageError(
                f"{self.path}: frames of {width} x {height} pixels; expected at most "
                f"{MAX_SIDE} per side: resize them"
            )
        stream = self._container.add_stream(self._encoder, rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        codec = stream.codec_context
        codec.sample_aspect_ratio = self.pixel_aspect
        if self._encoder == "libx264":
            # bf: B-frames would make the timestamps start after 0
            # mbtree and frame threading would make the bytes vary between runs
            crf = self._quality
            options = {"g": "30", "bf": "0", "preset": "veryfast", "mbtree": "0"}
            codec.thread_type = "FRAME"
        else:
            crf = self._quality + 9
            options = {"b": "0", "deadline": "realtime", "cpu-used": "6"}
        stream.options = options | {"crf": str(crf)}
        stream.time_base = codec.time_base = Fraction(1, CLOCK)
        return stream

    def close(self) -> None:
        """Flush the encoder and rename the file; without a frame, no file is written."""
        with self._encoding():
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        if self._stream is not None:
            replace_file(self._partial, self.path)
        else:
            self._partial.unlink(missing_ok=True)

    def discard(self) -> None:
        """Close the partial file, which keeps its ".part" name; delete it if it has no frames."""
        with suppress(Exception):
            self._container.mux(self._stream.encode(None))
        with suppress(Exception):
            self._container.close()
        if self._stream is None:
            self._partial.unlink(missing_ok=True)


def fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale `image` (H, W, 3) to fit into `size` (width, height), centered on black."""
    width, height = size
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    w, h = (max(round(side * scale), 1) for side in (image.shape[1], image.shape[0]))
    x, y = (width - w) // 2, (height - h) // 2
    framed = np.zeros((height, width, 3), np.uint8)
    resized = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    framed[y : y + h, x : x + w] = resized
    return framed
