"""Evaluation reports: JSON in fractions; tables and comparisons in percent."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..atomic import write_text
from ..data.sample import bare_name
from ..errors import ProtocolError, short_reason
from .contours import ContourError
from .metrics import Calibration
from .protocols import Protocol


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ErrorRates(_Frozen):
    """Summary of face errors at one threshold."""

    threshold: float
    """Failure threshold, and upper limit of the AUC, as a fraction of the norm."""
    nme: float | None
    """Mean over the detected faces; None if all were missed."""
    failure_rate: float
    """Fraction of all faces with an error above the threshold."""
    auc: float
    """Area under the CED up to the threshold, divided by the threshold."""


class SubsetScore(ErrorRates):
    """Error rates of a subset of faces."""

    images: int
    """Number of faces scored."""
    misses: int
    """Number of missed faces."""
    nme_in_convention: float | None = None
    """Mean shift-corrected error (see Convention); None if the protocol defines no shift."""


class ImageScore(_Frozen):
    """Error of one face."""

    image: str
    nme: float | None
    """Error of the face; None if it was missed."""


class WorstFace(ImageScore):
    """One of the faces with the largest errors, with a drawing."""

    jpeg: str
    """Crop as base64-encoded JPEG: truth in green, prediction in red."""


class Perturbed(_Frozen):
    """Error under one perturbation of the boxes, roll of the faces or change of the images."""

    kind: str
    """none, shift_x, shift_y (fraction of the longer box side), scale, roll (degrees), brightness
    (factor), blur (standard deviation as a fraction of the longer box side), glasses, or occlusion
    (fraction of the box)."""
    amount: float
    nme: float | None
    failure_rate: float


class Report(SubsetScore):
    """Result of an evaluation, at the main threshold; all rates are fractions."""

    protocol: str
    """Id of the protocol."""
    per_part: dict[str, float]
    """Mean error per part of the face."""
    per_landmark: tuple[float | None, ...]
    """Mean error per point of the protocol; None if it is never annotated."""
    per_subset: dict[str, SubsetScore]
    per_contour: dict[str, ContourError] = {}
    """Errors along and across the protocol's contours, per part."""
    contours: ContourError | None = None
    """The same errors over the points of all parts; None if there are none."""
    visibility_auc: float | None = None
    """Area under the ROC curve of predicted visibility; None if it is not predicted or not
    annotated."""
    ms_per_face: float | None = None
    """Median prediction time per face, without the first call; None for prediction files."""
    at_thresholds: tuple[ErrorRates, ...]
    """Error rates at each threshold of the protocol."""
    other_norms: dict[str, ErrorRates]
    """Error rates under the protocol's additional norms."""
    reliability: Calibration | None = None
    """Calibration of sigma; None if sigma was not predicted."""
    model: str = ""
    """Name of the model."""
    boxes: str
    """Source of the boxes: "truth", "detected", "tracked", or "file" for prediction files."""
    converted_from: str = ""
    """Scheme of the predictions if it differs from the protocol's."""
    notes: tuple[str, ...] = ()
    """Caveats, such as missing data and interpolated points."""
    fingerprint: str
    """Hash of the true landmarks, independent of their order."""
    version: str
    """Version of Lineament."""
    settings: Protocol
    """The complete protocol."""
    per_image: tuple[ImageScore, ...]
    worst: tuple[WorstFace, ...] = ()
    """Faces with the largest errors first, missed faces at the top."""
    perturbation: tuple[Perturbed, ...] = ()

    def errors(self) -> list[float]:
        """Return the errors in `per_image`; inf for missed faces."""
        return [
            float("inf") if face.nme is None else face.nme for face in self.per_image
        ]


