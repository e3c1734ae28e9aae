"""Places without a face that MTCNN's earlier networks take for faces. Depends on torch."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...data.array_cache import cached_groups, digest
from ...data.detection.image_cache import ImageCache, images_digest
from ...data.detection.photos import NEGATIVE_IOU, SMALLEST_WINDOW_PX, Photo
from ...geometry import Array, iou
from ...inference.window_cascade import WindowCascade, squares_around
from ...models.mtcnn import SIDES, Mtcnn

MAX_PLACES = 40
"""Per photo, those of the highest scores."""


def mined_places(
    net: Mtcnn,
    min_scores: Sequence[float],
    photos: Sequence[Photo],
    images: ImageCache,
    cache: Path,
) -> dict[int, Array]:
    """Return the squares (K, 4) without a face that pass all of `net`, by index of the photo.

    Photos in which not every face is labeled are left out. The squares are kept on disk.

    Args:
        net: The networks before the one to be trained, ready to predict.
        min_scores: Score that a window must exceed, by network.
        photos: Photos of any kind.
        images: Those of `photos`.
        cache: Folder of the squares.
    """
    asked = [i for i, photo in enumerate(photos) if photo.all_labeled]
    shown = images_digest([photos[i] for i in asked])
    boxes = [photos[i].boxes.round(3).tolist() for i in asked]
    settings = [*min_scores, MAX_PLACES, NEGATIVE_IOU, SMALLEST_WINDOW_PX]
    key = digest(shown, boxes, weights_digest(net), settings)
    cascade = cascade_of(net, min_scores)

    def rows() -> Iterator[Array]:
        for i in asked:
            found = cascade(images[i], SMALLEST_WINDOW_PX)
            squares = squares_around(found.boxes)
            overlaps = iou(squares, photos[i].boxes).max(1, initial=0.0)
            yield squares[overlaps < NEGATIVE_IOU][:MAX_PLACES]

    kept = cached_groups(cache / f"windows-{key}", 4, rows)
    return {i: places for i, places in zip(asked, kept, strict=True) if len(places)}


def cascade_of(net: Mtcnn, min_scores: Sequence[float]) -> WindowCascade:
    """Return the cascade of the networks that `net` has."""

    @torch.no_grad()
    def run(network: str, given: NDArray[np.uint8]) -> NDArray[np.float32]:
        # a copy: cached images are mapped for reading alone
        found = net.network(network).scan(torch.from_numpy(given.copy()))
        return np.asarray(found.numpy(), np.float32)

    sides = {name: SIDES[name] for name in net.networks}
    return WindowCascade(run, sides, min_scores)


def weights_digest(net: Mtcnn) -> str:
    """Return a text that changes with the weights of `net`."""
    joined = hashlib.sha256()
    for name, value in net.state_dict().items():
        joined.update(name.encode())
        joined.update(value.cpu().numpy().tobytes())
    return joined.hexdigest()
