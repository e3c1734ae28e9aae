"""Scoring of another system's predictions, a JSON list of {"image", "pred", "truth"}."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..data.sample import Sample, bare_name
from ..errors import InputError, ProtocolError, short_reason
from ..geometry import Array, as_boxes
from ..schemes import scheme
from .accumulator import ErrorAccumulator
from .prediction_hints import fraction_error_message, scored_pairs, shift_warning
from .protocol_faces import select_samples
from .protocols import Protocol, resolve_protocol
from .report import Report

EXPECTED = 'expected a JSON list of {"image": name, "pred": [[x, y], ...], "truth": [[x, y], ...]}'

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Prediction:
    """One row of a prediction file, in pixels of the image; None for missing entries."""

    image: str
    pred: Array | None
    """(N, 2), or None for a missed face."""
    truth: Array | None
    sigma_px: Array | None
    visible: Array | None
    box: Array | None


def read_predictions(path: PathLike, protocol: Protocol) -> list[Prediction]:
    """Read the rows of a prediction file.

    Args:
        path: JSON file. Each row has "image" and "pred" (null for a missed face), and
            may have "truth" (points null if not annotated), "sigma_px", "visible" and
            "box" (the data set's own). Other keys are ignored.
        protocol: Protocol whose scheme the points have.

    Raises:
        ProtocolError: If the file or a row is malformed, a number of points is wrong, a
            value is not finite, or an image occurs twice.
    """
    try:
        rows = json.loads(Path(path).read_bytes())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ProtocolError(
            f"{path}: cannot be read as JSON ({short_reason(error)}); {EXPECTED}"
        ) from error
    if not isinstance(rows, list):
        raise ProtocolError(
            f"{path}: contains a value of type {type(rows).__name__}; {EXPECTED}"
        )
    if not rows:
        raise ProtocolError(f"{path}: contains an empty list; {EXPECTED}")
    found = [
        _row(row, f"{path}: row {number}", protocol) for number, row in enumerate(rows)
    ]
    found = _numbered(found)
    _check_unique((row.image for row in found), path)
    return found


def _numbered(rows: list[Prediction]) -> list[Prediction]:
    """Rename the second face of an image to NAME#2 and so on, if all truths differ."""
    by_name: dict[str, list[Prediction]] = {}
    for row in rows:
        by_name.setdefault(row.image, []).append(row)
    names: dict[int, str] = {}
    for name, group in by_name.items():
        truths = {None if row.truth is None else row.truth.tobytes() for row in group}
        if len(truths) < len(group) or None in truths:
            continue
        for number, row in enumerate(group[1:], 2):
            names[id(row)] = f"{name}#{number}"
    return [replace(row, image=names.get(id(row), row.image)) for row in rows]


def _check_unique(names: Iterable[str], path: PathLike) -> None:
    """Raise ProtocolError if a name repeats."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ProtocolError(
            f"{path}: {_list(repeated)} named more than once; expected one row per "
            "face: call the second face of an image NAME#2, in the order of the data's "
            "list"
        )


def _row(row: Any, where: str, protocol: Protocol) -> Prediction:
    if not isinstance(row, dict):
        raise ProtocolError(f"{where} is of type {type(row).__name__}; {EXPECTED}")
    image = row.get("image")
    if not isinstance(image, str) or not image:
        raise ProtocolError(f'{where} has no "image"; {EXPECTED}')
    where = f"{where} ({image})"
    if "pred" not in row:
        raise ProtocolError(
            f'{where} has no "pred"; expected the predicted points, or null for a missed '
            "face"
        )
    count = len(scheme(protocol.scheme))
    try:
        box = None if row.get("box") is None else as_boxes(row["box"])[0]
    except (InputError, TypeError, ValueError, IndexError) as error:
        raise ProtocolError(f"{where}: box: {error}") from error
    return Prediction(
        image=image,
        pred=_numbers(row["pred"], (count, 2), f"{where}: pred", protocol),
        truth=_numbers(
            row.get("truth"), (count, 2), f"{where}: truth", protocol, gaps=True
        ),
        sigma_px=_numbers(
            row.get("sigma_px"), (count,), f"{where}: sigma_px", protocol
        ),
        visible=_numbers(row.get("visible"), (count,), f"{where}: visible", protocol),
        box=box,
    )


def _numbers(
    value: Any,
    shape: tuple[int, ...],
    where: str,
    protocol: Protocol,
    gaps: bool = False,
) -> Array | None:
    """Return `value` as an array, None for null; with `gaps`, single points may be null."""
    if value is None:
        return None
    if gaps and isinstance(value, list):
        value = [[np.nan] * 2 if point is None else point for point in value]
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProtocolError(
            f"{where} is not an array of numbers ({error}); expected {shape}"
        ) from error
    if array.shape != shape:
        raise ProtocolError(
            f"{where} has shape {array.shape}; protocol {protocol.id!r} expects {shape}, "
            f"one row for each point of {protocol.scheme}"
        )
    bad = np.isinf(array) if gaps else ~np.isfinite(array)
    if bad.any():
        raise ProtocolError(
            f"{where} has {int(bad.sum())} values that are not finite; "
            "expected numbers in pixels"
        )
    return array


def _list(names: Sequence[str]) -> str:
    """Return the first three names and the number of the others, followed by a verb."""
    listed = ", ".join(map(repr, names[:3]))
    if len(names) > 3:
        return f"{listed} and {len(names) - 3} more are"
    return f"{listed} is" if len(names) == 1 else f"{listed} are"


class _SampleIndex:
    """Looks up samples by their full name, its end, or either of these without suffix."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._by_end: dict[str, Sample | None] = {}
        self._by_bare_end: dict[str, Sample | None] = {}
        for sample in samples:
            for end in _ends(sample.name):
                bare = bare_name(end)
                # an end shared by two samples is ambiguous
                self._by_end[end] = None if end in self._by_end else sample
                shared = bare in self._by_bare_end
                self._by_bare_end[bare] = None if shared else sample
        for sample in samples:
            self._by_end[sample.name] = sample

    def find(self, name: str) -> Sample | None:
        ends = _ends(name.replace("\\", "/"))
        for end in ends:
            sample = self._by_end.get(end)
            if sample is not None:
                return sample
        for end in ends:
            # predictions may have been made on .jpg copies of .png images
            sample = self._by_bare_end.get(bare_name(end))
            if sample is not None:
                return sample
        return None


def _ends(name: str) -> list[str]:
    """Return a path and its trailing parts, longest first."""
    parts = PurePosixPath(name).parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def score_predictions(
    protocol: str | Protocol,
    path: PathLike,
    samples: Sequence[Sample] | None = None,
    *,
    allow_missing: bool = False,
    model: str = "",
    notes: Sequence[str] = (),
) -> Report:
    """Score the predictions in a JSON file.

    Args:
        protocol: Protocol, or its name.
        path: JSON file, see `read_predictions`.
        samples: The protocol's faces, see `needs_samples`. If given, each must have a
            prediction, and the report includes subsets.
        allow_missing: Accept a file with missing faces; the report mentions them.
        model: Name of the system in the report; default: the file's stem.
        notes: Additional notes for the report.

    Raises:
        ProtocolError: If the file, a row or the images do not fit the protocol.
    """
    fixed = resolve_protocol(protocol)
    rows = read_predictions(path, fixed)
    known = None if samples is None else select_samples(fixed, samples)
    paired = _pair(rows, known, fixed, path)
    short = _check_complete(paired, known, fixed, path, allow_missing)
    errors = ErrorAccumulator(fixed)
    complete = [(_completed(row, sample), sample) for row, sample in paired]
    pairs = scored_pairs((row.pred, row.truth) for row, _ in complete)
    if fault := fraction_error_message(pairs):
        raise ProtocolError(f"{path}: {fault}")
    for row, sample in complete:
        _add(errors, row, sample, path)
    return errors.report(
        boxes="file",
        model=model or Path(path).stem,
        notes=(*notes, *filter(None, [short, shift_warning(pairs)])),
    )


def _completed(row: Prediction, sample: Sample | None) -> Prediction:
    """Return `row` with missing truth, visibility and box taken from `sample`."""
    if sample is None:
        return row
    visible = None if sample.visible is None else sample.visible.astype(np.float64)
    return replace(
        row,
        truth=sample.landmarks if row.truth is None else row.truth,
        visible=visible if row.visible is None else row.visible,
        box=sample.box if row.box is None else row.box,
    )


def _add(
    errors: ErrorAccumulator, row: Prediction, sample: Sample | None, path: PathLike
) -> None:
    fixed = errors.protocol
    if row.truth is None:
        raise ProtocolError(
            f"{path}: {row.image!r} has no truth; "
            f"give it in the file, or the data of protocol {fixed.id!r} with --data"
        )
    subsets = []
    if sample is not None:
        subsets = [subset.name for subset in fixed.subsets if subset.contains(sample)]
    errors.add(
        sample.name if sample else row.image,
        row.truth,
        row.pred,
        sigma_px=row.sigma_px,
        visible=_as_flags(row.visible),
        box=row.box,
        subsets=subsets,
    )


def _as_flags(visible: Array | None) -> Array | None:
    """Return the visibility (N,) as 1 and 0; nan remains nan."""
    if visible is None:
        return None
    return np.where(np.isfinite(visible), visible > 0.5, np.nan)


def needs_samples(protocol: str | Protocol, path: PathLike) -> bool:
    """Return True if scoring the file requires the protocol's data.

    This is the case if a row has no truth (or no box, for the norm "given-box"), or if the
    protocol selects only some faces of a data set.

    Raises:
        ProtocolError: Like `read_predictions`.
    """
    fixed = resolve_protocol(protocol)
    rows = read_predictions(path, fixed)
    if fixed.select != "all" or any(row.truth is None for row in rows):
        return True
    return fixed.norm == "given-box" and any(row.box is None for row in rows)


Pairs = list[tuple[Prediction, Sample | None]]


def _pair(
    rows: Sequence[Prediction],
    known: Sequence[Sample] | None,
    protocol: Protocol,
    path: PathLike,
) -> Pairs:
    """Match each row to its sample, one to one."""
    if known is None:
        return [(row, None) for row in rows]
    index = _SampleIndex(known)
    paired = [(row, index.find(row.image)) for row in rows]
    foreign = [row.image for row, sample in paired if sample is None]
    if foreign:
        raise ProtocolError(
            f"{path}: {_list(foreign)} unknown to protocol {protocol.id!r}; "
            f"expected names like {known[0].name!r}"
        )
    _check_unique((sample.name for _, sample in paired if sample), path)
    return paired


def _check_complete(
    paired: Pairs,
    known: Sequence[Sample] | None,
    protocol: Protocol,
    path: PathLike,
    allow_missing: bool,
) -> str:
    """Return a note about missing faces, or ""; raise an error unless `allow_missing`."""
    given = {sample.name for _, sample in paired if sample}
    missing = [sample.name for sample in known or () if sample.name not in given]
    if missing and not allow_missing:
        raise ProtocolError(
            f"{path}: {_list(missing)} missing from the {len(known or ())} faces of "
            f"protocol {protocol.id!r}; predict every face (null for a missed one), or "
            "give --allow-missing"
        )
    if known is None and protocol.videos is not None:
        return (
            f"not checked, without the data: whether these are the {protocol.videos} "
            "videos of the protocol"
        )
    if protocol.faces is None or len(paired) == protocol.faces:
        return (
            f"{len(missing)} faces of the data are not in the file" if missing else ""
        )
    if len(paired) > protocol.faces or (known is None and not allow_missing):
        raise ProtocolError(
            f"{path}: {len(paired)} faces, but protocol {protocol.id!r} has "
            f"{protocol.faces}; predict each of them once (null for a missed one), or "
            "give --allow-missing for fewer"
        )
    return f"{len(paired)} of the official {protocol.faces} faces are in the file"
