"""Input images of a batch: find and read them, name their results, predict in small batches."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from ..errors import DataError, ImageError, InputError
from ..face import Faces
from ..geometry import as_boxes
from .image import RGB, Source, read_image
from .media_files import find_images
from .unique_names import UsedNames, unique_name

RESERVED_NAMES = frozenset({"lineament", "faces", "faces.coco", "faces.label-studio"})
"""Names of files that a result folder uses itself."""
DRAWN = ".drawn.jpg"
BATCH_IMAGES, BATCH_PIXELS = 8, 16_000_000
Predict = Callable[[list[Any], Any], list[Faces]]
T = TypeVar("T")


@dataclass(frozen=True)
class InputImage:
    """One image to process."""

    path: Path
    name: str
    """Path of its results relative to the result folder, without suffix; unique in a batch."""


@dataclass(frozen=True)
class FailedInput:
    """An input path without a result."""

    path: str
    reason: str
    """Reason in one line."""

    def line(self) -> str:
        """Return the reason with the path, unless the reason names it."""
        return (
            self.reason if self.path in self.reason else f"{self.path}: {self.reason}"
        )


Predicted = tuple[InputImage, RGB | None, Faces | InputError]
"""An image, its pixels and its faces; or, for a failed image, None and the error."""


def read_images(sources: Iterable[Source]) -> Iterator[tuple[Any, RGB | ImageError]]:
    """Yield each source with its image, or with the ImageError raised.

    An unreadable image does not end the iteration.

    Args:
        sources: Sources as in `read_image`; folders and patterns are expanded as in
            `find_images`.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    for source in sources:
        found: list[Any] = [source]
        try:
            if isinstance(source, str | os.PathLike):
                found = list(find_images(source))
        except ImageError as error:
            yield source, error
            continue
        for each in found:
            try:
                yield each, read_image(each)
            except ImageError as error:
                yield each, error


def find_inputs(
    paths: Sequence[str | os.PathLike[str]], out: Path | None = None
) -> tuple[list[InputImage], list[FailedInput]]:
    """Find the images that `paths` match; a path that matches none is a failure.

    Results of images in a folder keep their location relative to that folder.

    Args:
        paths: Files, folders, patterns.
        out: Folder of the results; images found in it by folders and patterns are earlier
            results and are skipped.
    """
    results = None if out is None else out.resolve()
    found: dict[Path, Path] = {}
    failures = []
    for path in paths:
        try:
            images = find_images(path)
        except ImageError as error:
            failures.append(FailedInput(os.fspath(path), str(error)))
            continue
        root = _root(Path(path))
        for image in images:
            if root and results and _is_result(image, results, root):
                continue
            below = image.relative_to(root) if root else Path(image.name)
            found.setdefault(image, below)
    return _named(found), failures


def _is_result(image: Path, results: Path, root: Path) -> bool:
    """Return True if an image found below `root` is a result in the result folder `results`."""
    if results not in image.resolve().parents:
        return False
    top = root.resolve()
    is_drawn = image.resolve().name.endswith(DRAWN)
    return is_drawn or (results != top and top in results.parents)


def _root(path: Path) -> Path | None:
    """Return the folder that results of `path` are named relative to; None for a single file."""
    if path.is_dir():
        return path
    if path.exists():
        return None
    fixed = []
    for part in path.parts[:-1]:
        if any(sign in part for sign in "*?["):
            break
        fixed.append(part)
    return Path(*fixed)


def _named(found: Mapping[Path, Path]) -> list[InputImage]:
    """Name each image by its path relative to its root; add the suffix or a number if taken.

    No name may equal the name of another image's face: the faces of IMG are IMG_1, IMG_2.
    """
    used_names, of_faces = UsedNames(RESERVED_NAMES), UsedNames()

    def is_free(name: str) -> bool:
        is_taken = name in used_names or image_of_face(name) in used_names
        return not is_taken and name not in of_faces

    images = []
    for path, relative_path in found.items():
        candidates = (
            relative_path.with_suffix("").as_posix(),
            relative_path.as_posix(),
        )
        name = unique_name(candidates, is_free)
        used_names.add(name)
        of_faces.add(image_of_face(name))
        images.append(InputImage(path, name))
    return images


