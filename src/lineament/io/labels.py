"""Manually annotated faces: landmarks, some of them missing or occluded, and a box."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemeError
from ..geometry import Array


class DrawnFace(Protocol):
    """Interface of faces that annotation files can store, such as Face and LabeledFace."""

    @property
    def landmarks(self) -> Array:
        """(N, 2), pixels of the image; nan if not annotated."""

    @property
    def occluded(self) -> NDArray[np.bool_]:
        """(N,): True for landmarks that are not visible."""

    @property
    def box(self) -> Array:
        """(4,), pixels of the image."""


class DrawnFaces(Protocol):
    """Interface of the faces in one image that annotation files can store: Faces and Labels."""

    @property
    def scheme(self) -> str:
        """Scheme of every face."""

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the image, pixels; None if unknown."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[DrawnFace]: ...


@dataclass(frozen=True, eq=False)
class LabeledFace:
    """One annotated face."""

    landmarks: Array
    """(N, 2), pixels of the image; nan if not annotated."""
    occluded: NDArray[np.bool_]
    """(N,): True for landmarks that are not visible."""
    box: Array
    """(4,), pixels of the image."""


@dataclass(frozen=True, eq=False)
class Labels:
    """The annotated faces of one image."""

    faces: Sequence[LabeledFace]
    scheme: str
    """Scheme of every face."""
    image_size: tuple[int, int] | None = None
    """Width and height of the image, pixels; None if unknown."""

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[LabeledFace]:
        return iter(self.faces)


Drawn = TypeVar("Drawn", bound=DrawnFaces)


def require_scheme(
    results: Iterable[tuple[Any, Drawn]], scheme: str
) -> Iterable[tuple[Any, Drawn]]:
    """Yield `results`; raise SchemeError for faces with another scheme."""
    for image, faces in results:
        if faces.scheme != scheme:
            raise SchemeError(
                f"the faces of {image!r} are {faces.scheme}, not {scheme}; "
                "write one file per scheme"
            )
        yield image, faces


def annotated_points(face: DrawnFace) -> NDArray[np.bool_]:
    """Return a mask (N,) of the annotated landmarks of a face."""
    return np.asarray(np.isfinite(face.landmarks).all(1))
