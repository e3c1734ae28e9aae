"""Gray crops of annotated faces and initial shapes, for models without a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...classic.pyramid import gray_crops
from ...classic.shapes import Shapes, to_complex
from ...data.crop_cache import (
    CACHE_PADDING,
    CropCache,
)
from ...errors import DataError
from ...geometry import Array, crop_affine
from ...opencv import cv2
from ...recipe import Recipe
from ...schemes import scheme


@dataclass(frozen=True, eq=False)
class GrayFaces:
    """Fully annotated faces and their mirror images, in crops with a margin."""

    images: NDArray[np.uint8]
    """(M, S, S), gray."""
    shapes: Shapes
    """(M, N), pixels of the images."""
    boxes: NDArray[np.float64]
    """(M, 4), pixels of the images."""

    def __len__(self) -> int:
        return len(self.images)

    def plain_shapes(self, size: int, padding: float) -> Shapes:
        """Return the shapes (M, N) in pixels of plain crops of `size` and `padding`."""
        shapes = np.empty_like(self.shapes)
        for row, (box, shape) in enumerate(zip(self.boxes, self.shapes, strict=True)):
            affine = crop_affine(box, size, padding)
            shapes[row] = shape * affine[0, 0] + complex(affine[0, 2], affine[1, 2])
        return shapes


def read_faces(caches: Sequence[CropCache], recipe: Recipe) -> GrayFaces:
    """Return the faces of a mixture, at the scale of the model's crops.

    Args:
        caches: Faces of each data set.

    Raises:
        DataError: If no face has all points.
    """
    model = recipe.model
    size = round(model.size * CACHE_PADDING / model.padding)
    images, shapes, boxes = [], [], []
    for cache in caches:
        for row in range(len(cache)):
            landmarks = cache.landmarks[row]
            if np.isfinite(landmarks).all():
                image, scale = _gray(cache, row, size)
                # centers of pixels: x' + 0.5 = scale (x + 0.5)
                images.append(image)
                shapes.append((landmarks + 0.5) * scale - 0.5)
                boxes.append((cache.boxes[row] + 0.5) * scale - 0.5)
    if not images:
        raise DataError(
            f"no training face has all {len(scheme(recipe.scheme))} points of {recipe.scheme}, "
            "which a model without a network needs; choose other data"
        )
    return _with_mirrored(
        np.stack(images),
        np.stack(shapes),
        np.stack(boxes),
        scheme(recipe.scheme).mirror,
    )


def _gray(cache: CropCache, row: int, size: int) -> tuple[NDArray[np.uint8], float]:
    crop = np.ascontiguousarray(cache.crops[row])
    scale = size / len(crop)
    gray = gray_crops(crop[None])[0]
    area = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(gray, (size, size), interpolation=area)
    return np.asarray(resized, dtype=np.uint8), scale


def _with_mirrored(
    images: NDArray[np.uint8], landmarks: Array, boxes: Array, mirror: NDArray[np.intp]
) -> GrayFaces:
    last = images.shape[-1] - 1
    flipped = landmarks[:, mirror] * [-1, 1] + [last, 0]
    flipped_boxes = np.stack(
        [last - boxes[:, 2], boxes[:, 1], last - boxes[:, 0], boxes[:, 3]], axis=1
    )
    return GrayFaces(
        np.concatenate([images, images[:, :, ::-1]]),
        to_complex(np.concatenate([landmarks, flipped])),
        np.concatenate([boxes, flipped_boxes]),
    )


def draw_starts(
    rng: np.random.Generator, faces: GrayFaces, recipe: Recipe, count: int
) -> tuple[NDArray[np.intp], Shapes]:
    """Return `count` initial shapes per face: the mean shape, then noisy shapes of other faces.

    The mean shape gets no noise, since it is also an initial shape at inference. The noise of the
    others follows [augment]: rotation_deg, scale and shift.

    Returns:
        The face (n,) of each shape, ascending, and the shapes (n, N), pixels of the images.
    """
    size, padding = recipe.model.size, recipe.model.padding
    plain, middle = faces.plain_shapes(size, padding), (size - 1) / 2 * (1 + 1j)
    rows = np.repeat(np.arange(len(faces)), count)
    others = rng.integers(0, len(faces), len(rows))
    settings = recipe.augment
    turn = np.deg2rad(rng.normal(0, settings.rotation_deg, len(rows)))
    scale = np.exp(rng.normal(0, settings.scale, len(rows)))
    shift = rng.normal(0, settings.shift, (len(rows), 2)) @ [1, 1j]
    factors = scale * np.exp(1j * turn)
    shapes = (plain[others] - middle) * factors[:, None] + middle
    shapes += (shift * size / padding)[:, None]
    shapes[::count] = plain.mean(0)
    # from plain crops to the images
    starts = np.empty_like(shapes)
    for row, face in enumerate(rows):
        to_image = crop_affine(faces.boxes[face], size, padding)
        starts[row] = (
            shapes[row] - complex(to_image[0, 2], to_image[1, 2])
        ) / to_image[0, 0]
    return rows, starts


def representative_shapes(plain: Shapes, count: int) -> Shapes:
    """Return `count` shapes (count, N): the mean of `plain` (M, N), and variations of it.

    The variations are +-1.5 standard deviations along each principal direction.
    """
    mean = plain.mean(0)
    rows = np.concatenate([plain.real, plain.imag], axis=1)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    shapes = [mean]
    for axis in range(count // 2):
        step = 1.5 * np.sqrt(values[-1 - axis]) * vectors[:, -1 - axis]
        half = step[: len(mean)] + 1j * step[len(mean) :]
        shapes += [mean + half, mean - half]
    return np.stack(shapes[:count])
