"""Video files, cameras, addresses and folders of pictures -> frames with their times; and frames -> video files.

PyAV is the codec, in the extra `video`; folders of pictures need no extra.
"""

import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..atomic import AtomicWriter, partial_path
from ..errors import ImageError, missing_extra
from .image import find_images, read_image

VIDEO_SUFFIXES = frozenset(
    [".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".gif", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv"]
)  # noqa: SIM905
"""The suffixes, in lower case, by which a video is told from a picture."""
CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
    "win32": ("dshow", "video={}"),
}
CAMERA_OPTIONS = {
    "darwin": {"framerate": "30"}
}  # its default, 29.97, is one that built-in cameras refuse
WAIT_S = 30.0
"""How long an address may be silent."""
ENCODERS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".webm": "libvpx-vp9",
}
"""What a written video is encoded with, by its suffix."""
CLOCK = 90_000
"""Units of a second in which a written video counts time: what MPEG counts in."""
FOLDER_RATE = 30.0
FALLS_S = 1.0
"""A clock that falls back by more goes on from where it was."""


class Frame(NamedTuple):
    """One frame of a video."""

    number: int
    """Counted from 0."""
    timestamp: float
    """Seconds, as the file states them; later than those of the frame before."""
    image: NDArray[np.uint8]
    """RGB (H, W, 3), upright as the file's rotation says."""


