"""Report: what an evaluation found. Written and read as JSON (fractions), printed and compared as tables (percents)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..atomic import atomic_path
from ..data.sample import bare_name
from ..errors import ProtocolError
from .metrics import Calibration
from .protocols import Protocol


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rates(_Frozen):
    """What is said of many errors at one threshold."""

    threshold: float
    """Where failures begin and the area ends, a fraction of the norm."""
    nme: float | None
    """Mean over the faces found; None where every one was missed."""
    failure_rate: float
    """The share of all faces whose error is above the threshold."""
    auc: float
    """The area under the cumulative error distribution up to the threshold, over the threshold."""


class SubsetScore(Rates):
    """The rates of a part of the faces."""

    images: int
    missed: int


class Bin(_Frozen):
    """The points whose stated sigma is much alike."""

    points: int
    sigma: float
    """Mean stated sigma, a fraction of the norm."""
    error: float
    """Mean true error, a fraction of the norm."""


class Reliability(_Frozen):
    """Whether the stated `sigma_px` foretells the error."""

    points: int
    under: dict[float, float]
    """k -> the share of points whose error lies under k sigma."""
    expected_under: dict[float, float]
    """k -> that share, were the errors round Gaussians."""
    bins: tuple[Bin, ...]
    ece: float
    """Expected calibration error, a fraction of the norm."""
    ece_relative: float
    """The same over the mean error."""

    @classmethod
    def of(cls, found: Calibration) -> "Reliability":
        """The same figures, as they are written."""
        rows = zip(
            found.bin_points.tolist(),
            found.bin_sigma.tolist(),
            found.bin_error.tolist(),
            strict=True,
        )
        return cls(
            points=found.points,
            under=found.under,
            expected_under=found.expected_under,
            bins=tuple(Bin(points=n, sigma=sigma, error=error) for n, sigma, error in rows),
            ece=found.ece,
            ece_relative=found.ece_relative,
        )


class ImageScore(_Frozen):
    """The error of one face."""

    image: str
    nme: float | None
    """None where the face was missed."""


class WorstFace(ImageScore):
    """One of the faces with the greatest error, with its picture."""

    picture: str
    """A JPEG in base64: truth green, prediction red."""


class Perturbed(_Frozen):
    """What the error becomes when the boxes are changed."""

    kind: str
    """shift_x, shift_y (fractions of the box's longer side), scale (a factor) or roll (degrees)."""
    amount: float
    nme: float | None
    failure_rate: float


class Report(_Frozen):
    """What an evaluation found. Every rate is a fraction."""

    protocol: str
    """The id of the protocol."""
    images: int
    """The faces scored, each once."""
    missed: int
    """How many of them were not found."""
    nme: float | None
    """The mean error over the faces found."""
    failure_rate: float
    """At `threshold`."""
    auc: float
    """At `threshold`."""
    threshold: float
    """The protocol's first threshold."""
    per_part: dict[str, float]
    """The mean error by part of the face."""
    per_landmark: tuple[float | None, ...]
    """The mean error of each point of the protocol, in its order; None where no face has it annotated."""
    per_subset: dict[str, SubsetScore]
    ms_per_face: float | None = None
    """The median of predict's time a face in milliseconds, without its first call; None for a file of predictions."""
    at: tuple[Rates, ...]
    """The rates at each threshold of the protocol."""
    also: dict[str, Rates]
    """The rates by the protocol's other norms."""
    reliability: Reliability | None = None
    """None where no sigma was stated."""
    model: str = ""
    """What predicted."""
    boxes: str
    """"truth", "detected", or "file" for predictions made elsewhere."""
    converted_from: str = ""
    """The scheme the predictions were in, where it is not the protocol's."""
    notes: tuple[str, ...] = ()
    """What a reader has to know: a part of the data that is absent, interpolated points."""
    fingerprint: str
    """A hash of the true points, whatever their order: equal where two reports scored the same annotations."""
    version: str
    """The version of this package."""
    settings: Protocol
    """The whole protocol."""
    per_image: tuple[ImageScore, ...]
    worst: tuple[WorstFace, ...] = ()
    """Greatest error first; missed faces lead."""
    perturbation: tuple[Perturbed, ...] = ()

    def errors(self) -> list[float]:
        """The error of each face, in the order of `per_image`; inf for a missed one."""
        return [float("inf") if face.nme is None else face.nme for face in self.per_image]


def write_report(report: Report, path: str | os.PathLike[str]) -> Path:
    """Where `report` was written as JSON: beside, then renamed."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as beside:
        beside.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return target


def read_report(path: str | os.PathLike[str]) -> Report:
    """The report in the JSON file `path`.    Raises: ProtocolError where it is absent or not a report."""
    try:
        return Report.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(
            f"{path}: cannot be read ({error}); wanted a report written by evaluate or score"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ProtocolError(
            f"{path}: not a report ({where + ': ' if where else ''}{first['msg']}); "
            "wanted the JSON file written by evaluate or score of this version"
        ) from error


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns: the first flush left, the others flush right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for row in (head, *rows):
        first, *rest = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _percent(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def _rates_head(thresholds: Sequence[float]) -> list[str]:
    return [f"{what}@{100 * t:g}" for t in thresholds for what in ("FR", "AUC")]


def _rates_cells(rates: Sequence[Rates]) -> list[str]:
    return [cell for rate in rates for cell in (_percent(rate.failure_rate), _percent(rate.auc, 2))]


def format_report(report: Report) -> str:
    """The report as a table; errors and rates are percentages."""
    lines = [*report.settings.describe(), ""]
    lines.append(f"{report.model or 'predictions'}, boxes: {report.boxes}")
    lines += [f"NOTE: {note}" for note in report.notes]
    lines.append("")
    head = ["faces", "images", "missed", "NME %", *_rates_head(report.settings.thresholds)]
    rows = [
        [
            "all",
            str(report.images),
            str(report.missed),
            _percent(report.nme),
            *_rates_cells(report.at),
        ]
    ]
    for name, score in report.per_subset.items():
        blank = [""] * (2 * len(report.at) - 2)
        rows.append(
            [
                name,
                str(score.images),
                str(score.missed),
                _percent(score.nme),
                *_rates_cells([score]),
                *blank,
            ]
        )
    lines += [*_table(head, rows), ""]
    if report.also:
        rows = [
            [rule, _percent(rate.nme), f"{100 * rate.threshold:g}", *_rates_cells([rate])]
            for rule, rate in report.also.items()
        ]
        lines += [*_table(["other norm", "NME %", "at %", "FR", "AUC"], rows), ""]
    lines += [
        *_table(
            ["part", "NME %"], [[part, _percent(value)] for part, value in report.per_part.items()]
        ),
        "",
    ]
    if report.reliability:
        lines += _reliability_lines(report.reliability)
    if report.perturbation:
        rows = [
            [p.kind, f"{p.amount:g}", _percent(p.nme), _percent(p.failure_rate)]
            for p in report.perturbation
        ]
        lines += [*_table(["box changed", "by", "NME %", "FR %"], rows), ""]
    if report.ms_per_face is not None:
        lines.append(f"{report.ms_per_face:.2f} ms a face (median, of the whole call)")
    return "\n".join(lines).rstrip() + "\n"


def _reliability_lines(found: Reliability) -> list[str]:
    rows = [
        [f"under {k:g} sigma", _percent(v, 1), _percent(found.expected_under[k], 1)]
        for k, v in found.under.items()
    ]
    return [
        *_table([f"{found.points:,} points", "%", "Gaussian %"], rows),
        f"expected calibration error {_percent(found.ece)} % of the norm, "
        f"{_percent(found.ece_relative, 1)} % of the mean error",
        "",
    ]


@dataclass(frozen=True)
class Comparison:
    """Reports of one protocol, side by side."""

    names: tuple[str, ...]
    reports: tuple[Report, ...]
    notes: tuple[str, ...]
    """What keeps the figures from being quite alike."""

    def table(self) -> str:
        """The comparison as text; errors and rates are percentages."""
        first = self.reports[0]
        parts = list(first.per_part)
        head = [
            "model",
            "boxes",
            "images",
            "missed",
            "NME %",
            *_rates_head(first.settings.thresholds),
            "ms",
            *parts,
        ]
        rows = []
        for name, report in zip(self.names, self.reports, strict=True):
            ms = "-" if report.ms_per_face is None else f"{report.ms_per_face:.2f}"
            by_part = [_percent(report.per_part.get(part), 2) for part in parts]
            counts = [report.boxes, str(report.images), str(report.missed)]
            rows.append(
                [name, *counts, _percent(report.nme), *_rates_cells(report.at), ms, *by_part]
            )
        notes = [f"NOTE: {note}" for note in self.notes]
        return "\n".join([*first.settings.describe(), *notes, "", *_table(head, rows), ""])


def compare(reports: Sequence[Report], names: Sequence[str] | None = None) -> Comparison:
    """`reports` side by side, called by `names` or by their models.

    Raises: ProtocolError for fewer than two, for unlike protocols, or for unlike faces.
    """
    called = (
        tuple(names) if names else tuple(r.model or f"report {i}" for i, r in enumerate(reports, 1))
    )
    if len(reports) < 2 or len(called) != len(reports):
        raise ProtocolError(
            f"{len(reports)} reports and {len(called)} names; wanted two reports or more, each with one name"
        )
    first = reports[0]
    for name, report in zip(called[1:], reports[1:], strict=True):
        _check_alike(called[0], first, name, report)
    notes = [
        f"{name}: {note}"
        for name, report in zip(called, reports, strict=True)
        for note in report.notes
    ]
    if len({report.boxes for report in reports}) > 1:
        notes.append("the boxes differ: truth boxes flatter a model")
    if len({report.fingerprint for report in reports}) > 1:
        notes.append("the true points are not the same numbers (other copies of the images?)")
    return Comparison(called, tuple(reports), tuple(notes))


def _check_alike(first_name: str, first: Report, name: str, report: Report) -> None:
    both = f"{first_name!r} is of protocol {first.protocol!r}, {name!r} of {report.protocol!r}"
    if report.protocol != first.protocol:
        raise ProtocolError(
            f"{both}; figures of unlike protocols do not compare: evaluate both on one"
        )
    if report.settings != first.settings:
        a, b = first.settings.model_dump(), report.settings.model_dump()
        differ = [key for key in a if a[key] != b[key]]
        raise ProtocolError(
            f"{both}, but their {', '.join(differ)} differ; evaluate both anew on one version of it"
        )
    if report.images != first.images:
        counts = f"{first_name!r} has {first.images} faces, {name!r} has {report.images}"
        raise ProtocolError(
            f"{counts}; figures of unlike faces do not compare: evaluate both on the same data"
        )
    # other copies of the images have other numbers: then all faces are there, or they are called the same
    whole = first.settings.faces == first.images
    official = first.settings.faces is not None or first.settings.videos is not None
    alike = {bare_name(one.image) for one in report.per_image} == {
        bare_name(one.image) for one in first.per_image
    }
    if report.fingerprint != first.fingerprint and not whole and not (official and alike):
        raise ProtocolError(
            f"{first_name!r} and {name!r} are of protocol {first.protocol!r} on different faces; "
            "evaluate both on the same folder"
        )
