"""What a teacher says of every training face, asked once and kept on disk: its landmarks, which move with the crops.

Stands on torch.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic_path
from ...data.crop_cache import CropCache, plain_crops
from ...data.training_crops import Source
from ...geometry import apply_affine, invert_affine

Tell = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Crops (B, S, S, 3) -> landmarks (B, N, 2) in pixels of them."""


def with_teacher(
    source: Source, teacher: Path, tell: Tell, size: int, padding: float, folder: Path
) -> Source:
    """`source` with the teacher's landmarks behind the annotated ones: (M, 2 N, 2), in pixels of the cached crops.

    teacher: its file, whose content names the answers.    size, padding: of the crops it sees, which are plain.
    folder: where the answers are kept.
    """
    cache = source.cache
    path = folder / f"told-{_stamp(cache, teacher, padding)}.npy"
    if not path.exists():
        _write(_ask(cache, tell, size, padding), path)
    told = np.load(path, allow_pickle=False)
    return replace(
        source, cache=replace(cache, landmarks=np.concatenate([cache.landmarks, told], axis=1))
    )


def _stamp(cache: CropCache, teacher: Path, padding: float) -> str:
    digest = hashlib.sha256(teacher.read_bytes())
    digest.update(str(getattr(cache.crops, "filename", "")).encode())
    digest.update(np.ascontiguousarray(cache.boxes).tobytes() + str(padding).encode())
    return digest.hexdigest()[:16]


def _ask(cache: CropCache, tell: Tell, size: int, padding: float) -> NDArray[np.float64]:
    told = []
    for crops, affines in plain_crops(cache, size, padding, 32):
        answers = zip(affines, tell(crops), strict=True)
        told += [apply_affine(invert_affine(affine), landmarks) for affine, landmarks in answers]
    return np.stack(told)


def _write(told: NDArray[np.float64], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as beside, beside.open("wb") as file:
        np.save(file, told)
