"""Clip frames cached on disk, each cropped around the face in the previous frame.

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
"""Side of a cached frame as a multiple of the face's side in the previous frame."""

NOTES = 10
"""Number of lines printed while clips are made."""


class LabeledFrame(NamedTuple):
    """One frame of a clip that shows a single face."""

    image: NDArray[np.uint8]
    """RGB (H, W, 3)."""
    landmarks: Array
    """(N, 2), pixels of the image, all finite."""
    known: NDArray[np.bool_]
    """Mask (N,) of landmarks used as labels; the others only guide the crop of the next frame."""


@dataclass(frozen=True, eq=False)
class Clips:
    """Cached frames of several clips, concatenated."""

    cache: CropCache
    """The frames; each box is that of the face in the previous frame."""
    clip: NDArray[np.int64]
    """Clip index of each frame, (M,)."""
    affines: Array
    """Affines from the clip's image to the cached frame, (M, 2, 3)."""

    def starts(self, frames: int) -> NDArray[np.int64]:
        """Return the indices at which `frames` consecutive frames of one clip start."""
        first = np.arange(max(len(self.clip) - frames + 1, 0))
        return np.asarray(first[self.clip[first] == self.clip[first + frames - 1]])


def clips_from_stills(
    stills: Sequence[CropCache],
    scheme_name: str,
    folder: Path,
    count: int,
    settings: ClipSettings,
    seed: int,
    note: Callable[[str], None] = lambda line: None,
) -> Clips:
    """Return clips synthesized from still images; created on the first call.

    Args:
        stills: Cached crops, from which `count` evenly spaced faces are chosen.
        scheme_name: Landmark scheme.
        folder: Cache folder.
        count: Number of clips.
        settings: Motion and appearance of the clips.
        seed: Seed of the first clip; later clips use consecutive seeds.
        note: Receives lines of text while clips are made.

    Raises:
        DataError: If no still image has all landmarks annotated.
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

    def frames_of(number: int) -> Iterator[LabeledFrame]:
        cache, face = chosen[number]
        image = np.ascontiguousarray(cache.crops[face])
        for frame in make_clip(
            image, cache.landmarks[face], scheme_name, seed + number, settings
        ):
            yield LabeledFrame(
                frame.image, frame.landmarks, np.ones(len(frame.landmarks), bool)
            )

    landmarks = hashlib.sha256()
    for cache, face in chosen:
        landmarks.update(cache.landmarks[face].tobytes())
    inputs = seed, asdict(settings), landmarks.hexdigest()

    def clips() -> Iterator[Iterator[LabeledFrame]]:
        every = max(count // NOTES, 1)
        for number in range(count):
            if number % every == 0:
                note(f"making clips of {settings.frames} frames: {number} of {count}")
            yield frames_of(number)

    return cache_clips(clips, scheme_name, folder, *inputs)


def cache_clips(
    make: Callable[[], Iterable[Iterable[LabeledFrame]]],
    scheme_name: str,
    folder: Path,
    *inputs: object,
) -> Clips:
    """Return the clips cached in `folder`; created on the first call.

    Args:
        make: Yields the clips; called only if they are not cached.
        scheme_name: Landmark scheme.
        folder: Cache folder.
        inputs: Everything the clips depend on, for the digest.
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
    clips: Iterable[Iterable[LabeledFrame]], scheme_name: str
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
