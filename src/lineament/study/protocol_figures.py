"""Figures of an exported file under a protocol, for columns such as "300w-common/median"."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import mean, median
from typing import Any

from ..data.readers.registry import read_data
from ..data.sample import Sample
from ..evaluation.evaluate import evaluate
from ..evaluation.image_changes import Change
from ..evaluation.metrics import per_part
from ..evaluation.perturb import perturb
from ..evaluation.protocols import protocol
from ..evaluation.report import Report
from ..inference.predictor import Predictor
from ..schemes import scheme
from ..tracking.tracker import Tracker

Measure = Callable[[Path, Path, str], float]
"""Maps a model file, the root of the data sets and a protocol name to a figure."""

PERTURBED: dict[str, tuple[str, tuple[Change, ...]]] = {
    "shifted": (
        "NME, boxes shifted by a tenth",
        (("shift_x", -0.1), ("shift_x", 0.1), ("shift_y", -0.1), ("shift_y", 0.1)),
    ),
    "scaled": ("boxes 0.8 and 1.2 times", (("scale", 0.8), ("scale", 1.2))),
    "rolled": ("rolled by 30 degrees", (("roll", -30.0), ("roll", 30.0))),
    "dark": ("a tenth of the brightness", (("brightness", 0.1),)),
    "blurred": ("blurred", (("blur", 0.04),)),
    "glasses": ("with sunglasses", (("glasses", 1.0),)),
    "occluded": ("half covered", (("occlusion", 0.5),)),
}
"""Title and perturbations by name of the figure that averages over them."""
FACE_PARTS: dict[str, tuple[str, ...]] = {
    "outer": ("jaw",),
    "inner": ("right_brow", "left_brow", "nose", "right_eye", "left_eye", "mouth"),
    "brows": ("right_brow", "left_brow"),
    "eyes": ("right_eye", "left_eye"),
    "nose": ("nose",),
    "mouth": ("mouth",),
}
"""Parts of a scheme by name of the figure that averages over them."""
FAILURE = 0.1
"""Error above which a face counts as failed in the figure "failures"."""


@cache
def report(model: Path, data_root: Path, name: str) -> Report:
    """Return the report of a file under the protocol `name`; faces in videos are tracked."""
    samples = _samples(data_root, name)
    if protocol(name).data == "talking-face":
        tracker: Any = Tracker(model, smooth=None)
        return evaluate(tracker, name, samples, boxes="tracked")
    return evaluate(Predictor(model, threads=1), name, samples)


def _samples(data_root: Path, name: str) -> list[Sample]:
    fixed = protocol(name)
    return read_data(fixed.data, data_root, fixed.part)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _by_norm(norm: str) -> Measure:
    def measure(model: Path, data_root: Path, name: str) -> float:
        rates = report(model, data_root, name).other_norms.get(norm)
        return _number(None if rates is None else rates.nme)

    return measure


def _failures(model: Path, data_root: Path, name: str) -> float:
    errors = report(model, data_root, name).errors()
    return sum(error > FAILURE for error in errors) / len(errors)


def _of_parts(parts: tuple[str, ...]) -> Measure:
    """Return a measure of the mean error of the points of `parts`; nan if the scheme has none."""

    def measure(model: Path, data_root: Path, name: str) -> float:
        scheme_parts = scheme(protocol(name).scheme).parts
        points: list[int] = []
        for part in parts:
            points += scheme_parts.get(part, ())
        errors = [
            _number(value) for value in report(model, data_root, name).per_landmark
        ]
        return per_part(errors, {"": points}).get("", float("nan"))

    return measure


def _perturbed(changes: tuple[Change, ...]) -> Measure:
    """Return a measure of the mean NME over `changes` on all faces, with the usual re-cropping."""

    def measure(model: Path, data_root: Path, name: str) -> float:
        predictor, samples = Predictor(model, threads=1), _samples(data_root, name)
        rows = perturb(predictor, name, samples, limit=None, changes=changes)
        return mean(_number(row.nme) for row in rows)

    return measure


def _nme(model: Path, data_root: Path, name: str) -> float:
    return _number(report(model, data_root, name).nme)


def _median(model: Path, data_root: Path, name: str) -> float:
    return median(report(model, data_root, name).errors())


FIGURES: dict[str, tuple[str, Measure]] = {
    "": ("NME", _nme),
    "interpupil": ("NME (interpupil)", _by_norm("interpupil")),
    "diagonal": ("NME (diagonal)", _by_norm("diagonal")),
    "median": ("median", _median),
    "failures": ("failure rate at 10", _failures),
}
for _name, (_title, _changes) in PERTURBED.items():
    FIGURES[_name] = _title, _perturbed(_changes)
FIGURES |= {part: (part, _of_parts(parts)) for part, parts in FACE_PARTS.items()}
"""Title and measure of each figure, by the text after the protocol's name."""
