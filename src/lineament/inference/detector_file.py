"""Face detector network in an ONNX file: one pass over one image.

There are two kinds of files, with different third outputs. Depends on ONNX Runtime.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..geometry import Array, Image
from ..schemes import convert
from ..schemes import scheme as load_scheme
from .detections import Detections
from .device import CPU
from .model_files import read_card
from .onnx_model import DETECTOR_OUTPUTS, open_session

MULTIPLE = 32
"""Input sides are multiples of this number of pixels."""


@dataclass(frozen=True)
class DetectorKind:
    """One kind of detector file, and its search settings if the card has none."""

    scheme: str | None
    """Scheme of its landmarks; None: no landmarks."""
    read: Callable[[Array], tuple[Array, Array | None]]
    """Maps the third output (F, ...) to rolls (F,) in degrees and landmarks."""
    min_face_px: float
    """Side of the smallest face that the network detects reliably, input pixels."""
    coarse_sides: tuple[int, ...]
    """Longer sides of additional passes over the entire image, pixels."""
    fine_factor: float
    """Factor of a finer, tiled search of large images; 1: no such search."""
    largest_side: int
    """Longer side up to which an image is searched at its own size, pixels."""
    largest_px: float
    """Side of the largest face that one scale detects reliably, input pixels."""


class DetectorFile:
    """The network and card of a face detector. Thread-safe."""

    def __init__(self, path: Path, threads: int, device: str = CPU) -> None:
        """Open the .onnx file at `path`.

        Raises:
            ModelError: If it is missing, broken or not a face detector.
        """
        self.card = read_card(path)
        self.session = open_session(path, threads, device)
        names = [output.name for output in self.session.get_outputs()]
        if names not in DETECTOR_OUTPUTS:
            raise ModelError(
                f"{path} has the outputs {names}; expected a face detector with "
                f"scores, boxes and {' or '.join(KINDS)}"
            )
        self.kind = KINDS[names[2]]
        self.threshold = float(self.card.get("threshold", 0.5))
        self.proposal_threshold = float(
            self.card.get("proposal_threshold", self.threshold)
        )
        self.support = int(self.card.get("support", 1))
        self.min_face_px = float(self.card.get("min_face_px", self.kind.min_face_px))
        self.largest_px = float(self.card.get("largest_px", self.kind.largest_px))
        sides = self.card.get("coarse_sides", self.kind.coarse_sides)
        self.coarse_sides = tuple(int(side) for side in sides)

    def candidates(self, image: Image, min_score: float) -> Detections:
        """Return the candidates above `min_score`, before non-maximum suppression.

        Args:
            image: RGB (H, W, 3).
            min_score: Minimum score of a candidate.
        """
        padded = pad_to_multiple(image)
        outputs = self.session.run(None, {"image": padded[None]})
        scores, boxes, last = (output[0] for output in outputs)
        keep = scores > min_score
        roll_deg, landmarks = self.kind.read(last[keep].astype(np.float64))
        return Detections(
            boxes=boxes[keep].astype(np.float64),
            scores=scores[keep].astype(np.float64),
            roll_deg=roll_deg,
            landmarks=landmarks,
            scheme=self.kind.scheme,
        )


def pad_to_multiple(image: Image) -> Image:
    """Return `image` padded with black to multiples of 32 at the right and bottom."""
    height, width = image.shape[:2]
    bottom, right = -height % MULTIPLE, -width % MULTIPLE
    if bottom == right == 0:
        return np.ascontiguousarray(image)
    padded = np.zeros((height + bottom, width + right, 3), np.uint8)
    padded[:height, :width] = image
    return padded


def _read_directions(directions: Array) -> tuple[Array, Array | None]:
    """Return the rolls for cosines and sines (F, 2)."""
    return np.rad2deg(np.arctan2(directions[:, 1], directions[:, 0])), None


def _read_landmarks(landmarks: Array) -> tuple[Array, Array | None]:
    """Return the rolls of five points (F, 5, 2), and the points."""
    return five_roll_deg(landmarks), landmarks


def five_roll_deg(landmarks: Array) -> Array:
    """Return the rolls (F,) of five points (F, 5, 2), pixels, in degrees.

    All five points are used, by `fit_roll_deg` from the mean face, because the eyes of a
    profile are too close together to define a direction.
    """
    # vectorized, because a large face has hundreds of candidates
    points = landmarks[..., 0] + 1j * landmarks[..., 1]
    return np.rad2deg(np.angle(points @ mean_five().conj()))


@cache
def mean_five() -> NDArray[np.complex128]:
    """Return the five points of the upright mean face, centered, as x + iy."""
    mean = load_scheme("ibug68").mean_shape
    assert mean is not None  # ensured by a test
    x, y = convert(mean, "ibug68", "five").points.T
    points = x + 1j * y
    return np.asarray(points - points.mean())


KINDS = {
    "directions": DetectorKind(
        None, _read_directions, 32.0, (256, 128), 2.0, 640, 224.0
    ),
    "landmarks": DetectorKind("five", _read_landmarks, 16.0, (), 1.0, 1024, 128.0),
}
"""Kinds of detector files by the name of their third output."""
