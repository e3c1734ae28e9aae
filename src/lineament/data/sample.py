"""One annotated face of any data set, the box of every protocol, and the validation rule."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, SchemeError
from ..geometry import Array, apply_affine, fit_similarity, landmark_box
from ..io.image import read_image
from ..io.video_reader import close_video, read_video_frame
from ..schemes import NAMES, Conversion, convert, scheme

Image = NDArray[np.uint8]

GROUP_SEPARATOR = "__"
"""Files whose names are equal up to this text show one photo, person or video."""
BOX_SCHEME = "ibug68"
"""The box of a face is the tight box of these landmarks, whatever the scheme."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One face: its image, its landmarks and what else the data set gives."""

    image: Path
    """The file of the image, or the video or .mat file that contains it."""
    landmarks: Array
    """(N, 2), pixels of the upright image, first center (0, 0); nan if not annotated."""
    scheme: str
    """What the rows of `landmarks` mean."""
    name: str
    """Path of the image below the data set's root, with "#2" for its second face."""
    box: Array | None = None
    """Face box (4,) of the data set, pixels of the image; None if it has none."""
    visible: NDArray[np.bool_] | NDArray[np.float32] | None = None
    """(N,): 1 visible, 0 not, nan unknown; None if the data set does not annotate it."""
    subset: str = ""
    """The part of the data set that the face belongs to, such as "helen/testset"."""
    attributes: Mapping[str, bool | float] = field(default_factory=dict)
    """Annotations of the face by name, such as {"occluded": True}."""
    frame: int | None = None
    """Number of the image, from 0, in a file of many; None for an image file."""
    group: str = ""
    """Photo, person or video, equal for all its faces; empty: the stem of the file."""
    stated_size: tuple[int, int] | None = None
    """Width and height of the image as the annotation states them, or None."""
    read_frame: Callable[[Path, int], Image] = read_video_frame
    """Reads image number `frame` from the file `image`."""

    def face_box(self) -> Array:
        """Return the tight box (4,) of the 68 landmarks: `truth` in every protocol."""
        try:
            return tight_box(self.landmarks, self.scheme)
        except SchemeError:
            # the scheme shares no landmark with the 68
            return landmark_box(self.landmarks)

    def read(self) -> Image:
        """Return the image, RGB (H, W, 3).

        Raises:
            ImageError: If it cannot be read.
        """
        if self.frame is None:
            return read_image(self.image)
        return self.read_frame(self.image, self.frame)

    def with_points(self, name: str, rows: Sequence[int]) -> "Sample":
        """Return the face with its points at the indices `rows` of scheme `name`, nan elsewhere.

        Raises:
            DataError: If it has another number of points.
        """
        if len(self.landmarks) != len(rows):
            raise DataError(
                f"{self.name} of {self.subset} has {len(self.landmarks)} points, others have "
                f"{len(rows)}; correct it"
            )
        count = len(scheme(name))
        landmarks = np.full((count, 2), np.nan)
        landmarks[list(rows)] = self.landmarks
        visible = None
        if self.visible is not None:
            visible = np.zeros(count, np.bool_)
            visible[list(rows)] = self.visible
        return replace(self, scheme=name, landmarks=landmarks, visible=visible)

    def split_group(self) -> str:
        """Return the name of the photo, person or video that is in one split."""
        return (self.group or self.image.stem).partition(GROUP_SEPARATOR)[0]

    def is_validation(self) -> bool:
        """Return True for the tenth of the faces on which every choice is made."""
        return in_validation(self.split_group())


def in_validation(group: str) -> bool:
    """Return True if the SHA-1 of the group's name, as an integer, is 0 modulo 10."""
    return group_digest(group) % 10 == 0


def group_digest(group: str) -> int:
    """Return the SHA-1 of a group's name as an integer."""
    digest = hashlib.sha1(group.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16)


