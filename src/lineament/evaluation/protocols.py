"""Evaluation protocols: counted faces and points, norm, failure thresholds.

Read from tables/protocols/<id>.toml, and stored completely in every report.
"""

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..data.sample import Sample
from ..errors import ProtocolError, SchemeError, did_you_mean
from ..scheme_file.table import POINT_NORMS, SUFFIX
from ..schemes import NAMES, check_scheme, scheme, scheme_names
from .contours import contours_of_parts
from .metrics import Norm

NormPoints = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

PROTOCOLS = (
    "300w-common",
    "300w-challenging",
    "300w-full",
    "300w-test",
    "300w-test-indoor",
    "300w-test-outdoor",
    "300w-val",
    "300w-common-five",
    "300w-val-five",
    "300w-common-masked",
    "300w-val-masked",
    "wflw",
    "cofw29-corner",
    "cofw29-pupil",
    "cofw68",
    "aflw19-full",
    "aflw19-frontal",
    "300vw-1",
    "300vw-2",
    "300vw-3",
    "talking-face-7",
    "infanface-val",
    "cfp30-val",
    "helen194-val",
    "mtfl-aflw",
    "folder",
)

MISS_RULE = (
    "a face is found if the predicted box of greatest overlap has an IoU of at least 0.3 "
    "with the tight box of its landmarks; a missed face counts as a failure and adds "
    "nothing to the area; means are over the faces found"
)
MATCH_IOU = 0.3
NORM_SENTENCES = {
    "box": "box: square root of the area of the tight box of the landmarks",
    "side": "side: longer side of the tight box of the landmarks",
    "diagonal": "diagonal: diagonal of the tight box of the landmarks",
    "given-box": "given-box: square root of the area of the data set's own box",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subset(_Frozen):
    """A subset of the faces that is also scored separately."""

    name: str
    """Name in reports."""
    faces: int | None = None
    """Official number of faces in the subset."""
    attribute: str = ""
    """Attribute shared by the faces of the subset."""
    folders: tuple[str, ...] = ()
    """Alternatively, the values of `Sample.subset` that form the subset."""

    def contains(self, sample: Sample) -> bool:
        """Return True if `sample` belongs to the subset."""
        if self.attribute:
            return bool(sample.attributes.get(self.attribute, False))
        return sample.subset in self.folders


class OtherNorm(_Frozen):
    """An additional norm to score with."""

    norm: Norm
    """Rule for the normalizing length."""
    threshold: float = Field(gt=0)
    """Failure threshold, and upper limit of the AUC."""


class Convention(_Frozen):
    """A constant shift between the annotated landmarks and their true positions.

    Shift-corrected errors are computed after adding the shift to predictions.
    """

    shift: tuple[float, float]
    """Shift added to predicted landmarks, x and y in the image, as fractions of the norm."""
    fitted_by: str
    """Command that fits the shift on training faces only."""


class Protocol(_Frozen):
    """Complete definition of a metric; results are comparable only under equal protocols."""

    id: str
    """Name in commands and reports."""
    title: str
    """One sentence: which faces are scored, and by whose convention."""
    data: str
    """Name of the data set's reader."""
    part: str
    """Part of the data set."""
    select: Literal["all", "validation"] = "all"
    """"validation" selects the validation tenth of the part."""
    faces: int | None = None
    """Official number of faces; None: any number is accepted."""
    videos: int | None = None
    """Official number of videos, for video data sets."""
    scheme: str
    """Scheme of the ground truth; predictions in other schemes are converted to it."""
    truth_from: str = ""
    """Scheme of the data set, converted to `scheme`; empty: the same scheme."""
    any_scheme: bool = False
    """True if the scheme may be chosen along with the data."""
    points: tuple[int, ...] | Literal["all"] = "all"
    """Indices of the counted points in the scheme."""
    norm: Norm
    """Rule for the normalizing length, computed from the complete annotation."""
    norm_points: NormPoints = {}
    """For interocular and interpupil: two groups of points whose centers define the distance."""
    thresholds: tuple[float, ...] = Field(min_length=1)
    """Failure thresholds and upper limits of the AUC, as fractions; the main one is first."""
    visibility: Literal["annotated", "visible"] = "annotated"
    """"visible": only points marked visible are counted; "annotated": all annotated points."""
    occluded: Literal["nothing", "half"] = "nothing"
    """"half": half of every face is covered by a plain color, see occlude.py."""
    convention: Convention | None = None
    """Constant annotation shift; if given, the mean error is also reported corrected for it."""
    contours: tuple[str, ...] = ()
    """Parts whose error is also split into components along and across their contours."""
    truth_box: Literal["landmarks", "given"] = "landmarks"
    """Box of a true face: "landmarks", the tight box of its 68 landmarks, completed by a
    mean face; "given", the data set's own box."""
    other_norms: tuple[OtherNorm, ...] = ()
    """Additional norms to score with."""
    subsets: tuple[Subset, ...] = ()
    """Subsets that are also scored separately."""
    miss_rule: str = MISS_RULE
    """When a face counts as missed, and how it is scored."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        count = len(scheme(self.scheme))
        used = [] if self.points == "all" else list(self.points)
        for groups in self.norm_points.values():
            used += [*groups[0], *groups[1]]
        for point in used:
            if not 0 <= point < count:
                raise ValueError(
                    f"point {point} is not in {self.scheme}, whose points are 0 to {count - 1}"
                )
        for rule in (self.norm, *(other.norm for other in self.other_norms)):
            if rule in POINT_NORMS and rule not in self.norm_points:
                raise ValueError(
                    f"norm_points has no {rule!r}, which the protocol divides by"
                )
        for part in self.contours:
            if not contours_of_parts(scheme(self.scheme), [part]):
                known = ", ".join(scheme(self.scheme).parts)
                raise ValueError(
                    f"{part!r} is not a contour of {self.scheme}; its parts are {known}"
                )
        if min(self.thresholds) <= 0:
            raise ValueError(
                f"thresholds are {list(self.thresholds)}; expected fractions above 0"
            )
        return self

    @property
    def threshold(self) -> float:
        """Return the main threshold of reports."""
        return self.thresholds[0]

    def indices(self) -> tuple[int, ...]:
        """Return the indices of the counted points in the scheme."""
        if self.points != "all":
            return self.points
        return tuple(range(len(scheme(self.scheme))))

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Return the counted points per part of the face; empty parts are omitted."""
        used = set(self.indices())
        found = {}
        for part, points in scheme(self.scheme).parts.items():
            counted = tuple(point for point in points if point in used)
            if counted:
                found[part] = counted
        return found

    def for_scheme(self, name: str) -> "Protocol":
        """Return this protocol applied to the points of scheme `name`.

        The norm is kept, or replaced by "box" if the scheme lacks the points it needs.

        Raises:
            ProtocolError: If the protocol fixes its scheme.
            SchemeError: If no scheme has that name.
        """
        target = scheme(name)
        name = target.name
        if name == self.scheme:
            return self
        if not self.any_scheme:
            raise ProtocolError(
                f"protocol {self.id!r} is scored on {self.scheme}, not on {name}; "
                "predictions are converted to it, or choose the protocol 'folder'"
            )
        known = {
            rule: pair
            for rule, pair in target.norm_points.items()
            if rule in POINT_NORMS
        }
        lacking = set(POINT_NORMS) - set(known)
        changes = {
            "scheme": name,
            "norm": "box" if self.norm in lacking else self.norm,
            "norm_points": known,
            "other_norms": [
                other for other in self.other_norms if other.norm not in lacking
            ],
        }
        return Protocol.model_validate(self.model_dump() | changes)

    def describe(self) -> list[str]:
        """Return the lines printed at the top of every report."""
        validation = ", the validation tenth" if self.select == "validation" else ""
        used = "all points"
        if self.points != "all":
            used = f"points {', '.join(map(str, self.points))}"
        made = f" derived from {self.truth_from}" if self.truth_from else ""
        limits = ", ".join(f"{100 * threshold:g} %" for threshold in self.thresholds)
        lines = [
            f"{self.id}: {self.title}",
            f"data      {self.data} {self.part}{validation} ({self._count()})",
            f"points    {self.scheme}{made}, {used}; {self.visibility} points count",
            f"norm      {describe_norm(self.norm, self.norm_points)}, as annotated",
            f"failure   error above {limits}",
            f"missed    {self.miss_rule}",
        ]
        if self.convention:
            x, y = (100 * part for part in self.convention.shift)
            lines.append(
                f"shift     ({x:.2f}, {y:.2f}) % of the norm, along x and y of the image, added to "
                f"predictions for shift-corrected errors; {self.convention.fitted_by}"
            )
        if self.contours:
            lines.append(
                f"contours  {', '.join(self.contours)}: across is the distance to the polyline of "
                "the true points, along the rest of the error"
            )
        if self.truth_box == "given":
            lines.append("boxes     of true faces: the data set's own")
        if self.occluded == "half":
            lines.append(
                "occluded  half of every face, along a line drawn from the image's name"
            )
        return lines

    def _count(self) -> str:
        if self.faces:
            return f"{self.faces:,} faces"
        return f"{self.videos} videos" if self.videos else "any number"


def describe_norm(rule: str, norm_points: NormPoints) -> str:
    """Return a description of a norm, one of NORMS."""
    if rule in POINT_NORMS:
        first, second = (", ".join(map(str, group)) for group in norm_points[rule])
        return f"{rule}: from the center of {first} to that of {second}"
    return NORM_SENTENCES[rule]


@cache
def _load(path: Path) -> Protocol:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProtocolError(
            f"{path}: cannot be read as a protocol ({error}); expected a TOML file"
        ) from error
    return make_protocol({"id": path.stem, **table}, str(path))


def make_protocol(table: dict[str, Any], source: str) -> Protocol:
    """Return the protocol in `table`, read from the file `source`.

    Raises:
        ProtocolError: If a key is unknown (suggesting the nearest one) or a value is invalid.
    """
    table = _resolve_scheme_file(table, source)
    own = table.get("scheme") in scheme_names() and table["scheme"] not in NAMES
    if own and "norm_points" not in table:
        norms = scheme(table["scheme"]).norm_points
        used = {rule: norms[rule] for rule in norms if rule == table.get("norm")}
        table = table | {"norm_points": used}
    try:
        return Protocol.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            tables: dict[str, type[_Frozen]] = {
                "subsets": Subset,
                "other_norms": OtherNorm,
                "convention": Convention,
            }
            known = tables.get(str(first["loc"][0]), Protocol).model_fields
            hint = did_you_mean(str(first["loc"][-1]), known)
            raise ProtocolError(f"{source}: unknown key {key!r}; {hint}") from error
        raise ProtocolError(
            f"{source}: {key + ': ' if key else ''}{first['msg']}; correct the protocol"
        ) from error


def _resolve_scheme_file(table: dict[str, Any], source: str) -> dict[str, Any]:
    """Return `table` with the .toml file of a scheme replaced by the scheme's name."""
    named = table.get("scheme")
    if not isinstance(named, str) or not named.endswith(SUFFIX):
        return table
    near = Path(source).parent / named
    try:
        return table | {"scheme": check_scheme(str(near if near.is_file() else named))}
    except SchemeError as error:
        raise ProtocolError(f"{source}: {error}") from error


def protocol(name: str) -> Protocol:
    """Return the protocol called `name`, or read it from a file ending in .toml.

    Raises:
        ProtocolError: If no protocol has that name, or the file is broken.
    """
    if name in PROTOCOLS:
        path = files("lineament") / f"tables/protocols/{name}.toml"
        return _load(Path(str(path)))
    if name.endswith(".toml"):
        return _load(Path(name).absolute())
    raise ProtocolError(f"unknown protocol {name!r}; {did_you_mean(name, PROTOCOLS)}")


def resolve_protocol(given: str | Protocol) -> Protocol:
    """Return `given` if it is a protocol, otherwise the protocol with that name.

    Raises:
        ProtocolError: If no protocol has that name.
    """
    return given if isinstance(given, Protocol) else protocol(given)
