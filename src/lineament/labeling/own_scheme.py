"""Infer the scheme of a user's annotated faces, from names and skeleton or from positions alone.

Depends on the readers and, for the mean shape, on the predictor.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.draw import save_image
from ..analysis.draw_scheme import draw_scheme
from ..data.label_checks import check_labels
from ..data.mean_face import SWAP_REMEDY, swapped_sides_message
from ..data.mirror import (
    better_mirror,
    describe_better,
    infer_mirror_from_shapes,
    mirror_fits,
)
from ..data.readers.coco_scheme import scheme_from_coco
from ..data.readers.find_annotations import Annotations, find_annotations
from ..data.readers.own_data import (
    DEFAULT_OWN_DATA,
    Note,
    OwnData,
    UnknownPointsError,
    ignore,
    is_unnamed,
)
from ..data.readers.registry import data_set
from ..data.sample import Sample
from ..errors import DataError
from ..inference.predictor import Predictor
from ..scheme_file.names import complete_table, infer_mirror_from_names
from ..scheme_file.table import Scheme, scheme_from_table
from ..schemes import add_scheme, scheme
from .mean_shape import FULL, learn_mean_shape

USUAL = "ibug68"
"""Scheme tried first for points without names."""


def read_own_faces(
    found: Annotations, name: str, note: Note = ignore, own: OwnData = DEFAULT_OWN_DATA
) -> tuple[list[Sample], Scheme | None]:
    """Read annotated faces of unknown scheme.

    Args:
        found: The annotations.
        name: Name for the scheme if a new one is created.
        note: Called with a line per inferred property.
        own: User-provided information about the data.

    Returns:
        The faces, and the newly created scheme; None if the scheme is stated, or one of the
        package matches.

    Raises:
        DataError: If the annotations are broken, or no mirror map can be inferred.
    """
    if own.scheme:
        return read_more_faces(found, None, own), None
    lines: list[str] = []
    try:
        samples = read_more_faces(found, None, replace(own, note=lines.append))
    except UnknownPointsError as error:
        made = _make_scheme(found, error.points, error.mirror, name, note, own)
    else:
        fault, few = _scheme_mismatch_message(samples), _few_points(samples)
        is_named = bool(fault or few) and not _are_unnamed(found, samples[0], own)
        if is_named and few:
            made = _make_scheme(found, few, (), name, note, own)
        else:
            for line in lines:
                own.note(line)
            if is_named and (fault := swapped_sides_message(samples)):
                raise DataError(f"{found.path}: {fault}; {SWAP_REMEDY}")
            if is_named or not fault:
                return samples, None
            note(
                f"{found.path}: {fault}; inferring a scheme from the positions of the "
                "points instead"
            )
            unnamed = [""] * len(samples[0].landmarks)
            made = _make_scheme(found, unnamed, (), name, note, own)
    add_scheme(made)
    return read_more_faces(found, made, own), made


def scheme_from_labels(
    location: Path, name: str, note: Note = ignore, own: OwnData = DEFAULT_OWN_DATA
) -> tuple[list[Sample], Scheme]:
    """Return the annotated faces in a file or folder, and a new scheme of their points.

    Of several splits, the first one for training is read.

    Raises:
        DataError: If the annotations are broken, or their points are those of a scheme of the
            package.
    """
    found = sorted(find_annotations(location), key=lambda item: item.split != "train")[
        0
    ]
    samples, made = read_own_faces(found, name, note, own)
    if made is None:
        raise DataError(
            f"{found.path}: its points are those of the scheme {samples[0].scheme}; "
            "use this name instead of a new file"
        )
    return samples, made


def read_more_faces(
    found: Annotations, made: Scheme | None, own: OwnData = DEFAULT_OWN_DATA
) -> list[Sample]:
    """Read further faces with the scheme that `read_own_faces` returned."""
    if made is not None:
        return _read(found, replace(own, scheme=made.name))
    return _read(found, replace(own, wanted="" if own.scheme else USUAL))


def _read(found: Annotations, own: OwnData) -> list[Sample]:
    own = replace(own, needs_images=True)
    samples = data_set(found.reader).read(found.path, found.part, own=own)
    if not samples:
        raise DataError(f"{found.location}: no faces; annotate some")
    return check_labels(samples, str(found.location), own.note)


def _are_unnamed(found: Annotations, face: Sample, own: OwnData) -> bool:
    """Return True if the files can be read as points that are only numbered.

    Args:
        face: A face that was read from them.
    """
    numbered = add_scheme(_numbered_scheme(len(face.landmarks)))
    try:
        _read(found, replace(own, scheme=numbered, note=ignore))
    except DataError:
        return False
    return True


def _numbered_scheme(count: int) -> Scheme:
    """Return a scheme of points p0, p1, ... that are their own mirror images."""
    points = [f"p{index}" for index in range(count)]
    return scheme_from_table({"points": points}, f"numbered{count}", "numbered points")


def _few_points(samples: Sequence[Sample]) -> list[str]:
    """Return the annotated points if they are less than half of their scheme; otherwise none.

    A model of all its points would be of little use, since the others cannot be learned.
    """
    points = scheme(samples[0].scheme).points
    faces = [face for face in samples if face.scheme == samples[0].scheme]
    landmarks = np.stack([face.landmarks for face in faces])
    annotated = np.asarray(np.isfinite(landmarks).all(2).any(0))
    few = [point for point, is_known in zip(points, annotated, strict=True) if is_known]
    return few if 2 * len(few) < len(points) else []


def _scheme_mismatch_message(samples: Sequence[Sample]) -> str:
    """Return why the faces do not seem to match the package's scheme they were read in."""
    if fault := swapped_sides_message(samples):
        return fault
    named = scheme(samples[0].scheme)
    shapes = [face.landmarks for face in samples if face.scheme == named.name]
    if mirror_fits(shapes, named.mirror.tolist()):
        return ""
    return (
        f"as many points ({len(named)}) as {named.name}, but swapping its left and "
        "right does not mirror the faces, so they are other points (if not: --scheme "
        f"{named.name})"
    )


