"""Frames and their faces -> a recording for the viewer of rerun (extra `rerun`)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import AtomicWriter, partial_path
from ..errors import ImageError, missing_extra
from ..face import Faces
from ..schemes import scheme
from .draw import part_colors

QUALITY = 75
"""Of the JPEG in which frames are kept."""


def check_recording(path: Path) -> Any:
    """The module rerun, if `path` can be a recording.

    Raises: ImageError for another suffix, ExtraError without rerun.
    """
    if path.suffix != ".rrd":
        raise ImageError(
            f"{path}: the suffix {path.suffix!r} is not that of a recording; wanted .rrd"
        )
    try:
        import rerun
    except ImportError as error:
        raise missing_extra("rerun", "rerun") from error
    return rerun


class Recording(AtomicWriter):
    """Writes an .rrd file: the frames, the landmarks of every face by number, and their mean uncertainty over time.

    Raises: ImageError for another suffix, ExtraError without rerun.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._rerun: Any = check_recording(self.path)
        self.beside = partial_path(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._rerun.RecordingStream("lineament")
        self._stream.save(str(self.beside))
        self._shown: set[int] = set()
        self._frames = 0

    def add(self, image: NDArray[np.uint8], timestamp: float, faces: Faces) -> None:
        """One more frame: RGB (H, W, 3), its time in seconds, its faces."""
        self._frames += 1
        log, rerun = self._stream.log, self._rerun
        self._stream.set_time("time", duration=timestamp)
        log("video", rerun.Image(image).compress(jpeg_quality=QUALITY))
        colors = part_colors(scheme(faces.scheme))
        present = {face.track_id for face in faces if face.track_id is not None}
        for number in self._shown - present:
            log(f"video/face_{number}", rerun.Clear(recursive=True))
        for face in faces:
            if face.track_id is None:
                continue
            name = f"video/face_{face.track_id}"
            # its centres of pixels are ours and a half
            log(
                name,
                rerun.Points2D(
                    face.landmarks + 0.5, colors=colors, radii=np.maximum(face.sigma_px, 0.5)
                ),
            )
            log(f"sigma_px/face_{face.track_id}", rerun.Scalars(float(face.sigma_px.mean())))
        self._shown = present

    def close(self) -> None:
        """Gives the file its name."""
        self._stream.flush()
        self._stream.disconnect()
        self.beside.replace(self.path)

    def discard(self) -> None:
        """Lets go of the file, which stays beside its name as far as it was written; without a frame it goes."""
        self._stream.disconnect()
        if not self._frames:
            self.beside.unlink(missing_ok=True)
