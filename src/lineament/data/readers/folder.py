"""A folder of images with a .pts file next to each, such as pseudo-labels."""

from dataclasses import replace
from pathlib import Path

from ...errors import DataError
from ..sample import GROUP_SEPARATOR, Sample
from .image_finder import StemFinder, check_shared
from .marks import leave_out_marks
from .own_data import UNSTATED, OwnData, choose_points
from .pts import annotated_pts, with_images


def read_folder(root: Path, part: str = "all", own: OwnData = UNSTATED) -> list[Sample]:
    """Read every face with a .pts file below `root`, or below its subfolder `part` unless "all".

    If no scheme is given, it is inferred from the number of points. photo__1 and photo__2 are
    faces of the same group.

    Raises:
        DataError: If there is no .pts file, or one is broken or lacks its image.
    """
    return with_images(annotated_folder(root, part, own))


def annotated_folder(
    root: Path, part: str = "all", own: OwnData = UNSTATED
) -> list[Sample]:
    """Read faces like `read_folder`, including those whose image is missing."""
    folder = "" if part == "all" else part
    faces = annotated_pts(
        root, "", folder, lambda stem: stem.partition(GROUP_SEPARATOR)[0]
    )
    place = root / folder
    if not faces:
        raise DataError(
            f"{place}: no .pts file in or below this folder; "
            "expected one next to each image"
        )
    if own.pictures is not None:
        elsewhere = StemFinder(own.pictures)
        found = []
        for number, face in enumerate(faces):
            image = elsewhere.find(face.image) or face.image
            found.append((face.image.with_suffix(".pts"), image))
            faces[number] = replace(face, image=image)
        check_shared(found)
    schemes: dict[int, str] = {}
    samples = []
    for face in leave_out_marks(faces, own, str(place), first_pixel=1.0):
        count = len(face.landmarks)
        if count not in schemes:
            named = f"{place} ({face.name})"
            schemes[count] = choose_points([""] * count, own, named)[0]
        samples.append(
            replace(
                face,
                scheme=schemes[count],
                subset=Path(face.name).parent.as_posix(),
                group=own.group_of(face.name, {}, face.group),
            )
        )
    return samples
