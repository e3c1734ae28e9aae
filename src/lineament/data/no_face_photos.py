"""Photos without a face, and faces with only a box, read and cached for training presence.

Depends on the photos of detection/photos.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, RecipeError
from ..geometry import Array, apply_affine, box_side, crop_affine
from ..recipe import PresenceSettings, Recipe
from ..schemes import scheme
from .crop_cache import CACHE_PADDING, CropCache, cache_crops
from .detection.photos import Photo, read_detector_photos
from .negatives import Negatives, PresenceCrops, crop_square, face_regions, with_boxes
from .sample import Sample

PHOTO_PX = 320
"""Side of the cached crop that a photo is fitted into, pixels."""
BOXED_PX = 224
"""Side of the cached crops of box-only faces and hard negatives; both are small in the photo."""
VALIDATION_DRAWS = 2
"""Number of random places per validation photo, in addition to all its hard negatives."""

BoxesByPhoto = Mapping[str, Sequence[Sequence[float]]]
"""Face detector boxes (x0, y0, x1, y1, score) by file path relative to the data root."""


@dataclass(frozen=True, eq=False)
class PresenceData:
    """The data for a recipe's [presence] section."""

    negatives: Negatives
    """Training crops without a face."""
    boxed: CropCache | None
    """Training faces with only a box."""
    validation: PresenceCrops | None
    """Validation crops; None if there is no annotated validation face."""


def read_presence_data(
    settings: PresenceSettings,
    recipe: Recipe,
    validation_faces: Mapping[str, CropCache],
    root: Path,
    cache: Path,
) -> PresenceData:
    """Read and cache the crops without a face, and the faces with only a box.

    Args:
        settings: The [presence] section of the recipe.
        recipe: Provides the scheme and the crop padding.
        validation_faces: Annotated faces by data set.
        root: The data root.
        cache: Folder of cached crops.

    Raises:
        DataError: If photos, their boxes or the file of hard negatives are missing or broken.
        RecipeError: If no training photo is left.
    """
    points = len(scheme(recipe.scheme))
    negatives, photos = read_negatives(settings, points, root, cache)
    boxed = boxed_validation = None
    if settings.box_only:
        boxed, boxed_validation = read_boxed_faces(settings, points, root, cache)
    if not validation_faces:
        return PresenceData(negatives, boxed, None)
    faces, regions = [], []
    for annotated in validation_faces.values():
        faces.append(annotated)
        regions.append(face_regions(annotated, recipe.model.padding))
    if boxed_validation is not None:
        faces.append(boxed_validation)
    return PresenceData(negatives, boxed, PresenceCrops(faces, [*photos, *regions]))


def read_negatives(
    settings: PresenceSettings, points: int, root: Path, cache: Path
) -> tuple[Negatives, list[CropCache]]:
    """Read and cache the photos without a face.

    Args:
        settings: The [presence] section of the recipe.
        points: Number of landmarks of the model, N; all are nan.
        root: The data root.
        cache: Folder of cached crops; a relative `hard_negatives` path refers to it.

    Returns:
        The training photos, and the validation crops without a face.

    Raises:
        DataError: If photos or the file of hard negatives are missing or broken.
        RecipeError: If no training photo is left.
    """
    hard_negatives: BoxesByPhoto = {}
    if settings.hard_negatives:
        hard_negatives = read_hard_negatives(cache / settings.hard_negatives)
    photos = read_detector_photos(root, settings.photos) if settings.photos else []
    training = [photo for photo in photos if not photo.is_validation()]
    validation = [photo for photo in photos if photo.is_validation()]
    if settings.photos and not training:
        raise RecipeError(
            f"no training photos for presence.photos = {list(settings.photos)}; add "
            "photos or remove these kinds"
        )
    negatives = _negatives(training, hard_negatives, settings, points, root, cache)
    if not validation:
        return negatives, []
    tested = _negatives(validation, hard_negatives, settings, points, root, cache)
    crops = []
    for draw in range(VALIDATION_DRAWS):
        boxes = []
        for photo in range(len(validation)):
            boxes.append(
                tested.draw_background_box(np.random.default_rng([draw, photo]), photo)
            )
        crops.append(with_boxes(tested.photos, boxes))
    if len(tested.close_ups):
        crops.append(tested.close_ups)
    return negatives, crops


