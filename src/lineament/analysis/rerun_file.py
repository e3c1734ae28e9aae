"""Recordings of frames and their faces for the rerun viewer (extra `rerun`)."""

from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import AtomicWriter, partial_path, replace_file
from ..errors import ImageError, missing_extra
from ..face import Faces
from ..geometry import Image
from ..schemes import scheme
from .draw import part_colors

JPEG_QUALITY = 75
DARK = 0.4
"""Brightness factor for landmarks that are probably not visible."""


def import_rerun(path: Path) -> Any:
    """Import rerun for writing a recording to `path`.

    Raises:
        ImageError: If the suffix is not .rrd.
        ExtraError: If rerun is not installed.
    """
    if path.suffix != ".rrd":
        raise ImageError(
            f"{path}: unsupported suffix {path.suffix!r} of a recording; expected .rrd"
        )
    try:
        import rerun
    except ImportError as error:
        raise missing_extra("rerun", "rerun") from error
    return rerun


class RerunWriter(AtomicWriter):
    """Write an .rrd file: frames, landmarks by track id, and values over time.

    The values are the mean uncertainty and, if known, the presence. Landmarks that are probably
    not visible are drawn darker.

    Args:
        path: Output file.

    Raises:
        ImageError: If the suffix is not .rrd.
        ExtraError: If rerun is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._rerun: Any = import_rerun(self.path)
        self._partial = partial_path(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._rerun.RecordingStream("lineament")
        self._stream.save(str(self._partial))
        self._shown: set[int] = set()
        self._frames = 0

    def add(self, image: Image, timestamp: float, faces: Faces) -> None:
        """Add a frame: RGB (H, W, 3), its time in seconds, its faces."""
        self._frames += 1
        log, rerun = self._stream.log, self._rerun
        self._stream.set_time("time", duration=timestamp)
        log("video", rerun.Image(image).compress(jpeg_quality=JPEG_QUALITY))
        colors = np.array(part_colors(scheme(faces.scheme)))
        present = {face.track_id for face in faces if face.track_id is not None}
        for track_id in self._shown - present:
            log(f"video/face_{track_id}", rerun.Clear(recursive=True))
        for face in faces:
            if face.track_id is None:
                continue
            name = f"video/face_{face.track_id}"
            # rerun's pixel centers are offset by half a pixel from ours
            radii = np.maximum(face.sigma_px, 0.5)
            shades = np.where(face.occluded, DARK, 1.0)[:, None] * colors
            shades = shades.astype(np.uint8)
            log(name, rerun.Points2D(face.landmarks + 0.5, colors=shades, radii=radii))
            sigma_px = float(face.sigma_px.mean())
            log(f"sigma_px/face_{face.track_id}", rerun.Scalars(sigma_px))
            if not np.isnan(face.presence):
                log(f"presence/face_{face.track_id}", rerun.Scalars(face.presence))
        self._shown = present

    def close(self) -> None:
        """Finish the file and rename it to its final name."""
        self._stream.flush()
        self._stream.disconnect()
        replace_file(self._partial, self.path)

    def discard(self) -> None:
        """Stop writing; the partial file is kept if it has at least one frame."""
        self._stream.disconnect()
        if not self._frames:
            self._partial.unlink(missing_ok=True)