def image_of_face(name: str) -> str:
    """Return the image name for a face name: IMG for IMG_2; otherwise a name no image has."""
    stem, _, number = name.rpartition("_")
    return stem if number.isdigit() else f"{name}\0"


def predict_images(
    predict: Predict,
    images: Sequence[InputImage],
    boxes: Mapping[str, ArrayLike] | None = None,
) -> Iterator[Predicted]:
    """Yield each image in order, with its pixels and its faces, or with the error raised.

    Args:
        predict: A Predictor, or any callable with its signature.
        boxes: (F, 4) per image, keyed by path, file name or stem.
    """
    return predict_batches(predict, _read_inputs(images, boxes))


def _read_inputs(
    images: Sequence[InputImage], boxes: Mapping[str, ArrayLike] | None
) -> Iterator[tuple[InputImage, RGB | InputError, ArrayLike | None]]:
    for image in images:
        image_boxes = None
        try:
            pixels = read_image(image.path)
            if boxes is not None:
                image_boxes = lookup_boxes(image, boxes)
                as_boxes(image_boxes)
        except InputError as error:
            yield image, error, None
            continue
        yield image, pixels, image_boxes


def predict_batches(
    predict: Predict,
    items: Iterable[tuple[T, RGB | InputError, ArrayLike | None]],
    batch_images: int = BATCH_IMAGES,
) -> Iterator[tuple[T, RGB | None, Faces | InputError]]:
    """Yield each item in order, with its pixels and its faces, or with its error.

    Args:
        predict: A Predictor, or any callable with its signature.
        items: Each with its pixels and the given boxes, (F, 4) or None, or with the error
            raised when reading it.
        batch_images: Maximum number of images per call.
    """
    batch: list[tuple[T, RGB, ArrayLike | None]] = []
    for item, pixels, given in items:
        if isinstance(pixels, InputError):
            yield from _predicted(predict, batch)
            batch = []
            yield item, None, pixels
            continue
        batch.append((item, pixels, given))
        size = sum(pixels.size // 3 for _, pixels, _ in batch)
        if len(batch) == batch_images or size > BATCH_PIXELS:
            yield from _predicted(predict, batch)
            batch = []
    yield from _predicted(predict, batch)


def _predicted(
    predict: Predict, batch: list[tuple[T, RGB, ArrayLike | None]]
) -> Iterator[tuple[T, RGB | None, Faces | InputError]]:
    if not batch:
        return
    boxes = None if batch[0][2] is None else [given for _, _, given in batch]
    try:
        found = predict([pixels for _, pixels, _ in batch], boxes)
    except InputError as error:  # e.g. a box outside its image
        if len(batch) == 1:
            yield batch[0][0], None, error
        else:
            for entry in batch:
                yield from _predicted(predict, [entry])
        return
    for (item, pixels, _), faces in zip(batch, found, strict=True):
        yield item, pixels, faces


def lookup_boxes(image: InputImage, boxes: Mapping[str, ArrayLike]) -> ArrayLike:
    """Return the given boxes of an image, looked up by path, file name or stem.

    Raises:
        DataError: If there are none.
    """
    for key in (str(image.path), image.path.name, image.path.stem):
        if key in boxes:
            return boxes[key]
    raise DataError(
        f"{image.path}: no boxes given for this image; add it to the file of boxes, or "
        "omit --boxes"
    )


def read_boxes(path: Path) -> dict[str, ArrayLike]:
    """Read boxes per image from a JSON file {"image.jpg": [[x0, y0, x1, y1], ...]}.

    Raises:
        DataError: If the file has another format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as boxes ({error}); "
            "expected a JSON file of boxes per image"
        ) from error
    if not isinstance(data, dict):
        raise DataError(
            f"{path}: contains a value of type {type(data).__name__}; "
            "expected an object "
            '{"image.jpg": [[x0, y0, x1, y1]]}'
        )
    return data
