"""Figures of a finished training under a protocol: columns such as "300w-common/median"."""

from collections.abc import Callable
from functools import cache
from statistics import mean, median
from typing import Any

from ..data.readers.registry import read_data
from ..data.sample import Sample
from ..evaluation.evaluate import evaluate
from ..evaluation.perturb import perturb
from ..evaluation.protocols import protocol
from ..evaluation.report import Report
from ..inference.predictor import Predictor
from ..tracking.tracker import Tracker
from .finished_run import FinishedRun

SHIFT = 0.1
"""Of the boxes in the figure "shifted", in longer sides, to each of four sides."""
FAILURE = 0.1
"""Error from which a face counts as failed in the figure "failures"."""


@cache
def report(run: FinishedRun, name: str) -> Report:
    """Return the report of the exported file under the protocol `name`; a video is tracked."""
    if protocol(name).data == "talking-face":
        tracker: Any = Tracker(run.exported(), smooth=None)
        return evaluate(tracker, name, _samples(run, name), boxes="tracked")
    return evaluate(Predictor(run.exported(), threads=1), name, _samples(run, name))


def _samples(run: FinishedRun, name: str) -> list[Sample]:
    fixed = protocol(name)
    return read_data(fixed.data, run.data_root, fixed.part)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _by_norm(norm: str) -> Callable[[FinishedRun, str], float]:
    def measure(run: FinishedRun, name: str) -> float:
        rates = report(run, name).other_norms.get(norm)
        return _number(None if rates is None else rates.nme)

    return measure


def _failures(run: FinishedRun, name: str) -> float:
    errors = report(run, name).errors()
    return sum(error > FAILURE for error in errors) / len(errors)


def _shifted(run: FinishedRun, name: str) -> float:
    """Return the mean NME of boxes shifted by SHIFT to the left, the right, up and down."""
    samples = _samples(run, name)
    rows = perturb(Predictor(run.exported(), threads=1), name, samples)
    shifted = [
        _number(row.nme)
        for row in rows
        if row.kind.startswith("shift") and abs(row.amount) == SHIFT
    ]
    return mean(shifted)


FIGURES: dict[str, tuple[str, Callable[[FinishedRun, str], float]]] = {
    "": ("NME", lambda run, name: _number(report(run, name).nme)),
    "interpupil": ("NME by pupils", _by_norm("interpupil")),
    "diagonal": ("NME by the diagonal", _by_norm("diagonal")),
    "median": ("median", lambda run, name: median(report(run, name).errors())),
    "failures": ("above 10", _failures),
    "shifted": ("NME, boxes shifted by 10", _shifted),
}
"""By the text after the protocol's name: title of the column, and what it measures."""