def _make_scheme(
    found: Annotations,
    points: Sequence[str],
    mirror: Sequence[int],
    name: str,
    note: Note,
    own: OwnData,
) -> Scheme:
    """Return a new scheme for points that match no scheme of the package.

    Args:
        mirror: The mirror map that the files state; empty: inferred.
    """
    if found.reader == "coco" and any(points):
        return scheme_from_coco(found.path, name, own.category, note)
    location = str(found.path)
    unnamed = is_unnamed(points)
    names = [f"p{i}" for i in range(len(points))] if unnamed else list(points)
    title = f"The {len(names)} points of {location}"
    if mirror:
        _check_stated_mirror(names, mirror, location)
        table: dict[str, Any] = {
            "points": names,
            "mirror": list(mirror),
            "title": title,
        }
        return scheme_from_table(complete_table(table, location), name, location)
    draft = scheme_from_table({"points": names}, f"{name}.draft", location)
    faces = _read(found, replace(own, scheme=add_scheme(draft)))
    shapes = [face.landmarks for face in faces]
    table = {"points": names, "title": title}
    named = infer_mirror_from_names(names)
    if unnamed or named == list(range(len(names))):
        note(
            f"{location}: the names of the {len(names)} points do not tell left from "
            "right, so the mirror is inferred from the mean of the annotated faces: "
            "check it"
        )
        table["mirror"] = infer_mirror_from_shapes(shapes, location)
        return scheme_from_table(complete_table(table, location), name, location)
    table = complete_table(table, location)
    better = better_mirror(shapes, named)
    if better is not None:
        text = describe_better(names, named, better)
        note(f"{location}: {text}; using the latter pairs: check them")
        table["mirror"] = better
    return scheme_from_table(table, name, location)


def _check_stated_mirror(
    names: Sequence[str], mirror: Sequence[int], location: str
) -> None:
    """Raise DataError if the stated mirror map contradicts the left and right in the names.

    Points whose names tell no side may have any partner.
    """
    named = infer_mirror_from_names(names)
    for index, partner in enumerate(mirror):
        if partner != named[index] != index:
            raise DataError(
                f"{location}: the files mirror {names[index]!r} to {names[partner]!r}, but the "
                f"names pair it with {names[named[index]]!r}; correct flip_idx or the names"
            )


def with_annotated_norms(
    made: Scheme, faces: Sequence[Sample], note: Note = ignore
) -> Scheme:
    """Return the scheme with norms between points that are annotated in some face.

    Of a mirrored pair with a point that is not, neither is used. A norm without points is removed.

    Args:
        made: The scheme.
        faces: Annotated faces of the scheme.
        note: Called with a line about the points that are not used.
    """
    landmarks = np.stack([face.landmarks for face in faces])
    is_known = np.asarray(np.isfinite(landmarks).all(2).any(0))
    is_known &= is_known[made.mirror]
    norms, unused = {}, set[str]()
    for rule, (first, second) in made.norm_points.items():
        unused |= {made.points[i] for i in (*first, *second) if not is_known[i]}
        kept = [tuple(i for i in group if is_known[i]) for group in (first, second)]
        if all(kept):
            norms[rule] = kept[0], kept[1]
    if not unused:
        return made
    note(
        f"{', '.join(sorted(unused))}: annotated in no face, or only on one side, so errors "
        f"are not divided by lengths between them ({', '.join(norms) or 'no norm'} left)"
    )
    return replace(made, norm_points=norms)


def with_mean_shape(
    made: Scheme, faces: Sequence[Sample], model: str, note: Note = ignore
) -> Scheme:
    """Return the scheme with the mean shape of its annotated faces, if a model finds them.

    Args:
        made: The scheme.
        faces: Annotated faces of the scheme.
        model: Name or file of a 68-point model.
        note: Called with a line about the result.
    """
    mean, count = learn_mean_shape(faces, Predictor(model, scheme=FULL))
    if mean is None:
        note(
            f"no mean shape: {model} found {count} faces, and some points are annotated in "
            "none of them"
        )
        return made
    note(f"mean shape of {count} faces, placed by the model {model}")
    return replace(made, mean_shape=mean)


def save_drawing(made: Scheme, faces: Sequence[Sample], path: Path) -> Path:
    """Draw a scheme on the face with the most annotated points, and return the file."""
    counts = [int(np.isfinite(face.landmarks).all(1).sum()) for face in faces]
    face = faces[counts.index(max(counts))]
    return save_image(path, draw_scheme(face.read(), face.landmarks, made))
