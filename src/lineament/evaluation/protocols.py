"""Protocol: what a figure means: which faces, which points, divided by what, failed above what.

Read from tables/protocols/<id>.toml, and printed in every report.
"""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..data.sample import Sample
from ..errors import ProtocolError, did_you_mean
from ..schemes import scheme
from .metrics import POINT_NORMS

Norm = Literal["interocular", "interpupil", "box", "diagonal", "given-box"]
Threshold = float

PROTOCOLS = (
    "300w-common",
    "300w-challenging",
    "300w-full",
    "300w-test",
    "300w-test-indoor",
    "300w-test-outdoor",
    "300w-val",
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
    "folder",
)

MISSED = (
    "a face is found where the predicted box of greatest overlap has an IoU of at least 0.3 with the tight box of its "
    "landmarks; a missed face counts as a failure and adds nothing to the area; means are over the faces found"
)
MATCH_IOU = 0.3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subset(_Frozen):
    """A part of the faces that is also scored by itself."""

    name: str
    """What the report calls it."""
    faces: int | None = None
    """Its official count."""
    attribute: str = ""
    """The attribute that its faces have."""
    folders: tuple[str, ...] = ()
    """Or: the `Sample.subset`s that it consists of."""

    def has(self, sample: Sample) -> bool:
        """Whether `sample` belongs to it."""
        if self.attribute:
            return bool(sample.attributes.get(self.attribute, False))
        return sample.subset in self.folders


class AlsoNorm(_Frozen):
    """A second normalizer, scored beside the first."""

    norm: Norm
    """The rule of the length divided by."""
    threshold: Threshold = Field(gt=0)
    """Where its failures begin and its area ends."""


