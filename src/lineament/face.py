"""Face: landmarks, scores, sigma, box and scheme of one face, frozen, checked when made; Faces: those of an image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from .errors import SchemeError, ShapeError
from .geometry import Array, as_boxes, as_points


@dataclass(frozen=True, eq=False)
class Face:
    """One face of an image. Arrays are read-only.

    Raises: ShapeError where an array has another shape, or a landmark is not finite.
    """

    landmarks: Array
    """(N, 2), x then y, pixels of the image, sub-pixel."""
    scores: Array
    """(N,) in [0, 1]: how sure the model is of each point."""
    sigma_px: Array
    """(N,): the expected error of each point, in pixels of the image."""
    box: Array
    """(4,): the box the crop was cut around, in image pixels."""
    score: float
    """In [0, 1]: how sure the detector is that this is a face; 1 where the box was given."""
    scheme: str
    """What the rows mean, e.g. "ibug68"."""
    track_id: int | None = None
    """The number of the face in a video, or None."""

    def __post_init__(self) -> None:
        landmarks = as_points(self.landmarks)
        scores, sigma_px = (np.asarray(a, dtype=np.float64) for a in (self.scores, self.sigma_px))
        if not np.isfinite(landmarks).all():
            raise ShapeError(
                f"{int((~np.isfinite(landmarks)).any(1).sum())} landmarks are not finite; wanted numbers"
            )
        for name, array in (("scores", scores), ("sigma_px", sigma_px)):
            if array.shape != (len(landmarks),):
                raise ShapeError(
                    f"{name} have shape {array.shape}; wanted ({len(landmarks)},), one for each landmark"
                )
        for name, array in (("landmarks", landmarks), ("scores", scores), ("sigma_px", sigma_px)):
            array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        box = as_boxes(self.box)[0].copy()
        box.flags.writeable = False
        object.__setattr__(self, "box", box)
        object.__setattr__(self, "score", float(self.score))

    def __len__(self) -> int:
        return len(self.landmarks)


@dataclass(frozen=True, eq=False)
class Faces(Sequence[Face]):
    """The faces of one image, most certain first. Without a face it is empty, of the same type and shape.

    Raises: SchemeError, ShapeError where a face has another scheme or number of points than stated.
    """

    faces: tuple[Face, ...]
    scheme: str
    """The scheme of every face, stated also where there is none."""
    points: int
    """N, the number of landmarks of a face, stated also where there is none."""
    image_size: tuple[int, int] | None = None
    """Width and height of the image in pixels, where known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "faces", tuple(self.faces))
        for number, face in enumerate(self.faces):
            if face.scheme != self.scheme:
                raise SchemeError(
                    f"face {number} is {face.scheme}, not {self.scheme}; wanted faces of one scheme"
                )
            if len(face) != self.points:
                raise ShapeError(
                    f"face {number} has {len(face)} landmarks; wanted {self.points}, as stated"
                )

    def __len__(self) -> int:
        return len(self.faces)

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Face, ...]: ...
    def __getitem__(self, index: int | slice) -> Face | tuple[Face, ...]:
        return self.faces[index]

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    @property
    def landmarks(self) -> Array:
        """(F, N, 2), pixels of the image."""
        return (
            np.stack([f.landmarks for f in self.faces])
            if self.faces
            else np.zeros((0, self.points, 2))
        )

    @property
    def scores(self) -> Array:
        """(F, N) in [0, 1]."""
        return (
            np.stack([f.scores for f in self.faces]) if self.faces else np.zeros((0, self.points))
        )

    @property
    def sigma_px(self) -> Array:
        """(F, N), pixels of the image."""
        return (
            np.stack([f.sigma_px for f in self.faces]) if self.faces else np.zeros((0, self.points))
        )

    @property
    def boxes(self) -> Array:
        """(F, 4), pixels of the image."""
        return np.stack([f.box for f in self.faces]) if self.faces else np.zeros((0, 4))

    @property
    def box_scores(self) -> NDArray[np.float64]:
        """(F,) in [0, 1]: the detector's score of each box."""
        return np.array([f.score for f in self.faces], dtype=np.float64)
