"""MTCNN from an ONNX file with its three networks; the last one is a landmark model.

Depends on ONNX Runtime.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classic.uncertainty import Uncertainty
from ..estimator import CropLandmarks, ValidationLimits, check_crops, check_no_memory
from .onnx_model import open_session, read_metadata

KIND = "mtcnn"
"""Kind in the metadata of the file."""
CHUNK = 256
"""Images per call of ONNX Runtime; more would need memory without being faster."""


class MtcnnFile:
    """Networks and settings of a file. Thread-safe."""

    def __init__(self, path: Path, threads: int = 0, session: Any = None) -> None:
        """Open the .onnx file at `path`.

        Args:
            threads: Threads of ONNX Runtime; 0: its default.
            session: Open session of the file, if there is one.

        Raises:
            ModelError: If the file is missing, broken or of another kind.
        """
        self.path = path
        self.session = session or open_session(path, threads)
        self.metadata = read_metadata(self.session, path, KIND)
        self.sides: dict[str, int] = self.metadata["sides"]
        """Side of each network's window by its name, pixels, in order."""

    def run(self, network: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the outputs (B, 15, h, w) of a network for images (B, H, W, 3)."""
        number = np.array(list(self.sides).index(network))
        outputs: list[NDArray[np.float32]] = []
        for start in range(0, max(1, len(images)), CHUNK):
            part = {"images": images[start : start + CHUNK], "network": number}
            outputs += self.session.run(None, part)
        return np.concatenate(outputs)


class MtcnnModel:
    """The output network of MTCNN as a landmark model of five points. Thread-safe."""

    def __init__(
        self, path: Path, threads: int = 0, workers: int = 1, session: Any = None
    ) -> None:
        """Open the file at `path`.

        Args:
            threads: Threads of ONNX Runtime; 0: its default.
            workers: Not used: the network is too small to benefit.
            session: Open session of the file, if there is one.

        Raises:
            ModelError: If the file is missing, broken or of another kind.
        """
        self.path, self.file = path, MtcnnFile(path, threads, session)
        settings = self.file.metadata
        self.name: str = settings["name"]
        self.scheme: str = settings["scheme"]
        self.points: int = settings["points"]
        self.size: int = settings["size"]
        """Side of the crop in pixels."""
        self.padding: float = settings["padding"]
        """Side of the crop as a multiple of the longer side of the landmark box."""
        self.validation_limits = ValidationLimits.read(settings)
        names = ("sigma_slope", "sigma_floor", "near_exponent")
        self.uncertainty = Uncertainty(*(float(settings[name]) for name in names))

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None
    ) -> CropLandmarks:
        """Predict uint8 RGB crops (F, S, S, 3).

        Raises:
            ShapeError: If a shape or type differs, or a memory is passed.
        """
        check_crops(crops, self.size)
        check_no_memory(memory, self.name)
        network = list(self.file.sides)[-1]
        return self._read(self.file.run(network, crops)[:, :, 0, 0])

    __call__ = predict

    def _read(self, outputs: NDArray[np.float32]) -> CropLandmarks:
        """Decode outputs (F, 15) for entire crops to landmarks."""
        values = outputs.astype(np.float64)
        # outputs are in units of the crop side, relative to its upper left corner
        landmarks = values[:, 5:].reshape(-1, self.points, 2) * self.size - 0.5
        # the same proxy for the variance as in training, see models/mtcnn.py
        surprise = np.logaddexp(0.0, -values[:, :1])
        return self.uncertainty(landmarks, np.repeat(surprise, self.points, 1))