def write_report(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write `report` as JSON, atomically, and return its path."""
    target = Path(path)
    write_text(target, report.model_dump_json(indent=1) + "\n")
    return target


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read a report from a JSON file.

    Raises:
        ProtocolError: If the file is missing or not a report of this version.
    """
    try:
        return Report.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(
            f"{path}: cannot be read ({short_reason(error)}); "
            "expected a report written by evaluate or score"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise ProtocolError(
            f"{path}: not a report ({key + ': ' if key else ''}{first['msg']}); "
            "expected the JSON file written by evaluate or score of this version"
        ) from error


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of aligned columns, the first one left-aligned; short rows are padded."""
    padded = [[*row, *[""] * (len(head) - len(row))] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*padded, strict=True)]
    lines = []
    for row in padded:
        cells = [row[0].ljust(widths[0])]
        for cell, width in zip(row[1:], widths[1:], strict=True):
            cells.append(cell.rjust(width))
        lines.append("  ".join(cells).rstrip())
    return lines


def _percent(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def _rates_head(thresholds: Sequence[float]) -> list[str]:
    head = []
    for threshold in thresholds:
        head += [f"FR@{100 * threshold:g}", f"AUC@{100 * threshold:g}"]
    return head


def _rates_cells(rates: Sequence[ErrorRates]) -> list[str]:
    cells = []
    for rate in rates:
        cells += [_percent(rate.failure_rate), _percent(rate.auc, 2)]
    return cells


def _score_head(protocol: Protocol) -> list[str]:
    means = ["NME %", *(["shift-corrected %"] if protocol.convention else [])]
    return ["images", "misses", *means, *_rates_head(protocol.thresholds)]


def _score_cells(
    score: SubsetScore, rates: Sequence[ErrorRates], protocol: Protocol
) -> list[str]:
    cells = [str(score.images), str(score.misses), _percent(score.nme)]
    if protocol.convention:
        cells.append(_percent(score.nme_in_convention))
    return [*cells, *_rates_cells(rates)]


def _part_rows(report: Report) -> list[list[str]]:
    """Return the rows of the table of parts, header first."""
    rows = [["part", "NME %", *(["along %", "across %"] if report.contours else [])]]
    for part, value in report.per_part.items():
        row, split = [part, _percent(value)], report.per_contour.get(part)
        if split:
            row += [_percent(split.along), _percent(split.across)]
        rows.append(row)
    if report.contours and len(report.per_contour) > 1:
        every = report.contours
        rows.append(["all contours", "", _percent(every.along), _percent(every.across)])
    return rows


def format_report(report: Report) -> str:
    """Return the report as a table; errors and rates are percentages."""
    lines = [*report.settings.describe(), ""]
    lines.append(f"{report.model or 'predictions'}, boxes: {report.boxes}")
    lines += [f"NOTE: {note}" for note in report.notes]
    fixed = report.settings
    rows = [["all", *_score_cells(report, report.at_thresholds, fixed)]]
    for name, score in report.per_subset.items():
        rows.append([name, *_score_cells(score, [score], fixed)])
    lines += ["", *_table(["faces", *_score_head(fixed)], rows), ""]
    if report.other_norms:
        rows = []
        for rule, rate in report.other_norms.items():
            limit = f"{100 * rate.threshold:g}"
            rows.append([rule, _percent(rate.nme), limit, *_rates_cells([rate])])
        lines += [*_table(["other norm", "NME %", "at %", "FR", "AUC"], rows), ""]
    head, *rows = _part_rows(report)
    lines += [*_table(head, rows), ""]
    if report.visibility_auc is not None:
        lines += [f"AUC of visibility {_percent(report.visibility_auc, 2)} %", ""]
    if report.reliability:
        lines += _reliability_lines(report.reliability)
    if report.perturbation:
        rows = []
        for p in report.perturbation:
            rows.append(
                [p.kind, f"{p.amount:g}", _percent(p.nme), _percent(p.failure_rate)]
            )
        lines += [*_table(["perturbation", "by", "NME %", "FR %"], rows), ""]
    if report.ms_per_face is not None:
        lines.append(f"{report.ms_per_face:.2f} ms per face (median of complete calls)")
    return "\n".join(lines).rstrip() + "\n"


def _reliability_lines(found: Calibration) -> list[str]:
    rows = []
    for k, fraction in found.under.items():
        expected = _percent(found.expected_under[k], 1)
        rows.append([f"within {k:g} sigma", _percent(fraction, 1), expected])
    return [
        *_table([f"{found.points:,} points", "%", "Gaussian %"], rows),
        f"expected calibration error {_percent(found.ece)} % of the norm, "
        f"{_percent(found.ece_relative, 1)} % of the mean error",
        "",
    ]


@dataclass(frozen=True)
class Comparison:
    """Reports under one protocol, side by side."""

    names: tuple[str, ...]
    reports: tuple[Report, ...]
    notes: tuple[str, ...]
    """Differences that limit comparability."""

    def table(self) -> str:
        """Return the comparison as text; errors and rates are percentages."""
        first = self.reports[0]
        fixed, parts = first.settings, list(first.per_part)
        head = ["model", "boxes", *_score_head(fixed), "ms", *parts]
        for part in first.per_contour:
            head += [f"{part} along", f"{part} across"]
        rows = []
        for name, report in zip(self.names, self.reports, strict=True):
            ms = "-" if report.ms_per_face is None else f"{report.ms_per_face:.2f}"
            by_part = [_percent(report.per_part.get(part), 2) for part in parts]
            for split in report.per_contour.values():
                by_part += [_percent(split.along, 2), _percent(split.across, 2)]
            scores = _score_cells(report, report.at_thresholds, fixed)
            rows.append([name, report.boxes, *scores, ms, *by_part])
        notes = [f"NOTE: {note}" for note in self.notes]
        return "\n".join(
            [*first.settings.describe(), *notes, "", *_table(head, rows), ""]
        )


def compare(
    reports: Sequence[Report], names: Sequence[str] | None = None
) -> Comparison:
    """Compare reports side by side.

    Args:
        reports: At least two reports under one protocol on the same faces.
        names: Name of each report; None: their models.

    Raises:
        ProtocolError: If there are fewer than two, or their protocols or faces differ.
    """
    if not names:
        names = [report.model or f"report {i}" for i, report in enumerate(reports, 1)]
    if len(reports) < 2 or len(names) != len(reports):
        raise ProtocolError(
            f"{len(reports)} reports and {len(names)} names; "
            "expected two reports or more, each with one name"
        )
    for name, report in zip(names[1:], reports[1:], strict=True):
        _check_alike(names[0], reports[0], name, report)
    notes = []
    for name, report in zip(names, reports, strict=True):
        notes += [f"{name}: {note}" for note in report.notes]
    if len({report.boxes for report in reports}) > 1:
        notes.append("the boxes differ: ground-truth boxes give lower errors")
    if len({report.fingerprint for report in reports}) > 1:
        notes.append("the true points differ (other copies of the images?)")
    return Comparison(tuple(names), tuple(reports), tuple(notes))


def _check_alike(first_name: str, first: Report, name: str, report: Report) -> None:
    """Raise ProtocolError if two reports are not comparable."""
    both = f"{first_name!r} is of protocol {first.protocol!r}, {name!r} of {report.protocol!r}"
    if report.protocol != first.protocol:
        raise ProtocolError(
            f"{both}; results of different protocols cannot be compared: evaluate both "
            "under the same one"
        )
    if report.settings != first.settings:
        a, b = first.settings.model_dump(), report.settings.model_dump()
        differ = [key for key in a if a[key] != b[key]]
        raise ProtocolError(
            f"{both}, but their {', '.join(differ)} differ; evaluate both again with "
            "one version of the protocol"
        )
    if report.images != first.images:
        counts = (
            f"{first_name!r} has {first.images} faces, {name!r} has {report.images}"
        )
        raise ProtocolError(
            f"{counts}; results on different faces cannot be compared: evaluate both "
            "on the same data"
        )
    if report.fingerprint != first.fingerprint and not _same_faces(first, report):
        raise ProtocolError(
            f"{first_name!r} and {name!r} are of protocol {first.protocol!r} on different faces; "
            "evaluate both on the same folder"
        )


def _same_faces(first: Report, report: Report) -> bool:
    """Return True if reports with different annotations are on copies of the same images.

    This is the case if both have all faces of the protocol, or official faces with equal names.
    """
    protocol = first.settings
    if protocol.faces == first.images:
        return True
    official = protocol.faces is not None or protocol.videos is not None
    names = [{bare_name(face.image) for face in r.per_image} for r in (first, report)]
    return official and names[0] == names[1]