class Protocol(_Frozen):
    """What a figure means. Two figures compare only where all of this is equal."""

    id: str
    """What reports and commands call it."""
    title: str
    """One sentence: which faces, as who reports them."""
    data: str
    """The data set, by its reader's name."""
    part: str
    """The part of the data set."""
    select: Literal["all", "validation"] = "all"
    """"validation" keeps the tenth of the part on which everything is chosen."""
    faces: int | None = None
    """The official number of faces; None where the protocol takes any."""
    videos: int | None = None
    """The official number of videos, for a set of videos."""
    scheme: str
    """The point set of the truth; predictions in another are converted, and the report says so."""
    any_scheme: bool = False
    """Whether the scheme may be chosen with the data."""
    points: tuple[int, ...] | Literal["all"] = "all"
    """The points that count, by their number in the scheme."""
    norm: Norm
    """The rule of the length that errors are divided by, measured on the whole true annotation."""
    norm_points: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    """For interocular and interpupil: the two groups of points between whose centres is measured."""
    thresholds: tuple[Threshold, ...] = Field(min_length=1)
    """Where failures begin and areas end, as fractions; the first is the one reports lead with."""
    visibility: Literal["annotated", "visible"] = "annotated"
    """"annotated": every annotated point counts, hidden or not; "visible": only those marked visible."""
    hidden: Literal["nothing", "half"] = "nothing"
    """"half": a plain color covers half of every face, along a line drawn from the picture's name."""
    also: tuple[AlsoNorm, ...] = ()
    """Other normalizers scored beside."""
    subsets: tuple[Subset, ...] = ()
    """Parts of the faces that are also scored by themselves."""
    missed: str = MISSED
    """When a face counts as missed, and as what."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        count = len(scheme(self.scheme))
        used = self.indices() if self.points != "all" else ()
        groups = [point for pair in self.norm_points.values() for group in pair for point in group]
        beyond = [point for point in (*used, *groups) if not 0 <= point < count]
        if beyond:
            raise ValueError(
                f"point {beyond[0]} is not in {self.scheme}, whose points are 0 to {count - 1}"
            )
        for rule in (self.norm, *(also.norm for also in self.also)):
            if rule in POINT_NORMS and rule not in self.norm_points:
                raise ValueError(f"norm_points has no {rule!r}, which the protocol divides by")
        if any(threshold <= 0 for threshold in self.thresholds):
            raise ValueError(f"thresholds are {list(self.thresholds)}; wanted fractions above 0")
        return self

    @property
    def threshold(self) -> float:
        """The threshold that reports lead with."""
        return self.thresholds[0]

    def indices(self) -> tuple[int, ...]:
        """The points that count, by their number in the scheme."""
        return tuple(range(len(scheme(self.scheme)))) if self.points == "all" else self.points

    def parts(self) -> dict[str, tuple[int, ...]]:
        """The points that count, by part of the face; parts without any are left out."""
        used = set(self.indices())
        parts = {
            part: tuple(p for p in points if p in used)
            for part, points in scheme(self.scheme).parts.items()
        }
        return {part: points for part, points in parts.items() if points}

    def for_scheme(self, name: str) -> "Protocol":
        """This protocol on points of the scheme `name`; its own norm, or the box's where that scheme cannot measure it.

        Raises: ProtocolError where the protocol fixes its scheme; SchemeError for an unknown one.
        """
        wanted = scheme(name)
        if name == self.scheme:
            return self
        if not self.any_scheme:
            raise ProtocolError(
                f"protocol {self.id!r} is scored on {self.scheme}, not on {name}; predictions are converted to it, "
                "or choose the protocol 'folder'"
            )
        known = {rule: pair for rule, pair in wanted.norm_points.items() if rule in POINT_NORMS}
        norm = self.norm if self.norm not in POINT_NORMS or self.norm in known else "box"
        also = tuple(
            other for other in self.also if other.norm not in POINT_NORMS or other.norm in known
        )
        settings = self.model_dump() | {
            "scheme": name,
            "norm": norm,
            "norm_points": known,
            "also": also,
        }
        return Protocol.model_validate(settings)

    def describe(self) -> list[str]:
        """The lines that every printed report opens with."""
        chosen = ", the validation tenth" if self.select == "validation" else ""
        count = (
            f"{self.faces:,} faces"
            if self.faces
            else f"{self.videos} videos"
            if self.videos
            else "any number"
        )
        used = (
            "all points" if self.points == "all" else f"points {', '.join(map(str, self.points))}"
        )
        limits = ", ".join(f"{100 * threshold:g} %" for threshold in self.thresholds)
        return [
            f"{self.id}: {self.title}",
            f"data      {self.data} {self.part}{chosen} ({count})",
            f"points    {self.scheme}, {used}; {self.visibility} points count",
            f"norm      {describe_norm(self.norm, self.norm_points)}, of the true annotation",
            f"failure   error above {limits}",
            f"missed    {self.missed}",
            *(
                ["hidden    half of every face, along a line drawn from the picture's name"]
                if self.hidden == "half"
                else []
            ),
        ]


def describe_norm(
    rule: str, norm_points: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
) -> str:
    """The words for a normalizer."""
    if rule in POINT_NORMS:
        a, b = (", ".join(map(str, group)) for group in norm_points[rule])
        return f"{rule}: from the center of {a} to that of {b}"
    return {
        "box": "box: root of the area of the tight box of the landmarks",
        "diagonal": "diagonal of the tight box of the landmarks",
        "given-box": "given-box: root of the area of the data set's own box",
    }[rule]


@cache
def _load(path: Path) -> Protocol:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProtocolError(
            f"{path}: cannot be read as a protocol ({error}); wanted a TOML file"
        ) from error
    return make_protocol({"id": path.stem, **table}, str(path))


def make_protocol(table: dict[str, Any], source: str) -> Protocol:
    """The protocol that `table` states.    Raises: ProtocolError, naming `source`, with the nearest key."""
    try:
        return Protocol.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            tables: dict[str, type[_Frozen]] = {"subsets": Subset, "also": AlsoNorm}
            within = tables.get(str(first["loc"][0]), Protocol)
            hint = did_you_mean(str(first["loc"][-1]), within.model_fields)
            raise ProtocolError(f"{source}: unknown key {where!r}; {hint}") from error
        raise ProtocolError(
            f"{source}: {where + ': ' if where else ''}{first['msg']}; mend the protocol"
        ) from error


def count_note(protocol: Protocol, samples: Sequence[Sample]) -> str:
    """An empty text where `samples` are as many as the protocol fixes, else one plain line that says what is short."""
    if protocol.videos is not None:
        videos = len({sample.image for sample in samples})
        return (
            ""
            if videos == protocol.videos
            else f"{videos} of the official {protocol.videos} videos are here"
        )
    if protocol.faces is None or len(samples) == protocol.faces:
        return ""
    return f"{len(samples)} of the official {protocol.faces} faces are here"


def protocol(name: str) -> Protocol:
    """The protocol called `name`, or that of a file that ends in .toml.

    Raises: ProtocolError for an unknown name or a broken file.
    """
    if name in PROTOCOLS:
        return _load(Path(str(files("lineament").joinpath(f"tables/protocols/{name}.toml"))))
    if name.endswith(".toml"):
        return _load(Path(name).absolute())
    raise ProtocolError(f"no protocol is called {name!r}; {did_you_mean(name, PROTOCOLS)}")


def named(given: str | Protocol) -> Protocol:
    """`given` itself, or the protocol it names.    Raises: ProtocolError for an unknown name."""
    return given if isinstance(given, Protocol) else protocol(given)


def chosen(fixed: Protocol, samples: Sequence[Sample]) -> list[Sample]:
    """Those of `samples` that the protocol selects.    Raises: ProtocolError for none, or another scheme."""
    kept = [sample for sample in samples if fixed.select == "all" or sample.is_validation()]
    if not kept:
        raise ProtocolError(
            f"protocol {fixed.id!r} selects none of the {len(samples)} faces given; "
            f"give the {fixed.part!r} part of the data set {fixed.data!r}"
        )
    for sample in kept:
        if sample.scheme != fixed.scheme:
            raise ProtocolError(
                f"{sample.name} has {sample.scheme} points, protocol {fixed.id!r} is scored on {fixed.scheme}; "
                "give the data of that protocol, or choose the protocol 'folder' with that scheme"
            )
    return kept
