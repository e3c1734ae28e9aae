"""Animated WebP and AVIF images as videos, decoded by Pillow, which FFmpeg reads badly or not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import ImageError, short_reason
from .image import read_image
from .media_files import ANIMATED, is_video
from .video_decoders import DecodedFrame, Decoder

SUFFIXES = (".webp", ".avif")
"""Of these images; PyAV reads animated GIF and PNG."""


def is_animation(path: Path) -> bool:
    """Return whether a file is an animated WebP or AVIF image."""
    return path.suffix.lower() in SUFFIXES and is_video(path)


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
        self.frames = int(self._image.n_frames)
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
