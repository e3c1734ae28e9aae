"""Annotated face of any data set, the box used by all protocols, and the validation split."""

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
from ..schemes import NAMES, Conversion, convert, scheme, upright_mean

Image = NDArray[np.uint8]

GROUP_SEPARATOR = "__"
"""Files whose names are equal up to this separator show the same photo, person or video."""
BOX_SCHEME = "ibug68"
"""Scheme whose tight landmark box is the face box, whatever the scheme of the data."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One annotated face: image, landmarks and optional further annotations."""

    image: Path
    """Image file, or the video or .mat file that contains the image."""
    landmarks: Array
    """(N, 2), pixels of the upright image, center of the first pixel at (0, 0); nan if unknown."""
    scheme: str
    """Landmark scheme of `landmarks`."""
    name: str
    """Path of the image relative to the data set's root; "#2" is added for its second face."""
    box: Array | None = None
    """Face box (4,) of the data set, pixels of the image; None if it has none."""
    visible: NDArray[np.bool_] | NDArray[np.float32] | None = None
    """Visibility (N,): 1 visible, 0 not, nan unknown; None if the data set does not annotate it."""
    subset: str = ""
    """Part of the data set that contains the face, such as "helen/testset"."""
    attributes: Mapping[str, bool | float] = field(default_factory=dict)
    """Attributes by name, such as {"occluded": True}."""
    frame: int | None = None
    """Index of the image, from 0, in a file with many images; None for an image file."""
    group: str = ""
    """Name of the photo, person or video, shared by all its faces; empty: the file stem."""
    stated_size: tuple[int, int] | None = None
    """Width and height of the image according to the annotation, or None."""
    read_frame: Callable[[Path, int], Image] = read_video_frame
    """Reads image number `frame` from the file `image`."""

    def face_box(self) -> Array:
        """Return the tight box (4,) of the 68 landmarks: box source "truth" in every protocol."""
        try:
            return tight_box(self.landmarks, self.scheme)
        except SchemeError:
            # no landmark of the scheme corresponds to one of the 68
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
        """Return the face with its points at indices `rows` of scheme `name`, nan elsewhere.

        So is the visibility of points that the face does not have.

        Raises:
            DataError: If the number of points differs.
        """
        if len(self.landmarks) != len(rows):
            raise DataError(
                f"{self.name} of {self.subset} has {len(self.landmarks)} points, others have "
                f"{len(rows)}; correct it"
            )
        count = len(scheme(name))
        landmarks = np.full((count, 2), np.nan)
        landmarks[list(rows)] = self.landmarks
        visible: NDArray[np.bool_] | NDArray[np.float32] | None = None
        if self.visible is not None:
            visible = np.zeros(count, np.bool_)
            if len(rows) < count or self.visible.dtype != np.bool_:
                visible = np.full(count, np.nan, np.float32)
            visible[list(rows)] = self.visible
        return replace(self, scheme=name, landmarks=landmarks, visible=visible)

    def split_group(self) -> str:
        """Return the name of the photo, person or video that must not be divided between splits."""
        return (self.group or self.image.stem).partition(GROUP_SEPARATOR)[0]

    def is_validation(self) -> bool:
        """Return True if the face is in the validation set, a tenth of the faces."""
        return in_validation(self.split_group())


def in_validation(group: str) -> bool:
    """Return True if the SHA-1 of the group's name, as an integer, is 0 modulo 10."""
    return group_digest(group) % 10 == 0


def group_digest(group: str) -> int:
    """Return the SHA-1 of a group's name as an integer."""
    digest = hashlib.sha1(os.fsencode(group), usedforsecurity=False).hexdigest()
    return int(digest, 16)


def tight_box(landmarks: Array, scheme_name: str) -> Array:
    """Return the tight box (4,) of the 68 landmarks, completed by a mean face.

    For a user's scheme with a mean shape, the 68 landmarks are a mean face fitted to its points.

    Args:
        landmarks: (N, 2), nan if unknown.
        scheme_name: Landmark scheme.
    """
    mean = np.asarray(scheme(BOX_SCHEME).mean_shape)
    if scheme_name not in NAMES and scheme(scheme_name).mean_shape is not None:
        known = np.full_like(mean, np.nan)
    else:
        known = convert(landmarks, scheme_name, BOX_SCHEME).points
    scheme_mean = upright_mean(scheme_name)
    if np.isfinite(known).all():
        return landmark_box(known)
    usable = np.isfinite(landmarks).all(1) & np.isfinite(scheme_mean).all(1)
    if usable.sum() < 2:
        return landmark_box(landmarks)
    fitted = apply_affine(fit_similarity(scheme_mean[usable], landmarks[usable]), mean)
    return landmark_box(np.where(np.isfinite(known), known, fitted))


def to_scheme(sample: Sample, scheme_name: str, own_box: bool = False) -> Sample:
    """Return `sample` with points converted to `scheme_name` and the tight box of its 68 points.

    Points that both schemes contain keep their visibility.

    Args:
        sample: The face.
        scheme_name: Target scheme.
        own_box: Keep the sample's box, because it already is the tight box of the 68 points.
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
    """Return the visibility of points that `sample` itself has; unknown for all others."""
    if sample.visible is None:
        return None
    is_exact = converted.weights.max(1) == 1
    visible = sample.visible[converted.weights.argmax(1)]
    return np.where(is_exact, visible, np.float32(np.nan)).astype(np.float32)


def bare_name(name: str) -> str:
    """Return the name of a face without file suffixes.

    >>> bare_name("lfpw/testset/image_0001.png"), bare_name("talk.webm#00012")
    ('lfpw/testset/image_0001', 'talk#00012')
    """
    return re.sub(r"\.\w+(?=#|$)", "", name)


def numbered_name(name: str, faces: Counter[str]) -> str:
    """Return a unique name for the next face of the image `name`, counted in `faces`.

    >>> faces = Counter()
    >>> numbered_name("a.jpg", faces), numbered_name("a.jpg", faces)
    ('a.jpg', 'a.jpg#2')
    """
    faces[name] += 1
    return name if faces[name] == 1 else f"{name}#{faces[name]}"


def strip_face_number(stem: str) -> str:
    """Return a file stem without the face number `_<n>` used in HELEN and AFW."""
    return re.sub(r"_\d+$", "", stem)


def iter_images(samples: Iterable[Sample]) -> Iterator[tuple[Sample, Image]]:
    """Yield each sample with its image; consecutive samples of one image decode it once.

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
    """Return the data root: `given`, $LINEAMENT_DATA or `data`, in this order.

    Raises:
        DataError: If the folder does not exist.
    """
    root = Path(given or os.environ.get("LINEAMENT_DATA") or "data")
    if not root.is_dir():
        raise DataError(
            f"no data folder at {root}; expected the folder of the data sets: "
            "set LINEAMENT_DATA or give --data"
        )
    return root


def cache_root(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of cached crops: `given`, or `lineament` in the user's cache.

    Raises:
        DataError: If the user has no home folder, as in some containers.
    """
    if given:
        return Path(given)
    try:
        user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise DataError(
            "no folder for cached crops, because this user has no home folder: give "
            "--cache, or set HOME or XDG_CACHE_HOME"
        ) from error
    return Path(user_cache) / "lineament"
