"""Crops of annotated faces, warped once from their images and memory-mapped.

Depends on array_cache.py. Training and validation derive their own crops from these.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..errors import DataError, ImageError
from ..geometry import Array, apply_affine, crop_affine
from .array_cache import cached_rows, digest, file_state
from .sample import Sample, iter_images

CACHE_PADDING = 2.2
"""Side of a cached crop as a multiple of the longer box side, with room for the augmentation."""
READ_AHEAD = 256
"""Number of faces read and warped in parallel before their crops are written."""


def cached_size(crop: int, padding: float) -> int:
    """Return a side in pixels for cached crops, large enough that model crops are barely upscaled.

    Args:
        crop: Side of the model's crops, pixels.
        padding: Side of the model's crops as a multiple of the longer landmark box side.
    """
    return max(320, 32 * int(crop * CACHE_PADDING / padding / 32))


@dataclass(frozen=True, eq=False)
class CropCache:
    """Cached, memory-mapped crops of many faces."""

    crops: NDArray[np.uint8]
    """RGB, (M, S, S, 3)."""
    landmarks: NDArray[np.float64]
    """(M, N, 2), pixels of the cached crop; nan where not annotated."""
    boxes: NDArray[np.float64]
    """Tight landmark boxes, (M, 4), pixels of the cached crop."""
    teacher_landmarks: NDArray[np.float64] | None = None
    """Landmarks predicted by a teacher, (M, N, 2), pixels of the cached crop."""
    visible: NDArray[np.float32] | None = None
    """Visibility (M, N): 1 visible, 0 not, nan unknown; None if the data set lacks it."""
    attributes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Attribute values (M,) by name; nan where not annotated."""

    def __len__(self) -> int:
        return len(self.crops)

    def evenly_spaced(self, count: int) -> NDArray[np.intp]:
        """Return the rows of at most `count` faces, evenly spaced over the set."""
        return np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.intp)

    def take(self, rows: NDArray[np.intp]) -> "CropCache":
        """Return the crops, landmarks and boxes of the faces in `rows`."""
        return CropCache(self.crops[rows], self.landmarks[rows], self.boxes[rows])


def cache_crops(
    samples: Sequence[Sample],
    folder: Path,
    size: int = 320,
    boxes: Sequence[Array] | None = None,
) -> CropCache:
    """Return the cached crops of `samples`; created on the first call.

    Args:
        samples: The faces.
        folder: Cache folder.
        size: Side of a cached crop, pixels.
        boxes: Box (4,) of each face, pixels of its image; None: the landmark boxes.

    Raises:
        DataError: If there is no sample.
        ImageError: If an image cannot be read.
    """
    if not samples:
        raise DataError(
            "no samples to cache; "
            "expected at least one face: check the data set's folder and part"
        )
    boxes = [sample.face_box() for sample in samples] if boxes is None else boxes
    affines = [crop_affine(box, size, CACHE_PADDING) for box in boxes]
    images = [file_state(sample.image, sample.frame) for sample in samples]
    key = digest(size, images, [affine.round(6).tolist() for affine in affines])
    crops = cached_rows(
        folder / f"crops-{key}.npy", lambda: _warped(samples, affines, size)
    )
    landmarks, boxes_crop = [], []
    for sample, box, affine in zip(samples, boxes, affines, strict=True):
        landmarks.append(apply_affine(affine, sample.landmarks))
        boxes_crop.append(apply_affine(affine, np.reshape(box, (2, 2))).ravel())
    return CropCache(
        crops,
        np.stack(landmarks),
        np.stack(boxes_crop),
        visible=_visible(samples),
        attributes=_attributes(samples),
    )


def _visible(samples: Sequence[Sample]) -> NDArray[np.float32] | None:
    """Return the visibility (M, N) of all points; None if no sample has it."""
    if all(sample.visible is None for sample in samples):
        return None
    rows = []
    for sample in samples:
        visible = sample.visible
        rows.append(
            annotated_as_visible(sample.landmarks)
            if visible is None
            else visible.astype(np.float32)
        )
    return np.stack(rows)


def annotated_as_visible(landmarks: Array) -> NDArray[np.float32]:
    """Return the default visibility of `landmarks` (..., N, 2) without visibility annotations.

    Annotated points count as visible; the others are unknown, nan.
    """
    annotated = np.isfinite(landmarks).all(-1)
    return np.where(annotated, np.float32(1), np.float32(np.nan))


def _attributes(samples: Sequence[Sample]) -> dict[str, NDArray[np.float32]]:
    """Return attribute values (M,) by name; nan where a sample does not have the attribute."""
    names: set[str] = set()
    for sample in samples:
        names.update(sample.attributes)
    found = {}
    for name in sorted(names):
        values = [sample.attributes.get(name, np.nan) for sample in samples]
        found[name] = np.array(values, np.float32)
    return found


def _warped(
    samples: Sequence[Sample], affines: Sequence[Array], size: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield the crop (1, size, size, 3) of each sample, in order.

    Raises:
        ImageError: After the last one, if images cannot be read; it lists them.
    """
    if any(sample.frame is not None for sample in samples):
        # on a single thread, because video frames must be decoded in order
        for affine, (_, image) in zip(affines, iter_images(samples), strict=True):
            yield warp(image, affine, size)[None]
        return

    broken: dict[Path, ImageError] = {}

    def read_and_warp(sample: Sample, affine: Array) -> NDArray[np.uint8]:
        try:
            return warp(sample.read(), affine, size)[None]
        except ImageError as error:
            broken[sample.image] = error
            return np.zeros((1, size, size, 3), np.uint8)

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(samples), READ_AHEAD):
            part = slice(start, start + READ_AHEAD)
            yield from pool.map(read_and_warp, samples[part], affines[part])
    if len(broken) == 1:
        raise next(iter(broken.values()))
    if broken:
        listed = ", ".join(str(path) for path in sorted(broken))
        raise ImageError(
            f"{len(broken)} images cannot be read; replace them, or remove their "
            f"annotations: {listed}"
        )


def plain_crops(
    cache: CropCache, size: int, padding: float, batch: int
) -> Iterator[tuple[NDArray[np.uint8], Array]]:
    """Yield batches of unaugmented crops.

    Yields:
        Crops (B, S, S, 3) and their affine matrices (B, 2, 3) from cached crop to crop.
    """
    for start in range(0, len(cache), batch):
        crops, affines = [], []
        for i in range(start, min(start + batch, len(cache))):
            affines.append(crop_affine(cache.boxes[i], size, padding))
            crops.append(warp(np.ascontiguousarray(cache.crops[i]), affines[-1], size))
        yield np.stack(crops), np.stack(affines)


def plain_landmarks(cache: CropCache, size: int, padding: float) -> Array:
    """Return the landmarks (M, N, 2) of all faces, in pixels of the crops from `plain_crops`."""
    landmarks = []
    for box, points in zip(cache.boxes, cache.landmarks, strict=True):
        landmarks.append(apply_affine(crop_affine(box, size, padding), points))
    return np.stack(landmarks)