class VideoReader:
    """The frames of a video, in order; iterate once.

    source: a file, an address with ://, the number of a camera, or a folder of pictures (in the order of the numbers in
    their names, `rate` a second).    threads: of the decoder; 0 leaves it the choice.
    Frames that cannot be decoded are left out and counted in `broken`.    `live`: it never shows the same again; where
    it falls silent it ends, and `silent` says why.
    `pixel_aspect`: the width of a pixel as shown, in heights, known with the first frame; landmarks count pixels.
    Raises: ImageError where there is no video in it, or an address that is not live falls silent; ExtraError without
    PyAV.
    """

    def __init__(
        self, source: str | Path | int, rate: float = FOLDER_RATE, threads: int = 0
    ) -> None:
        self.name = str(source)
        self.broken, self.live, self.silent = 0, False, ""
        self._ended = False
        self.pixel_aspect = Fraction(1)
        self._container: Any = None
        self._pictures: list[Path] = []
        self._remote = is_address(source)
        if is_camera(source):
            self.live = True
            self._open(
                *_camera(int(str(source))), threads, options=CAMERA_OPTIONS.get(sys.platform, {})
            )
        elif self._remote:
            self._open(str(source), None, threads, timeout=WAIT_S)
            self.live = self._length is None
        elif Path(str(source)).is_dir():
            if not 0 < rate < math.inf:
                raise ImageError(f"the rate is {rate}; wanted pictures a second, above 0")
            self._pictures = sorted(find_images(str(source)), key=_by_number)
            self.frames: int | None = len(self._pictures)
            self.rate: float | None = rate
        elif not Path(str(source)).is_file():
            raise ImageError(
                f"{source}: no such video; wanted a file, a folder of pictures, an address or a camera"
            )
        else:
            self._open(
                str(Path(str(source)).absolute()), None, threads
            )  # a name may hold a colon, as an address does

    def _open(self, where: str, kind: str | None, threads: int, **more: Any) -> None:
        av = import_av()
        try:
            self._container = av.open(where, format=kind, metadata_errors="replace", **more)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise ImageError(
                f"{self.name}: cannot be opened as a video ({_reason(error)})"
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise ImageError(f"{self.name}: holds no pictures that move; wanted a video")
        self._length = self._container.duration
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = threads
        self.frames = self._stream.frames or None
        self.rate = float(self._stream.average_rate) if self._stream.average_rate else None

    def __iter__(self) -> Iterator[Frame]:
        last, behind, index = -1.0, 0.0, -1
        step = 1 / self.rate if self.rate else 1 / FOLDER_RATE
        for index, (timestamp, image) in enumerate(
            self._pictured() if self._pictures else self._decoded()
        ):
            # some files repeat a time, or have none
            time = timestamp + behind if timestamp is not None else last + step if index else 0.0
            if (
                index and time < last - FALLS_S
            ):  # files put together, a stream begun anew: their clock starts again
                behind += last + step - time
                time = last + step
            time = time if time > last or not index else last + step / 100
            last = time
            yield Frame(index, time, image)
        if index < 0:
            self.close()
            if self.live:
                raise ImageError(
                    f"{self.name}: no frame came{f' ({self.silent})' if self.silent else ''}"
                )
            raise ImageError(f"{self.name}: no frame of it can be decoded; get the file again")

    def _pictured(self) -> Iterator[tuple[float | None, NDArray[np.uint8]]]:
        assert self.rate is not None
        for index, path in enumerate(self._pictures):
            try:
                image = read_image(path)
            except ImageError:
                self.broken += 1
                continue
            yield index / self.rate, image

    def _decoded(self) -> Iterator[tuple[float | None, NDArray[np.uint8]]]:
        av = import_av()
        codec = self._stream.codec_context
        silent = ""
        packets = self._packets()
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                packet, silent = None, _reason(error)
            try:
                frames = (
                    packet.decode() if packet is not None else codec.decode(None) if silent else []
                )
            except av.error.EOFError:
                frames = []
            except av.error.FFmpegError:
                self.broken += 1
                if self.broken > 1000 and not codec.is_open:
                    return
                frames = []
            for frame in frames:
                matrix = _display_matrix(frame)
                aspect = self._stream.sample_aspect_ratio or Fraction(1)
                self.pixel_aspect = 1 / aspect if _lies(matrix) else aspect
                yield frame.time, upright(frame.to_ndarray(format="rgb24"), matrix)
            if packet is None:
                break
        if self.live:
            self.silent = silent
        elif silent and self._remote:
            raise ImageError(
                f"{self.name}: nothing more came ({silent}); go on when it is there again"
            )
        elif silent:
            self.broken += 1

    def _packets(self) -> Iterator[Any]:
        """What the file or the camera gives, up to its end."""
        av = import_av()
        packets = self._container.demux(self._stream)
        while not self._ended:
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

    def end(self) -> None:
        """No more is read: the frame that is awaited is the last. May be called from a signal's handler."""
        self._ended = True

    def close(self) -> None:
        """Lets go of the file or the camera."""
        if self._container is not None:
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def import_av() -> Any:
    """PyAV.    Raises: ExtraError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise missing_extra("PyAV", "video") from error
    av.logging.set_level(None)
    return av


def is_address(source: str | Path | int) -> bool:
    """Whether `source` is an address, such as https://example.org/a.mp4."""
    return "://" in str(source)


def is_camera(source: str | Path | int) -> bool:
    """Whether `source` is the number of a camera; a file or folder of that name goes before."""
    return isinstance(source, int) or (str(source).isdecimal() and not Path(source).exists())


def _camera(number: int) -> tuple[str, str]:
    """The address of a camera and the kind of device it is."""
    kind, name = CAMERAS.get(sys.platform, CAMERAS["linux"])
    if kind != "dshow":
        return name.format(number), kind
    devices = [
        device
        for device in import_av().enumerate_input_devices(kind)
        if "video" in device.media_types
    ]
    if number >= len(devices):
        raise ImageError(f"{number}: no such camera; there are {len(devices)}")
    return name.format(devices[number].description), kind


def _display_matrix(frame: Any) -> NDArray[np.int32] | None:
    """(3, 3): how the file says that the frame is shown; None where it is shown as it is."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data), np.int32).reshape(3, 3)
    return None


def _lies(matrix: NDArray[np.int32] | None) -> bool:
    """Whether the display `matrix` (3, 3) turns rows into columns."""
    if matrix is None:
        return False
    (a, b), (c, d) = np.abs(matrix[:2, :2].astype(np.int64)).tolist()
    return bool(b + c > a + d)


def upright(image: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """`image` turned and mirrored to the nearest right angle of its display `matrix` (3, 3).

    Source: ISO/IEC 14496-12, 8.3.2: x' = a x + c y, y' = b x + d y, with a, b and c, d in the first two rows.
    """
    if matrix is None:
        return image
    (a, b), (c, d) = matrix[0, :2].tolist(), matrix[1, :2].tolist()
    if _lies(matrix):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _by_number(path: Path) -> list[Any]:
    """The key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if part.isdigit() else part for part in parts]


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120]


