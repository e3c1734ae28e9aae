"""Write samples as files for annotation tools, or as a folder of .pts files."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import write_text
from ..errors import DataError, did_you_mean
from ..geometry import Array, landmark_box
from ..io.label_formats import LABEL_FORMATS
from ..io.labels import LabeledFace, Labels
from ..io.review_files import (
    ACCEPTED,
    FaceRecord,
    Save,
    relative_name,
    write_face,
)
from ..io.unique_names import UsedNames, unique_name
from ..schemes import scheme as scheme_called
from .readers.image_finder import image_size
from .sample import Sample

PTS = "pts"
FORMATS = (*LABEL_FORMATS, PTS)
RELATIVE_TO_FILE = ("dlib", "dlib-whole")
"""Formats in which image names are relative to the annotation file."""


def write_label_files(
    samples: Sequence[Sample],
    kind: str,
    out: Path,
    pictures: Path | None = None,
    step: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write annotated faces in the format `kind`; each file is written atomically.

    Args:
        samples: Faces of a single scheme, stored in image files.
        kind: One of FORMATS. "pts" writes one .pts file per face, and a JSON file with its image,
            box and occluded points, readable by the reader "review".
        out: Output folder.
        pictures: Folder that image names are relative to; None: the deepest common folder.
        step: Called after each face, for "pts" only.

    Raises:
        DataError: If there are no faces, or they have several schemes or are video frames.
    """
    if kind not in FORMATS:
        raise DataError(f"unknown format {kind!r}; {did_you_mean(kind, FORMATS)}")
    scheme = _check(samples)
    home = pictures or common_folder([sample.image for sample in samples])
    if kind == PTS:
        return _write_faces(samples, out, home, step)
    start = out if kind in RELATIVE_TO_FILE else home
    results = [
        (relative_name(image, start), labels)
        for image, labels in labels_by_image(samples).items()
    ]
    files = LABEL_FORMATS[kind](results, scheme)
    for name, text in files.items():
        write_text(out / name, text, errors="backslashreplace")
    return [out / name for name in files]


def _check(samples: Sequence[Sample]) -> str:
    """Return the scheme of the samples; raise DataError if they cannot be written."""
    if not samples:
        raise DataError("no faces to write; check the folder and --reader")
    schemes = sorted({str(sample.scheme) for sample in samples})
    if len(schemes) > 1:
        raise DataError(
            f"the faces are of several schemes ({', '.join(schemes)}); write one file "
            "per scheme: choose a part"
        )
    for sample in samples:
        if sample.frame is not None:
            raise DataError(
                f"{sample.name} is a frame of {sample.image.name}; expected faces in "
                "image files: write the frames as images first"
            )
    return samples[0].scheme


def common_folder(images: Sequence[Path]) -> Path:
    """Return the deepest folder that contains all `images`."""
    folders = {str(image.resolve().parent) for image in images}
    return Path(os.path.commonpath(sorted(folders)))


def labels_by_image(samples: Sequence[Sample]) -> dict[Path, Labels]:
    """Group the faces by image, in the given order."""
    faces: dict[Path, list[LabeledFace]] = {}
    for sample in samples:
        labeled = LabeledFace(sample.landmarks, occluded_points(sample), box_of(sample))
        faces.setdefault(sample.image, []).append(labeled)
    first = {sample.image: sample for sample in reversed(samples)}
    labels = {}
    for image, listed in faces.items():
        size = first[image].stated_size or image_size(image)
        labels[image] = Labels(listed, first[image].scheme, size)
    return labels


def occluded_points(sample: Sample) -> NDArray[np.bool_]:
    """Return a mask (N,) of the points that are annotated but not visible."""
    if sample.visible is None:
        return np.zeros(len(sample.landmarks), np.bool_)
    visible = np.asarray(sample.visible, np.float64)
    return np.asarray((visible == 0) & np.isfinite(sample.landmarks).all(1))


def box_of(sample: Sample) -> Array:
    """Return the box (4,) of a sample, or its landmark box if it has none."""
    return landmark_box(sample.landmarks) if sample.box is None else sample.box


def _write_faces(
    samples: Sequence[Sample], out: Path, home: Path, step: Callable[[], None]
) -> list[Path]:
    timestamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    names = unique_face_names([sample.image for sample in samples], home)
    for sample, name in zip(samples, names, strict=True):
        points = np.array(scheme_called(sample.scheme).points)
        occluded = tuple(points[occluded_points(sample)].tolist())
        save = Save("", timestamp, 0.0, ACCEPTED, sample.landmarks, occluded)
        face = FaceRecord(
            name=name,
            image=sample.image,
            image_size=sample.stated_size or image_size(sample.image),
            scheme=sample.scheme,
            box=box_of(sample),
            start=sample.landmarks,
            sigma_px=np.full(len(points), np.nan),
            saves=(save,),
        )
        write_face(out, face)
        step()
    return [out]


def unique_face_names(images: Sequence[Path], home: Path) -> list[str]:
    """Return a unique name per face: the path of its image relative to `home`.

    The second face of an image gets the suffix _2; names that clash keep their file suffix.
    """
    used_names = UsedNames()
    face_counts: dict[Path, int] = {}
    bases: dict[Path, str] = {}
    names = []
    for image in images:
        if image not in bases:
            relative_path = Path(_below(image, home))
            candidates = (
                relative_path.with_suffix("").as_posix(),
                relative_path.as_posix(),
            )
            bases[image] = unique_name(candidates, used_names.is_free)
        face_counts[image] = face_counts.get(image, 0) + 1
        number = face_counts[image]
        base = bases[image] if number == 1 else f"{bases[image]}_{number}"
        name = unique_name([base], used_names.is_free)
        used_names.add(name)
        names.append(name)
    return names


def _below(image: Path, home: Path) -> str:
    """Return the path of an image relative to `home`, or its file name if it is elsewhere."""
    resolved, root = image.resolve(), home.resolve()
    if root in resolved.parents:
        return resolved.relative_to(root).as_posix()
    return image.name
