"""Sample: one annotated face of a data set, whatever the set; and the validation rule."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, SchemeError
from ..geometry import Array, apply_affine, fit_similarity, landmark_box
from ..io.image import read_image
from ..io.video_reader import close_video, read_video_frame
from ..schemes import convert, scheme

Picture = NDArray[np.uint8]

OF_ONE_PHOTO = "__"
"""In a folder of faces, files whose names are equal up to these lines are of one photo or video."""
SCHEME_OF_COUNT = {
    5: "five",
    19: "aflw19",
    21: "aflw21",
    29: "cofw29",
    49: "ibug49",
    51: "ibug51",
    68: "ibug68",
    98: "wflw98",
    106: "lapa106",
    194: "helen194",
    262: "ibug68_helen194",
    478: "mediapipe478",
}
"""What points that come without a scheme are taken for, by their number."""
BOX_SCHEME = "ibug68"
"""The box of a face is the tight box of these points, whatever the scheme."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One face: where its picture is and where its points are."""

    image: Path
    """The file the picture is read from."""
    landmarks: Array
    """(N, 2), pixels of the image as read (EXIF applied), centre of the first pixel (0, 0); nan where not annotated."""
    scheme: str
    """What the rows of `landmarks` mean."""
    name: str
    """The path of the picture below the data set's root, with a suffix where one picture has several faces."""
    box: Array | None = None
    """The box the data set gives, in image pixels; None where it gives none."""
    visible: NDArray[np.bool_] | None = None
    """(N,), or None where the data set does not say."""
    subset: str = ""
    """The part of the data set this face belongs to, e.g. "helen/testset"."""
    attributes: Mapping[str, bool] = field(default_factory=dict)
    """What the data set says of the face, e.g. {"occluded": True}."""
    frame: int | None = None
    """The number of the picture, from 0, where `image` holds many: a video, a .mat file."""
    photo: str = ""
    """The name of the photo, the same for all faces of one photo; empty: the file stem."""
    read_frame: Callable[[Path, int], Picture] = read_video_frame
    """How picture number `frame` is read from `image`."""

    def face_box(self) -> Array:
        """The tight box (4,) of its 68 points, in image pixels, as far as known: the `truth` box of every protocol."""
        try:
            return tight_box(self.landmarks, self.scheme)
        except SchemeError:  # no rule makes any of the 68 of these points
            return landmark_box(self.landmarks)

    def read(self) -> Picture:
        """The picture: RGB (H, W, 3).    Raises: ImageError."""
        return (
            read_image(self.image)
            if self.frame is None
            else self.read_frame(self.image, self.frame)
        )

    def is_validation(self) -> bool:
        """Whether the face is in the tenth of the training faces on which everything is chosen."""
        return in_validation((self.photo or self.image.stem).partition(OF_ONE_PHOTO)[0])


def tight_box(landmarks: Array, scheme_name: str) -> Array:
    """The tight box (4,) of the 68 points of a face of which `landmarks` (N, 2) of `scheme_name` are known.

    Where some of the 68 are not, they are taken from the mean face, laid over the known points by a similarity.
    """
    known = convert(landmarks, scheme_name, BOX_SCHEME).points
    if np.isfinite(known).all():
        return landmark_box(known)
    mean = np.asarray(scheme(BOX_SCHEME).mean_shape)
    mean_here = convert(mean, BOX_SCHEME, scheme_name).points
    both = np.isfinite(landmarks).all(1) & np.isfinite(mean_here).all(1)
    if both.sum() < 2:
        return landmark_box(landmarks)
    fitted = apply_affine(fit_similarity(mean_here[both], landmarks[both]), mean)
    return landmark_box(np.where(np.isfinite(known), known, fitted))


def bare_name(name: str) -> str:
    """The name of a face without its picture's suffix: copies of a set are of other formats.

    >>> bare_name("lfpw/testset/image_0001.png"), bare_name("talk.webm#00012")
    ('lfpw/testset/image_0001', 'talk#00012')
    """
    return re.sub(r"\.\w+(?=#|$)", "", name)


def read_pictures(samples: Iterable[Sample]) -> Iterator[tuple[Sample, Picture]]:
    """Each sample with its picture (H, W, 3), in the order given; faces of one picture and frames of one video that
    follow each other are decoded once.

    Raises: ImageError at the first picture that cannot be read.
    """
    last: tuple[Path, int | None] | None = None
    picture: Picture | None = None
    try:
        for sample in samples:
            key = (sample.image, sample.frame)
            if picture is None or key != last:
                picture, last = sample.read(), key
            yield sample, picture
    finally:
        close_video()


def scheme_of_count(count: int, where: object) -> str:
    """The scheme that `count` points without a name are taken for.    Raises: DataError, naming `where`, for others."""
    if count not in SCHEME_OF_COUNT:
        known = ", ".join(f"{n} ({name})" for n, name in SCHEME_OF_COUNT.items())
        raise DataError(
            f"{where}: {count} points, of no known scheme; wanted {known}: name the scheme"
        )
    return SCHEME_OF_COUNT[count]


def in_validation(photo: str) -> bool:
    """Whether the SHA-1 of the photo's name, read as an integer, is 0 modulo 10."""
    return int(hashlib.sha1(photo.encode(), usedforsecurity=False).hexdigest(), 16) % 10 == 0


def photo_of_numbered(stem: str) -> str:
    """The photo's name of a file stem that ends in the number of a face, `_<n>`, as in HELEN and AFW."""
    return re.sub(r"_\d+$", "", stem)


def data_root(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the data sets: `given`, else $LINEAMENT_DATA, else `data` in the current directory.

    Raises:
        DataError: If that folder does not exist.
    """
    root = Path(given or os.environ.get("LINEAMENT_DATA") or "data")
    if not root.is_dir():
        raise DataError(
            f"no data folder at {root}; wanted the data sets' folder: set LINEAMENT_DATA or give --data"
        )
    return root


def cache_root(given: str | os.PathLike[str] | None = None) -> Path:
    """The folder of prepared crops: `given`, else lineament in the user's cache; made where it is first written to."""
    return Path(
        given or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineament"
    )


def check_count(samples: Sequence[Sample], official: int, what: str) -> str:
    """An empty text where `samples` are the `official` number of faces, else one plain line that says what is short."""
    if len(samples) == official:
        return ""
    return f"{what}: {len(samples)} of the official {official} faces are here"
