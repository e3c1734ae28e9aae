"""Windows of consecutive clip frames, fully determined by seed, epoch and position."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..crop import scale_and_shift, warp
from ..errors import DataError
from ..geometry import Array, apply_affine, compose, crop_affine, flip_affine
from ..schemes import scheme
from .box_noise import shift_box
from .clip_cache import Clips

TRACKER_NOISE = (0.012, 0.012, 0.012, 1.0)
"""Standard deviations of a tracker's crop errors: x, y (box sides), log scale, roll (degrees)."""
FRAME_NOISE = 0.2
"""Fraction of the errors that varies per frame; consecutive frames have similar errors."""


class TrainingWindows:
    """Windows of consecutive frames by epoch and position; equal seeds give equal windows.

    Frames are cropped with errors similar to a tracker's, and half of the windows are mirrored.
    """

    def __init__(
        self,
        sources: Sequence[Clips],
        scheme_name: str,
        frames: int,
        size: int,
        padding: float,
        seed: int,
    ) -> None:
        """Set up windows of `frames` frames.

        Raises:
            DataError: If no clip is long enough for a window.
        """
        self.sources = tuple(sources)
        self.frames, self.size, self.padding, self.seed = frames, size, padding, seed
        self.mirror = scheme(scheme_name).mirror
        self.starts = [clips.starts(frames) for clips in self.sources]
        if not any(map(len, self.starts)):
            raise DataError(
                f"no clip has {frames} frames in a row; lower refine.window"
            )

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return the shuffled (source, first frame) pairs (M, 2) of one epoch."""
        pairs = []
        for number, starts in enumerate(self.starts):
            pairs.append(np.column_stack([np.full(len(starts), number), starts]))
        all_pairs = np.concatenate(pairs)
        rng = np.random.default_rng([self.seed, epoch])
        return all_pairs[rng.permutation(len(all_pairs))]

    def key(self) -> object:
        """Return a value that differs between any two objects."""
        return id(self)

    def make(
        self, epoch: int, position: int, source: int, first: int
    ) -> dict[str, Any]:
        """Return a window as the fields of a Batch.

        crops: (T, S, S, 3). landmarks: (T, N, 2), pixels of each crop. crop_motion: (T, 3), scale
        and shift from each previous crop to the current one, about the center of the crop.
        """
        rng = np.random.default_rng([self.seed, epoch, position])
        clips, mirrored = self.sources[source], rng.random() < 0.5
        cache, constant_errors = clips.cache, rng.standard_normal(4)
        crops, landmarks, motion = [], [], []
        previous: Array | None = None
        for k in range(first, first + self.frames):
            errors = constant_errors + FRAME_NOISE * rng.standard_normal(4)
            affine = self._noisy_affine(errors, cache.boxes[k])
            crop = warp(np.ascontiguousarray(cache.crops[k]), affine, self.size)
            points = apply_affine(affine, cache.landmarks[k])
            to_crop = compose(affine, clips.affines[k])  # from the original image
            if mirrored:
                crop, points = crop[:, ::-1], points[self.mirror]
                points[:, 0] = self.size - 1 - points[:, 0]
                to_crop = compose(flip_affine(self.size), to_crop)
            crops.append(crop)
            landmarks.append(points)
            if previous is None:
                motion.append([1.0, 0.0, 0.0])
            else:
                scale, shift = scale_and_shift(previous, to_crop, self.size)
                motion.append([scale, *shift])
            previous = to_crop
        return {
            "crops": np.stack(crops),
            "landmarks": np.stack(landmarks).astype(np.float32),
            "crop_motion": np.array(motion, np.float32),
        }

    def _noisy_affine(self, errors: Array, box: Array) -> Array:
        """Return the affine (2, 3) from cached frame to crop, for `box` (4,) with `errors` (4,)."""
        x, y, scale, roll_deg = errors * TRACKER_NOISE
        noisy_box = shift_box(box, x, y, float(np.exp(scale)))
        return crop_affine(noisy_box, self.size, self.padding, float(roll_deg))