def tight_box(landmarks: Array, scheme_name: str) -> Array:
    """Return the tight box (4,) of 68 landmarks, completed by a mean face.

    Those of a user's scheme with a mean shape are a mean face that is fitted to its points.

    Args:
        landmarks: (N, 2), nan if unknown.
        scheme_name: Their scheme.
    """
    mean = np.asarray(scheme(BOX_SCHEME).mean_shape)
    own = scheme(scheme_name).mean_shape
    if scheme_name not in NAMES and own is not None:
        known, mean_here = np.full_like(mean, np.nan), own
    else:
        known = convert(landmarks, scheme_name, BOX_SCHEME).points
        mean_here = convert(mean, BOX_SCHEME, scheme_name).points
    if np.isfinite(known).all():
        return landmark_box(known)
    both = np.isfinite(landmarks).all(1) & np.isfinite(mean_here).all(1)
    if both.sum() < 2:
        return landmark_box(landmarks)
    fitted = apply_affine(fit_similarity(mean_here[both], landmarks[both]), mean)
    return landmark_box(np.where(np.isfinite(known), known, fitted))


def to_scheme(sample: Sample, scheme_name: str, own_box: bool = False) -> Sample:
    """Return `sample` with its points in `scheme_name` and the tight box of its 68 points.

    The visibility of a point that both schemes have stays as it is.

    Args:
        sample: The face.
        scheme_name: The scheme wanted.
        own_box: Keep the sample's box, because it is that one.
    """
    box = sample.box if own_box else sample.face_box()
    if sample.scheme == scheme_name:
        return replace(sample, box=box)
    converted = convert(sample.landmarks, sample.scheme, scheme_name)
    return replace(
        sample,
        landmarks=converted.points,
        scheme=scheme_name,
        visible=_converted_visibility(sample, converted),
        box=box,
    )


def _converted_visibility(
    sample: Sample, converted: Conversion
) -> NDArray[np.float32] | None:
    """Return the visibility of points that `sample` has itself; of others it is unknown."""
    if sample.visible is None:
        return None
    own = converted.weights.max(1) == 1
    stated = sample.visible[converted.weights.argmax(1)]
    return np.where(own, stated, np.float32(np.nan)).astype(np.float32)


def bare_name(name: str) -> str:
    """Return the name of a face without the suffix of its file.

    >>> bare_name("lfpw/testset/image_0001.png"), bare_name("talk.webm#00012")
    ('lfpw/testset/image_0001', 'talk#00012')
    """
    return re.sub(r"\.\w+(?=#|$)", "", name)


def numbered_name(name: str, faces: Counter[str]) -> str:
    """Return the name of the next face of the image `name`, counted in `faces`.

    >>> faces = Counter()
    >>> numbered_name("a.jpg", faces), numbered_name("a.jpg", faces)
    ('a.jpg', 'a.jpg#2')
    """
    faces[name] += 1
    return name if faces[name] == 1 else f"{name}#{faces[name]}"


def group_of_numbered(stem: str) -> str:
    """Return a file stem without the number of the face, `_<n>`, as in HELEN and AFW."""
    return re.sub(r"_\d+$", "", stem)


def iter_images(samples: Iterable[Sample]) -> Iterator[tuple[Sample, Image]]:
    """Yield each sample with its image; a repeated image is decoded once.

    Raises:
        ImageError: If an image cannot be read.
    """
    last: tuple[Path, int | None] | None = None
    image: Image | None = None
    try:
        for sample in samples:
            key = (sample.image, sample.frame)
            if image is None or key != last:
                image, last = sample.read(), key
            yield sample, image
    finally:
        close_video()


def data_root(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the data sets: `given`, else $LINEAMENT_DATA, else `data`.

    Raises:
        DataError: If that folder does not exist.
    """
    root = Path(given or os.environ.get("LINEAMENT_DATA") or "data")
    if not root.is_dir():
        raise DataError(
            f"no data folder at {root}; wanted the folder of the data sets: "
            "set LINEAMENT_DATA or give --data"
        )
    return root


def cache_root(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of cached crops: `given`, else `lineament` in the user's cache."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else user_cache / "lineament"
