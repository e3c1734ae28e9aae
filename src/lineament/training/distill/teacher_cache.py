"""Landmarks of a teacher for every training face, computed once and cached on disk.

They are transformed with the augmented crops. Depends on torch.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic_path
from ...data.crop_cache import CropCache, plain_crops
from ...data.training_crops import Source
from ...geometry import apply_affine, invert_affine
from ...inference.foreign_model import model_file_content
from .teacher import Teacher

BATCH = 32
"""Faces per forward pass."""


def with_teacher(source: Source, teacher: Teacher, folder: Path) -> Source:
    """Return `source` with the landmarks of `teacher` on its plain crops, cached in `folder`."""
    path = folder / f"teacher-{_stamp(source.cache, teacher)}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        landmarks = _predict(source.cache, teacher)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.save(file, landmarks)
    landmarks = np.load(path, allow_pickle=False)
    return replace(source, cache=replace(source.cache, teacher_landmarks=landmarks))


def _stamp(cache: CropCache, teacher: Teacher) -> str:
    digest = hashlib.sha256(model_file_content(teacher.path))
    digest.update(str(getattr(cache.crops, "filename", "")).encode())
    digest.update(
        np.ascontiguousarray(cache.boxes).tobytes() + str(teacher.padding).encode()
    )
    digest.update(teacher.scheme.encode())
    return digest.hexdigest()[:16]


def _predict(cache: CropCache, teacher: Teacher) -> NDArray[np.float64]:
    """Return the landmarks (M, N, 2), pixels of the cached crops."""
    predictions = []
    for crops, affines in plain_crops(cache, teacher.size, teacher.padding, BATCH):
        for affine, landmarks in zip(affines, teacher.landmarks(crops), strict=True):
            predictions.append(apply_affine(invert_affine(affine), landmarks))
    return np.stack(predictions)
