"""Face: the validated, immutable result for one face. Faces: all faces in one image."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError, SchemeError, ShapeError, missing_extra
from .geometry import Array, as_boxes, as_points
from .schemes import scheme as scheme_called

TABLE_HEAD = (
    "face",
    "track_id",
    "score",
    "presence",
    "mean score",
    "mean sigma_px",
    "box",
)
"""Columns of the table shown in notebooks."""
POINT_COLUMNS = ("x", "y", "score", "sigma_px", "visible")
"""Columns per landmark in a table of faces."""

MIRRORED_ATTRIBUTES = {
    "left": "right",
    "right": "left",
    "left_profile": "right_profile",
    "right_profile": "left_profile",
}
"""Attributes that swap names in a mirrored image."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face of an image. Arrays are read-only.

    Raises:
        ShapeError: If an array has the wrong shape, or a landmark is not finite.
    """

    landmarks: Array
    """Landmarks, (N, 2), x then y, pixels of the image, sub-pixel."""
    scores: Array
    """Confidence of the model in each landmark, (N,), in [0, 1]."""
    sigma_px: Array
    """Expected error of each landmark, (N,), pixels of the image; nan if unknown."""
    box: Array
    """Detected or given box, (4,), pixels of the image, around which the first crop was made.
    It may extend beyond the image if the face is at its border; see `box_inside`."""
    score: float
    """Confidence of the detector in [0, 1]; 1 if the box was given."""
    scheme: str
    """Name of the landmark scheme, e.g. "ibug68"."""
    track_id: int | None = None
    """Id of the face in a video, or None."""
    presence: float = math.nan
    """Probability in [0, 1] that this is a face; nan if the model does not predict it."""
    visible: Array = field(default_factory=lambda: np.array(math.nan))
    """Probability that each landmark is visible, neither turned away nor occluded, (N,), in
    [0, 1]; nan if unknown."""
    attributes: Mapping[str, float] = field(default_factory=dict)
    """Probability in [0, 1] that an attribute such as "smiling" is true, by name; empty
    if the model predicts no attributes."""

    def __post_init__(self) -> None:
        landmarks = as_points(self.landmarks)
        arrays: dict[str, Array] = {}
        for name in ("scores", "sigma_px", "visible"):
            arrays[name] = np.asarray(getattr(self, name), dtype=np.float64)
        if arrays["visible"].ndim == 0:
            arrays["visible"] = np.full(len(landmarks), arrays["visible"])
        if not np.isfinite(landmarks).all():
            count = int((~np.isfinite(landmarks)).any(1).sum())
            raise ShapeError(
                f"{count} landmarks are not finite; expected finite x and y"
            )
        for name, array in arrays.items():
            if array.shape != (len(landmarks),):
                raise ShapeError(
                    f"{name} have shape {array.shape}; "
                    f"expected ({len(landmarks)},), one per landmark"
                )
        boxes = as_boxes(self.box)
        if len(boxes) != 1:
            raise ShapeError(
                f"a face has {len(boxes)} boxes; expected one: x0, y0, x1, y1"
            )
        arrays |= {"landmarks": landmarks, "box": boxes[0]}
        for name, array in arrays.items():
            array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "score", float(self.score))
        object.__setattr__(self, "presence", float(self.presence))
        values = {name: float(value) for name, value in self.attributes.items()}
        object.__setattr__(self, "attributes", values)

    def __reduce__(self) -> tuple[Any, ...]:
        # constructed from its fields, so that the arrays of a copy are read-only as well
        values = tuple(getattr(self, field.name) for field in fields(self))
        return type(self), values

    def __len__(self) -> int:
        return len(self.landmarks)

    def __repr__(self) -> str:
        # arrays of all landmarks would fill the terminal
        corners = ", ".join(f"{value:.1f}" for value in self.box)
        parts = [
            f"{len(self)} landmarks",
            f"scheme={self.scheme!r}",
            f"box=({corners})",
        ]
        parts.append(f"score={self.score:.3f}")
        if not math.isnan(self.presence):
            parts.append(f"presence={self.presence:.3f}")
        if self.track_id is not None:
            parts.append(f"track_id={self.track_id}")
        return f"<Face: {', '.join(parts)}>"

    def box_inside(self, image_size: tuple[int, int]) -> Array:
        """Return the box clipped to the image.

        Args:
            image_size: Width and height of the image, as in `Faces.image_size`.

        Returns:
            (4,), x from 0 to width - 1 and y from 0 to height - 1. Rounded to integers, it
            covers the pixels `image[y0 : y1 + 1, x0 : x1 + 1]`.
        """
        last = np.tile(np.asarray(image_size, np.float64) - 1, 2)
        return np.clip(self.box, 0, last)

    @property
    def occluded(self) -> NDArray[np.bool_]:
        """Mask (N,): True for landmarks that are probably not visible; False if unknown."""
        return np.asarray(self.visible < 0.5)


@dataclass(frozen=True, eq=False)
class Faces(Sequence[Face]):
    """Sequence of the faces in one image, most confident first; empty if there are none.

    Raises:
        SchemeError: If a face has another scheme.
        ShapeError: If a face has another number of landmarks.
    """

    faces: tuple[Face, ...]
    """The faces."""
    scheme: str
    """Scheme of all faces, also set if there are no faces."""
    points: int
    """Number of landmarks per face, N."""
    image_size: tuple[int, int] | None = None
    """Width and height of the image, pixels; None if unknown."""
    _load_image: ClassVar[Any] = None
    """Function that reads the image again, for notebooks; ignored in comparisons."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "faces", tuple(self.faces))
        for number, face in enumerate(self.faces):
            if face.scheme != self.scheme:
                raise SchemeError(
                    f"face {number} is {face.scheme}, not {self.scheme}; "
                    "expected faces of one scheme"
                )
            if len(face) != self.points:
                raise ShapeError(
                    f"face {number} has {len(face)} landmarks; expected {self.points}"
                )

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        faces = ", ".join(repr(face) for face in self.faces)
        return f"Faces([{faces}], scheme={self.scheme!r}, image_size={self.image_size})"

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
        """Landmarks of all faces, (F, N, 2), pixels of the image."""
        return np.reshape([face.landmarks for face in self.faces], (-1, self.points, 2))

    @property
    def scores(self) -> Array:
        """Landmark scores, (F, N), in [0, 1]."""
        return np.reshape([face.scores for face in self.faces], (-1, self.points))

    @property
    def sigma_px(self) -> Array:
        """Expected error of each landmark, (F, N), pixels of the image; nan if unknown."""
        return np.reshape([face.sigma_px for face in self.faces], (-1, self.points))

    @property
    def presence(self) -> NDArray[np.float64]:
        """Presence of each face, (F,), in [0, 1]; nan if unknown."""
        return np.array([face.presence for face in self.faces], dtype=np.float64)

    @property
    def visible(self) -> Array:
        """Visibility of each landmark, (F, N), in [0, 1]; nan if unknown."""
        return np.reshape([face.visible for face in self.faces], (-1, self.points))

    @property
    def boxes(self) -> Array:
        """Boxes, (F, 4), pixels of the image, possibly extending beyond it."""
        return np.reshape([face.box for face in self.faces], (-1, 4))

    @property
    def box_scores(self) -> NDArray[np.float64]:
        """Detector score of each face, (F,), in [0, 1]."""
        return np.array([face.score for face in self.faces], dtype=np.float64)

    @staticmethod
    def columns(points: int) -> list[str]:
        """Return the column names of `rows` for faces with `points` landmarks."""
        of_points = []
        for i in range(points):
            of_points += [f"{name}_{i}" for name in POINT_COLUMNS]
        box = ["box_x0", "box_y0", "box_x1", "box_y1"]
        return ["face", "scheme", "track_id", "score", "presence", *box, *of_points]

    def rows(self) -> list[list[Any]]:
        """Return one row per face with the values of `columns`.

        Unknown values are nan; an unknown track_id is None.
        """
        rows: list[list[Any]] = []
        for number, face in enumerate(self):
            parts = [face.landmarks, face.scores, face.sigma_px, face.visible]
            of_points = np.column_stack(parts).ravel().tolist()
            values = [number, face.scheme, face.track_id, face.score, face.presence]
            rows.append([*values, *face.box.tolist(), *of_points])
        return rows

    def to_dataframe(self) -> Any:
        """Return a pandas.DataFrame with one row per face and the same columns as CSV files.

        Raises:
            ExtraError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise missing_extra("pandas", "notebook") from error
        table = pandas.DataFrame(self.rows(), columns=self.columns(self.points))
        return table.astype({"track_id": "Int64"})  # nullable integers

    def with_image(self, load_image: Callable[[], Any]) -> "Faces":
        """Return a copy whose notebook display shows the faces on the image.

        Args:
            load_image: Returns the image, RGB (H, W, 3), or None if it is no longer available.
        """
        faces = replace(self)
        object.__setattr__(faces, "_load_image", load_image)
        return faces

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_load_image": None}  # copies and pickles keep no image

    def _repr_html_(self) -> str:
        """Return HTML with the faces drawn on their image, if it can be read again, and a table."""
        from .notebook import faces_svg, table_html

        try:
            image = None if self._load_image is None else self._load_image()
        except ImageError:
            image = None
        size = self.image_size if image is None else (image.shape[1], image.shape[0])
        drawing = ""
        if size is not None:
            landmarks = [face.landmarks for face in self]
            edges = scheme_called(self.scheme).edges
            drawing = faces_svg(image, size, landmarks, edges) + "<br>"
        rows = []
        for number, face in enumerate(self):
            means = (face.scores.mean(), face.sigma_px.mean())
            measured = [f"{value:.3g}" for value in (face.score, face.presence, *means)]
            box = ", ".join(f"{value:.1f}" for value in face.box)
            track = "" if face.track_id is None else str(face.track_id)
            rows.append([str(number), track, *measured, box])
        named = escape(self.scheme)  # may come from a file
        count = f"{len(self)} face{'' if len(self) == 1 else 's'} ({named})"
        return f"<div>{drawing}{count}{table_html(TABLE_HEAD, rows)}</div>"
