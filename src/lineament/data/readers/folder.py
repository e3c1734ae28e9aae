"""A folder of images with a .pts file next to each, such as pseudo-labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import DataError
from ...schemes import scheme
from ..guess_scheme import SCHEME_BY_COUNT
from ..sample import Sample
from .image_finder import StemFinder, check_shared
from .own_data import DEFAULT_OWN_DATA, OwnData, choose_points
from .pts import annotated_pts, with_images
from .sentinels import mask_sentinels


def read_folder(
    root: Path, part: str = "all", own: OwnData = DEFAULT_OWN_DATA
) -> list[Sample]:
    """Read every face with a .pts file below `root`, or below its subfolder `part` unless "all".

    If no scheme is given, it is inferred from the number of points. photo__1 and photo__2 are
    faces of the same photo. Images that are not next to their .pts file are searched below the
    folder.

    Raises:
        DataError: If there is no .pts file, or one is broken or lacks its image.
    """
    return with_images(annotated_folder(root, part, own))


def annotated_folder(
    root: Path, part: str = "all", own: OwnData = DEFAULT_OWN_DATA
) -> list[Sample]:
    """Read faces like `read_folder`, including those whose image is missing."""
    folder = "" if part == "all" else part
    faces = annotated_pts(root, "", folder, lambda stem: "")
    location = root / folder
    if not faces:
        raise DataError(
            f"{location}: no .pts file in or below this folder; "
            "expected one next to each image"
        )
    faces = _with_images_elsewhere(faces, location, own)
    schemes = _schemes_by_count(faces, location, own)
    samples = []
    for face in mask_sentinels(faces, own, str(location), first_pixel=1.0):
        samples.append(
            replace(
                face,
                scheme=schemes[len(face.landmarks)],
                subset=Path(face.name).parent.as_posix(),
                group=own.group_of(face.name, {}, ""),
            )
        )
    return samples


def _with_images_elsewhere(
    faces: Sequence[Sample], location: Path, own: OwnData
) -> list[Sample]:
    """Return the faces with images found by their names in another folder.

    Without a stated folder, only images that are not next to their .pts file are searched, below
    `location`.
    """
    is_stated = own.pictures is not None
    if not is_stated and all(face.image.is_file() for face in faces):
        return list(faces)
    elsewhere = StemFinder(own.pictures or location)
    placed, found = [], []
    for face in faces:
        image = face.image
        if is_stated or not image.is_file():
            image = elsewhere.find(face.image) or image
        found.append((face.image.with_suffix(".pts"), image))
        placed.append(replace(face, image=image))
    check_shared(found)
    return placed


def _schemes_by_count(
    faces: Sequence[Sample], location: Path, own: OwnData
) -> dict[int, str]:
    """Return the scheme of each number of points.

    Raises:
        DataError: If files have numbers of points that are not those of schemes.
    """
    counts = Counter(len(face.landmarks) for face in faces)
    if own.scheme:
        known = {len(scheme(own.scheme))}
    else:
        known = set(SCHEME_BY_COUNT)
        known |= {len(scheme(own.wanted))} if own.wanted else set()
    usual = counts.most_common(1)[0][0]
    for face in faces:
        count = len(face.landmarks)
        # if the usual number is not known either, the points are those of a new scheme
        if count != usual and count not in known:
            raise DataError(
                f"{face.image.with_suffix('.pts')}: {count} points, but "
                f"{counts[usual]} of {len(faces)} files have {usual}; correct or "
                "remove it"
            )
    schemes = {}
    for face in faces:
        count = len(face.landmarks)
        if count not in schemes:
            named = f"{location} ({face.name})"
            schemes[count] = choose_points([""] * count, own, named)[0]
    return schemes
