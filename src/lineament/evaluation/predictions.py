"""Predictions that any other system wrote, a JSON list of {"image", "pred", "truth"} -> a Report."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..data.sample import Sample
from ..errors import InputError, ProtocolError
from ..geometry import Array, as_boxes
from ..schemes import scheme
from .accumulator import Tally
from .protocols import Protocol, chosen, named
from .report import Report

WANTED = 'wanted a JSON list of {"image": name, "pred": [[x, y], ...], "truth": [[x, y], ...]}'


@dataclass(frozen=True, eq=False)
class Prediction:
    """One row of the file. Pixels of the image; None where the row does not say."""

    image: str
    pred: Array | None
    """(N, 2), or None for a face that was missed."""
    truth: Array | None
    sigma_px: Array | None
    visible: Array | None
    box: Array | None


def read_predictions(path: str | os.PathLike[str], fixed: Protocol) -> list[Prediction]:
    """The rows of the JSON file `path`: each with "image" and "pred" (null for a missed face), and perhaps "truth"
    (null where not annotated), "sigma_px", "visible" and "box" (the data set's own). Other keys are left alone.

    Raises: ProtocolError for a file or row that is none, a wrong number of points, values that are not finite,
    or an image named twice.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ProtocolError(f"{path}: cannot be read as JSON ({error}); {WANTED}") from error
    if not isinstance(rows, list) or not rows:
        given = (
            f"a list of {len(rows)} rows" if isinstance(rows, list) else f"a {type(rows).__name__}"
        )
        raise ProtocolError(f"{path}: holds {given}; {WANTED}")
    found = [_row(row, f"{path}: row {number}", fixed) for number, row in enumerate(rows)]
    found = _numbered(found)
    _once((p.image for p in found), path)
    return found


def _numbered(rows: list[Prediction]) -> list[Prediction]:
    """`rows`, the second face of a picture called NAME#2 and so on, where all of one name have different truths."""
    by_name: dict[str, list[Prediction]] = {}
    for row in rows:
        by_name.setdefault(row.image, []).append(row)
    names: dict[int, str] = {}
    for name, group in by_name.items():
        truths = {None if row.truth is None else row.truth.tobytes() for row in group}
        if len(truths) == len(group) > 1 and None not in truths:
            names |= {id(row): f"{name}#{number}" for number, row in enumerate(group[1:], 2)}
    return [replace(row, image=names.get(id(row), row.image)) for row in rows]


def _once(names: Iterable[str], path: str | os.PathLike[str]) -> None:
    """Raises: ProtocolError where one of `names` comes twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ProtocolError(
            f"{path}: {_list(twice)} named more than once; wanted one row for each face, the second of a picture "
            "called NAME#2, in the order of the data's list"
        )


def _row(row: Any, where: str, fixed: Protocol) -> Prediction:
    if not isinstance(row, dict):
        raise ProtocolError(f"{where} is a {type(row).__name__}; {WANTED}")
    image = row.get("image")
    if not isinstance(image, str) or not image:
        raise ProtocolError(f'{where} has no "image"; {WANTED}')
    if "pred" not in row:
        raise ProtocolError(
            f'{where} ({image}) has no "pred"; wanted its points, or null for a missed face'
        )
    where, count = f"{where} ({image})", len(scheme(fixed.scheme))
    visible = _numbers(row.get("visible"), (count,), f"{where}: visible", fixed)
    try:
        box = None if row.get("box") is None else as_boxes(row["box"])[0]
    except (InputError, TypeError, ValueError, IndexError) as error:
        raise ProtocolError(f"{where}: box: {error}") from error
    return Prediction(
        image=image,
        pred=_numbers(row["pred"], (count, 2), f"{where}: pred", fixed),
        truth=_numbers(row.get("truth"), (count, 2), f"{where}: truth", fixed, gaps=True),
        sigma_px=_numbers(row.get("sigma_px"), (count,), f"{where}: sigma_px", fixed),
        visible=visible,
        box=box,
    )


def _numbers(
    value: Any, shape: tuple[int, ...], where: str, fixed: Protocol, gaps: bool = False
) -> Array | None:
    """`value` as an array of `shape`, None for null.    gaps: whether points may be null or nan."""
    if value is None:
        return None
    if gaps and isinstance(value, list):
        value = [[np.nan] * 2 if point is None else point for point in value]
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProtocolError(
            f"{where} is not an array of numbers ({error}); wanted {_shape(shape)}"
        ) from error
    if array.shape != shape:
        raise ProtocolError(
            f"{where} has shape {_shape(array.shape)}; protocol {fixed.id!r} wants {_shape(shape)}, "
            f"one row for each point of {fixed.scheme}"
        )
    bad = np.isinf(array) if gaps else ~np.isfinite(array)
    if bad.any():
        raise ProtocolError(
            f"{where} has {int(bad.sum())} values that are not finite; wanted numbers in pixels"
        )
    return array


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return (
        f"{shown} and {len(names) - 3} more are"
        if len(names) > 3
        else shown + (" is" if len(names) == 1 else " are")
    )


class _Index:
    """Finds the sample that a name means: by its whole name, else by its end, else by the file name alone."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._ends: dict[str, Sample | None] = {}
        for sample in samples:
            parts = PurePosixPath(sample.name).parts
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                # An end that two samples share names neither.
                self._ends[end] = None if end in self._ends else sample
        self._ends |= {sample.name: sample for sample in samples}

    def find(self, name: str) -> Sample | None:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        for start in range(len(parts)):
            sample = self._ends.get("/".join(parts[start:]))
            if sample is not None:
                return sample
        return None


def score_predictions(
    protocol: str | Protocol,
    path: str | os.PathLike[str],
    samples: Sequence[Sample] | None = None,
    *,
    partial: bool = False,
    model: str = "",
) -> Report:
    """The report of the predictions in the JSON file `path`.

    samples: the protocol's faces, needed only where a row has no truth (see `needs_samples`). Given, each must be
    predicted, and the report has its subsets.    partial: score a file that lacks faces, and say so in the report.
    Raises: ProtocolError for a file, row or set of images that does not fit the protocol.
    """
    fixed = named(protocol)
    rows = read_predictions(path, fixed)
    known = None if samples is None else chosen(fixed, samples)
    paired = _pair(rows, known, fixed, path)
    short = _check_complete(paired, known, fixed, path, partial)
    tally = Tally(fixed)
    for row, sample in paired:
        truth = row.truth if row.truth is not None else sample.landmarks if sample else None
        if truth is None:
            lacking = f"{path}: {row.image!r} has no truth"
            raise ProtocolError(
                f"{lacking}; give it in the file, or the data of protocol {fixed.id!r} with --data"
            )
        visible = row.visible if row.visible is not None else sample.visible if sample else None
        tally.add(
            sample.name if sample else row.image,
            truth,
            row.pred,
            sigma_px=row.sigma_px,
            visible=None if visible is None else np.asarray(visible, dtype=np.float64) > 0.5,
            box=row.box if row.box is not None else sample.box if sample else None,
            subsets=[subset.name for subset in fixed.subsets if sample and subset.has(sample)],
        )
    return tally.report(
        boxes="file", model=model or Path(path).stem, notes=(short,) if short else ()
    )


def needs_samples(protocol: str | Protocol, path: str | os.PathLike[str]) -> bool:
    """Whether the data is needed: a row of the file has no truth (or no box, where the norm is given-box), or the
    protocol takes but some of the faces of a data set.

    Raises: ProtocolError as `read_predictions`.
    """
    fixed = named(protocol)
    rows = read_predictions(path, fixed)
    boxed = fixed.norm == "given-box"
    return fixed.select != "all" or any(
        row.truth is None or (boxed and row.box is None) for row in rows
    )


def _pair(
    rows: Sequence[Prediction],
    known: Sequence[Sample] | None,
    fixed: Protocol,
    path: str | os.PathLike[str],
) -> list[tuple[Prediction, Sample | None]]:
    """Each row with its sample.    Raises: ProtocolError for a row without either truth, or for two of one face."""
    if known is None:
        return [(row, None) for row in rows]
    index = _Index(known)
    paired = [(row, index.find(row.image)) for row in rows]
    foreign = [row.image for row, sample in paired if sample is None]
    if foreign:
        raise ProtocolError(
            f"{path}: {_list(foreign)} unknown to protocol {fixed.id!r}; wanted names like {known[0].name!r}"
        )
    _once((sample.name for _, sample in paired if sample), path)
    return paired


def _check_complete(
    paired: Sequence[tuple[Prediction, Sample | None]],
    known: Sequence[Sample] | None,
    fixed: Protocol,
    path: str | os.PathLike[str],
    partial: bool,
) -> str:
    """What is short of the official count; empty where nothing is.    Raises: ProtocolError where faces are missing."""
    given = {sample.name for _, sample in paired if sample}
    missing = [sample.name for sample in known or () if sample.name not in given]
    if missing and not partial:
        raise ProtocolError(
            f"{path}: {_list(missing)} missing of the {len(known or ())} faces of protocol {fixed.id!r}; "
            "predict every face (null for a missed one), or say --partial"
        )
    if known is None and fixed.videos is not None:
        return f"whether these are the {fixed.videos} videos of the protocol was not checked, for want of the data"
    if fixed.faces is None or len(paired) == fixed.faces:
        return f"{len(missing)} faces of the data are not in the file" if missing else ""
    if len(paired) > fixed.faces or (known is None and not partial):
        raise ProtocolError(
            f"{path}: {len(paired)} faces, protocol {fixed.id!r} has {fixed.faces}; "
            "predict each of them once (null for a missed one), or say --partial for fewer"
        )
    return f"{len(paired)} of the official {fixed.faces} faces are in the file"