class VideoWriter(AtomicWriter):
    """Frames with times -> a video file without sound; what is written stays readable when the program is killed.

    The file appears under its name when it is closed; until then it is `path` with ".part" added.
    path: its suffix, of ENCODERS, says how it is encoded.    quality: 0 (best) to 51, as x264 counts.
    `pixel_aspect`, set before the first frame: the width of a pixel as shown, in heights; .webm cannot keep it.
    The same frames and times give the same file, byte by byte, by the same version of PyAV on the same machine.
    Raises: ImageError for another suffix or a place that cannot be written, ExtraError without PyAV.
    """

    def __init__(self, path: str | Path, quality: int = 23) -> None:
        self.path = Path(path)
        self.beside = partial_path(self.path)
        suffix = self.path.suffix.lower()
        if suffix not in ENCODERS:
            raise ImageError(
                f"{path}: the suffix {suffix!r} names no video that is written; wanted {', '.join(ENCODERS)}"
            )
        av = import_av()
        kind = {".mkv": "matroska", ".webm": "webm", ".mov": "mov"}.get(suffix, "mp4")
        options = {"flush_packets": "1"}
        if kind in ("mp4", "mov"):  # in fragments, so that a file without its end can be played
            options["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
        else:  # without an identity drawn by chance
            options["fflags"] = "+bitexact"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(
                str(self.beside.absolute()), "w", format=kind, options=options
            )
        except (av.error.FFmpegError, OSError) as error:
            raise ImageError(
                f"{path}: cannot be written ({_reason(error)}); choose another place"
            ) from error
        self._encoder, self._quality = ENCODERS[suffix], quality
        self.pixel_aspect = Fraction(1)
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1

    def write(self, image: NDArray[np.uint8], timestamp: float) -> None:
        """Adds a frame: RGB (H, W, 3); `timestamp` in seconds from the first, rising.

        One of another size than the first is fitted into that, with black beside it.
        """
        av = import_av()
        if self._stream is not None:
            image = fitted(image, self._size)
        self._size = (image.shape[1], image.shape[0])
        height, width = (side + side % 2 for side in image.shape[:2])
        if self._stream is None:
            self._stream = self._container.add_stream(self._encoder, rate=Fraction(30))
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.codec_context.sample_aspect_ratio = self.pixel_aspect
            if self._encoder == "libx264":
                # bf: without frames that look ahead, whose times start after 0
                # mbtree, and threads that share a frame, give other bytes from run to run
                crf, options = (
                    self._quality,
                    {"g": "30", "bf": "0", "preset": "veryfast", "mbtree": "0"},
                )
                self._stream.codec_context.thread_type = "FRAME"
            else:
                crf, options = (
                    self._quality + 9,
                    {"b": "0", "deadline": "realtime", "cpu-used": "6"},
                )
            self._stream.options = options | {"crf": str(crf)}
            self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, CLOCK)
        if (height, width) != image.shape[:2]:  # codecs want even sides
            image = np.pad(
                image,
                ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)),
                mode="edge",
            )
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last = max(round(timestamp * CLOCK), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what is left and gives the file its name; without a frame there is no file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if self._stream is not None:
            self.beside.replace(self.path)
        else:
            self.beside.unlink(missing_ok=True)

    def discard(self) -> None:
        """Lets go of the file, which stays beside its name as far as it was written; without a frame it goes."""
        with suppress(Exception):
            self._container.mux(self._stream.encode(None))
        with suppress(Exception):
            self._container.close()
        if self._stream is None:  # nothing to look at
            self.beside.unlink(missing_ok=True)


def fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`image` (H, W, 3) as large as fits into `size`, width and height, in its middle on black."""
    width, height = size
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    w, h = (max(round(side * scale), 1) for side in (image.shape[1], image.shape[0]))
    x, y = (width - w) // 2, (height - h) // 2
    framed = np.zeros((height, width, 3), np.uint8)
    framed[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return framed