def _negatives(
    photos: Sequence[Photo],
    hard_negatives: BoxesByPhoto,
    settings: PresenceSettings,
    points: int,
    root: Path,
    cache: Path,
) -> Negatives:
    kinds = [photo.kind for photo in photos]
    weights = np.array([1 / kinds.count(kind) for kind in kinds]) / max(
        len(set(kinds)), 1
    )
    close_ups, rows = _close_ups(photos, hard_negatives, points, root, cache)
    if not photos:
        empty = _no_crops(PHOTO_PX, points)
        return Negatives(empty, close_ups, rows, weights, settings)
    samples, extents = [], []
    for photo in photos:
        samples.append(_sample_without_points(photo, points))
        height, width = samples[-1].read().shape[:2]
        extents.append(np.array([-0.5, -0.5, width - 0.5, height - 0.5]))
    # the box for which the cached crop, CACHE_PADDING box sides wide, shows the entire photo
    fitted = [crop_square(extent, 1 / CACHE_PADDING) for extent in extents]
    cached = cache_crops(samples, cache, PHOTO_PX, fitted)
    extents_crop = []
    for box, extent in zip(fitted, extents, strict=True):
        affine = crop_affine(box, PHOTO_PX, CACHE_PADDING)
        extents_crop.append(apply_affine(affine, extent.reshape(2, 2)).ravel())
    photos_shown = with_boxes(cached, extents_crop)
    return Negatives(photos_shown, close_ups, rows, weights, settings)


def _close_ups(
    photos: Sequence[Photo],
    hard_negatives: BoxesByPhoto,
    points: int,
    root: Path,
    cache: Path,
) -> tuple[CropCache, list[NDArray[np.intp]]]:
    """Return crops of all hard negatives, and each photo's rows."""
    samples, boxes, rows = [], list[Array](), []
    for photo in photos:
        rows_of_photo = hard_negatives.get(photo.image.relative_to(root).as_posix(), [])
        boxes_of_photo = np.array(rows_of_photo, np.float64).reshape(-1, 5)[:, :4]
        rows.append(np.arange(len(boxes), len(boxes) + len(boxes_of_photo)))
        samples += [_sample_without_points(photo, points)] * len(boxes_of_photo)
        boxes += list(boxes_of_photo)
    if not boxes:
        return _no_crops(BOXED_PX, points), rows
    return cache_crops(samples, cache, BOXED_PX, boxes), rows


def _no_crops(size: int, points: int) -> CropCache:
    nothing = np.zeros((0, size, size, 3), np.uint8)
    return CropCache(nothing, np.zeros((0, points, 2)), np.zeros((0, 4)))


def _sample_without_points(photo: Photo, points: int) -> Sample:
    landmarks = np.full((points, 2), np.nan)
    return Sample(photo.image, landmarks, "", photo.image.name, group=photo.name)


def read_boxed_faces(
    settings: PresenceSettings, points: int, root: Path, cache: Path
) -> tuple[CropCache, CropCache | None]:
    """Read and cache the faces of photos with only boxes; all landmarks are nan.

    Args:
        settings: The [presence] section of the recipe.
        points: Number of landmarks of the model, N.
        root: The data root.
        cache: Folder of cached crops.

    Returns:
        The training faces, and the validation faces if there are any.

    Raises:
        DataError: If there is no training face.
    """
    faces: dict[bool, tuple[list[Sample], list[Array]]] = {
        False: ([], []),
        True: ([], []),
    }
    for photo in read_detector_photos(root, settings.box_only):
        samples, boxes = faces[photo.is_validation()]
        for box in photo.boxes:
            if box_side(box) >= settings.box_only_min_px:
                samples.append(_sample_without_points(photo, points))
                boxes.append(box)
    if not faces[False][0]:
        raise DataError(
            f"no face of {', '.join(settings.box_only)} below {root} has a side of at "
            f"least {settings.box_only_min_px:g} px; leave presence.box_only empty"
        )
    training = cache_crops(faces[False][0], cache, BOXED_PX, faces[False][1])
    if not faces[True][0]:
        return training, None
    return training, cache_crops(faces[True][0], cache, BOXED_PX, faces[True][1])


def read_hard_negatives(path: Path) -> BoxesByPhoto:
    """Read the boxes written by `lineament mine-negatives`.

    Raises:
        DataError: If the file is missing or broken.
    """
    try:
        found: BoxesByPhoto = json.loads(path.read_text(encoding="utf-8"))
        for boxes in found.values():
            np.array(boxes, np.float64).reshape(-1, 5)
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: cannot be read as hard negatives ({type(error).__name__}); write it "
            "with `lineament mine-negatives`"
        ) from error
    return found
