"""Frames of clips on disk, each cropped around the face of the frame before.

Depends on array_cache.py and synthetic_clips.py; labeling/video_clips.py labels real videos.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..crop import warp
from ..errors import DataError
from ..geometry import Array, apply_affine, crop_affine, upright_box
from ..schemes import scheme
from .array_cache import cached_table, digest
from .crop_cache import CropCache
from .synthetic_clips import ClipSettings, make_clip

FRAME_SIZE = 192
"""Side of a cached frame, pixels."""
FRAME_PADDING = 1.75
"""Side of a cached frame in sides of the face in the frame before."""


class Shot(NamedTuple):
    """One frame of a clip of one face."""

    image: NDArray[np.uint8]
    """RGB (H, W, 3)."""
    landmarks: Array
    """(N, 2), pixels of the image, all finite."""
    known: NDArray[np.bool_]
    """(N,): landmarks that are labels; the others only guide the crop of the next frame."""


@dataclass(frozen=True, eq=False)
class Clips:
    """Cached frames of several clips, one clip after the other."""

    cache: CropCache
    """The frames; the boxes are those of the face in the frame before."""
    clip: NDArray[np.int64]
    """(M,): number of the clip that each frame belongs to."""
    affines: Array
    """(M, 2, 3): image of the clip to cached frame."""

    def starts(self, frames: int) -> NDArray[np.int64]:
        """Return the frames at which a run of `frames` frames of one clip begins."""
        first = np.arange(max(len(self.clip) - frames + 1, 0))
        return np.asarray(first[self.clip[first] == self.clip[first + frames - 1]])


def clips_from_stills(
    stills: Sequence[CropCache],
    scheme_name: str,
    folder: Path,
    count: int,
    settings: ClipSettings,
    seed: int,
) -> Clips:
    """Return clips synthesized from stills; the first call makes them.

    Args:
        stills: Cached crops, of which `count` faces are chosen, spread evenly.
        scheme_name: The scheme of their landmarks.
        folder: Where the cache is kept.
        count: Number of clips.
        settings: How the clips move and look.
        seed: Seed of the first clip; each clip has its own.

    Raises:
        DataError: If no still has all its landmarks.
    """
    complete = []
    for cache in stills:
        for face in np.flatnonzero(np.isfinite(cache.landmarks).all((1, 2))):
            complete.append((cache, face))
    if not complete:
        raise DataError(
            "no face has all its landmarks, which clips need; add a data set with "
            "complete landmarks"
        )
    spread = np.linspace(0, len(complete) - 1, count).round().astype(int)
    chosen = [complete[k] for k in spread]

    def shots(number: int) -> Iterator[Shot]:
        cache, face = chosen[number]
        image = np.ascontiguousarray(cache.crops[face])
        for frame in make_clip(
            image, cache.landmarks[face], scheme_name, seed + number, settings
        ):
            yield Shot(
                frame.image, frame.landmarks, np.ones(len(frame.landmarks), bool)
            )

    landmarks = hashlib.sha256()
    for cache, face in chosen:
        landmarks.update(cache.landmarks[face].tobytes())
    inputs = seed, asdict(settings), landmarks.hexdigest()
    return cache_clips(lambda: map(shots, range(count)), scheme_name, folder, *inputs)


def cache_clips(
    make: Callable[[], Iterable[Iterable[Shot]]],
    scheme_name: str,
    folder: Path,
    *inputs: object,
) -> Clips:
    """Return the clips stored in `folder`; the first call makes them.

    Args:
        make: Yields the clips. Called only if they are not stored.
        scheme_name: The scheme of their landmarks.
        folder: Where the cache is kept.
        inputs: What the clips are made from, for the digest.
    """
    key = digest(FRAME_SIZE, FRAME_PADDING, scheme_name, *inputs)
    crops, columns = cached_table(
        folder / f"clips-{key}", lambda: _frames(make(), scheme_name)
    )
    half = FRAME_SIZE / FRAME_PADDING / 2
    box = (FRAME_SIZE - 1) / 2 + np.array([-half, -half, half, half])
    cache = CropCache(crops, columns["landmarks"], np.tile(box, (len(crops), 1)))
    return Clips(cache, columns["clip"], columns["affines"])


def _frames(
    clips: Iterable[Iterable[Shot]], scheme_name: str
) -> Iterator[tuple[NDArray[np.uint8], dict[str, ArrayLike]]]:
    mean = scheme(scheme_name).mean_shape
    for number, shots in enumerate(clips):
        before: Array | None = None
        for shot in shots:
            box, roll_deg = upright_box(
                shot.landmarks if before is None else before, mean
            )
            affine = crop_affine(box, FRAME_SIZE, FRAME_PADDING, roll_deg)
            landmarks = apply_affine(affine, shot.landmarks)
            landmarks[~shot.known] = np.nan
            frame = warp(shot.image, affine, FRAME_SIZE)[None]
            yield frame, {"landmarks": landmarks, "clip": number, "affines": affine}
            before = shot.landmarks
