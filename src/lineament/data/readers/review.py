"""Output folder of `lineament review`: corrected faces, whose images may be anywhere."""

from pathlib import Path

import numpy as np

from ...errors import DataError
from ...io.review_files import (
    ACCEPTED,
    SUFFIX,
    face_names,
    occluded_mask,
    read_face,
)
from ..sample import Sample
from .image_finder import ImageFinder
from .own_data import DEFAULT_OWN_DATA, OwnData
from .pts import read_pts


def read_review(
    root: Path, part: str = "all", own: OwnData = DEFAULT_OWN_DATA
) -> list[Sample]:
    """Read the accepted faces below `root`, or below its subfolder `part` unless "all".

    Landmarks are read from the .pts files; visibility, box and image from the JSON files next to
    them.

    Raises:
        DataError: If there are no faces, a file is broken, or an image is missing.
    """
    folder = root if part == "all" else root / part
    names = face_names(folder)
    if not names:
        raise DataError(
            f"{folder}: no reviewed faces; expected *{SUFFIX} files of lineament review"
        )
    finder = ImageFinder(root, own.pictures, own.needs_images)
    samples = []
    for name in names:
        record = read_face(folder, name)
        if record.last is None or record.last.status != ACCEPTED:
            continue
        if own.scheme and own.scheme != record.scheme:
            raise DataError(
                f"{folder / name}{SUFFIX}: points of {record.scheme}, not of "
                f"{own.scheme}; remove scheme"
            )
        image = record.image
        if not image.is_file() or own.pictures is not None:
            image = finder.find(str(record.image))
        landmarks = read_pts(folder / f"{name}.pts")
        if len(landmarks) != len(record.start):
            raise DataError(
                f"{folder / name}.pts: {len(landmarks)} points; expected "
                f"{len(record.start)} of {record.scheme}: correct the file"
            )
        face = f"{name}{image.suffix}"
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme=record.scheme,
                name=face,
                box=record.box,
                visible=np.logical_not(
                    occluded_mask(record.last.occluded, record.scheme)
                ),
                subset=part,
                group=own.group_of(face, {"reviewer": record.last.reviewer}, ""),
                stated_size=record.image_size,
            )
        )
    finder.check()
    return samples
