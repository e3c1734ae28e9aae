"""Hard negatives: false positives of MTCNN's earlier networks. Depends on torch."""

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
"""Largest number of false positives per photo, those with the highest scores."""


def cached_false_positives(
    net: Mtcnn,
    min_scores: Sequence[float],
    photos: Sequence[Photo],
    images: ImageCache,
    cache: Path,
) -> dict[int, Array]:
    """Return the squares (K, 4) without a face that pass all networks of `net`, by photo index.

    Photos in which not every face is labeled are skipped. The squares are cached on disk.

    Args:
        net: The networks before the one to be trained, in evaluation mode.
        min_scores: Minimum score of a window, by network.
        photos: Photos of any kind.
        images: Images of `photos`.
        cache: Folder of the cached squares.
    """
    searched = [i for i, photo in enumerate(photos) if photo.all_labeled]
    photos_digest = images_digest([photos[i] for i in searched])
    boxes = [photos[i].boxes.round(3).tolist() for i in searched]
    settings = [*min_scores, MAX_PLACES, NEGATIVE_IOU, SMALLEST_WINDOW_PX]
    key = digest(photos_digest, boxes, weights_digest(net), settings)
    cascade = make_cascade(net, min_scores)

    def rows() -> Iterator[Array]:
        for i in searched:
            detections = cascade(images[i], SMALLEST_WINDOW_PX)
            squares = squares_around(detections.boxes)
            overlaps = iou(squares, photos[i].boxes).max(1, initial=0.0)
            yield squares[overlaps < NEGATIVE_IOU][:MAX_PLACES]

    groups = cached_groups(cache / f"windows-{key}", 4, rows)
    return {
        i: negatives
        for i, negatives in zip(searched, groups, strict=True)
        if len(negatives)
    }


def make_cascade(net: Mtcnn, min_scores: Sequence[float]) -> WindowCascade:
    """Return the cascade of the networks in `net`."""

    @torch.no_grad()
    def run(network: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        # a copy, because cached images are mapped read-only
        outputs = net.network(network).scan(torch.from_numpy(images.copy()))
        return np.asarray(outputs.numpy(), np.float32)

    sides = {name: SIDES[name] for name in net.networks}
    return WindowCascade(run, sides, min_scores)


def weights_digest(net: Mtcnn) -> str:
    """Return a digest of the weights of `net`."""
    joined = hashlib.sha256()
    for name, value in net.state_dict().items():
        joined.update(name.encode())
        joined.update(value.cpu().numpy().tobytes())
    return joined.hexdigest()
