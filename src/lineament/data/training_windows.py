"""Runs of frames of clips, drawn by seed, epoch and position alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..crop import scale_and_shift, warp
from ..errors import DataError
from ..geometry import Array, apply_affine, compose, crop_affine, flip_affine
from ..schemes import scheme
from .box_noise import move_box
from .clip_cache import Clips

TRACKER_NOISE = (0.012, 0.012, 0.012, 1.0)
"""Deviations of a tracker's crop errors: x, y in box sides, log scale, degrees."""
FRAME_NOISE = 0.2
"""Part of the errors that changes per frame; similar frames give similar errors."""


class TrainingWindows:
    """Runs of frames by epoch and position, equal for equal seeds.

    Frames are cropped with errors like a tracker's, and half of the windows are mirrored.
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
        """Prepare windows of `frames` frames.

        Raises:
            DataError: If no clip is as long as a window.
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
        """Return the (source, first frame) pairs (M, 2) of one epoch, shuffled."""
        pairs = []
        for number, starts in enumerate(self.starts):
            pairs.append(np.column_stack([np.full(len(starts), number), starts]))
        joined = np.concatenate(pairs)
        rng = np.random.default_rng([self.seed, epoch])
        return joined[rng.permutation(len(joined))]

    def key(self) -> object:
        """Return a value that differs from that of any other windows."""
        return id(self)

    def make(
        self, epoch: int, position: int, source: int, first: int
    ) -> dict[str, Any]:
        """Return a window by the names of a Batch.

        crops: (T, S, S, 3). landmarks: (T, N, 2), pixels of each crop. crop_motion: (T, 3), the
        scale and shift by which a point of the crop before appears in this one, about its middle.
        """
        rng = np.random.default_rng([self.seed, epoch, position])
        clips, mirrored = self.sources[source], rng.random() < 0.5
        cache, lasting = clips.cache, rng.standard_normal(4)
        crops, landmarks, motion = [], [], []
        before: Array | None = None
        for k in range(first, first + self.frames):
            errors = lasting + FRAME_NOISE * rng.standard_normal(4)
            affine = self._noisy_affine(errors, cache.boxes[k])
            crop = warp(np.ascontiguousarray(cache.crops[k]), affine, self.size)
            points = apply_affine(affine, cache.landmarks[k])
            to_crop = compose(affine, clips.affines[k])  # from the clip's own images
            if mirrored:
                crop, points = crop[:, ::-1], points[self.mirror]
                points[:, 0] = self.size - 1 - points[:, 0]
                to_crop = compose(flip_affine(self.size), to_crop)
            crops.append(crop)
            landmarks.append(points)
            if before is None:
                motion.append([1.0, 0.0, 0.0])
            else:
                scale, shift = scale_and_shift(before, to_crop, self.size)
                motion.append([scale, *shift])
            before = to_crop
        return {
            "crops": np.stack(crops),
            "landmarks": np.stack(landmarks).astype(np.float32),
            "crop_motion": np.array(motion, np.float32),
        }

    def _noisy_affine(self, errors: Array, box: Array) -> Array:
        """Return cached frame to crop (2, 3) for `box` (4,), moved by `errors` (4,)."""
        x, y, scale, roll_deg = errors * TRACKER_NOISE
        moved = move_box(box, x, y, float(np.exp(scale)))
        return crop_affine(moved, self.size, self.padding, float(roll_deg))
