"""CIFAR-10: small images in ten classes, from Parquet files with JPEG bytes and labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, missing_extra
from ..opencv import cv2
from .sample import in_validation

CLASSES, SIDE = 10, 32


@dataclass(frozen=True, eq=False)
class ClassImages:
    """Images with class labels."""

    images: NDArray[np.uint8]
    """RGB, (M, 32, 32, 3)."""
    classes: NDArray[np.int64]
    """Class index of each image, (M,)."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.integer[Any]]) -> "ClassImages":
        """Return the images at the given rows."""
        return ClassImages(self.images[rows], self.classes[rows])


def read_cifar10(root: Path, part: str) -> ClassImages:
    """Read `root`/cifar10/`part`.parquet.

    Args:
        root: The data root.
        part: "train", "validation" (a tenth of the training file, excluded from "train") or "test".

    Raises:
        DataError: If the file is missing or broken.
        ExtraError: If pyarrow is not installed.
    """
    file = "test" if part == "test" else "train"
    read = _read_file(root / "cifar10" / f"{file}.parquet")
    if part == "test":
        return read
    rows = []
    for row in range(len(read)):
        # rows have no name, so the row number decides
        if in_validation(str(row)) == (part == "validation"):
            rows.append(row)
    return read.take(np.array(rows, np.intp))


def first_of_each_class(given: ClassImages, count: int) -> ClassImages:
    """Return the first images of each class, `count` in total; 0: all images."""
    if not count:
        return given
    rows = []
    for number in range(CLASSES):
        rows.append(np.flatnonzero(given.classes == number)[: count // CLASSES])
    return given.take(np.concatenate(rows))


def _read_file(path: Path) -> ClassImages:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise missing_extra("pyarrow", "report") from error
    try:
        table = parquet.read_table(path, columns=["image", "label"]).to_pydict()
    except (OSError, ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected a Parquet file with the "
            "columns image (JPEG or PNG bytes) and label"
        ) from error
    images = np.empty((len(table["image"]), SIDE, SIDE, 3), np.uint8)
    for row, data in enumerate(table["image"]):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None or image.shape != (SIDE, SIDE, 3):
            raise DataError(
                f"{path}: row {row} is not an image of {SIDE} x {SIDE} pixels; "
                "expected JPEG or PNG bytes"
            )
        images[row] = image[..., ::-1]
    return ClassImages(images, np.array(table["label"], np.int64))
