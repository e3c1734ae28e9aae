"""Tally: faces in one by one, a Report out; keeps one number a face, and sums. Stands on metrics and a protocol."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import __version__
from ..errors import InputError, ProtocolError
from ..geometry import Array, as_points
from ..schemes import scheme
from .metrics import (
    CalibrationSum,
    auc,
    failure_rate,
    mean_nme,
    norm_length,
    per_part,
    point_errors,
)
from .protocols import Protocol
from .report import ImageScore, Rates, Reliability, Report, SubsetScore

MISSED_ERROR = float("inf")


def rates(errors: ArrayLike, threshold: float) -> Rates:
    """What is said of `errors` (M,) at `threshold`."""
    mean = mean_nme(errors)
    return Rates(
        threshold=threshold,
        nme=None if np.isnan(mean) else mean,
        failure_rate=failure_rate(errors, threshold),
        auc=auc(errors, threshold),
    )


class Tally:
    """Gathers the errors of faces under one protocol."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._points = list(protocol.indices())
        self._names: list[str] = []
        self._errors: list[float] = []
        self._also: dict[str, list[float]] = {also.norm: [] for also in protocol.also}
        self._subsets: dict[str, list[float]] = {subset.name: [] for subset in protocol.subsets}
        self._sum = np.zeros(len(self._points))
        self._count = np.zeros(len(self._points), dtype=np.int64)
        self._calibration = CalibrationSum()
        self._fingerprint = 0

    def __len__(self) -> int:
        return len(self._errors)

    def add(
        self,
        name: str,
        truth: ArrayLike,
        pred: ArrayLike | None,
        *,
        sigma_px: ArrayLike | None = None,
        visible: NDArray[np.bool_] | None = None,
        box: ArrayLike | None = None,
        subsets: Iterable[str] = (),
    ) -> float:
        """The error of one face, counted; inf where it was missed (`pred` None).

        truth, pred: (N, 2), every point of the protocol's scheme, pixels of one frame.    sigma_px, visible: (N,).
        box: (4,), the data set's own.    subsets: the names of those it belongs to.
        Raises: ProtocolError for a wrong count or no counting point; InputError for a norm that cannot be divided by.
        """
        counting = self._counting(name, truth, visible)
        norms: dict[str, float] = {
            self.protocol.norm: self._norm(self.protocol.norm, name, truth, box)
        }
        for rule in self._also:
            with suppress(InputError):  # a point that only this norm wants may be missing
                norms[rule] = self._norm(rule, name, truth, box)
        if pred is None:
            lengths, error_px = None, MISSED_ERROR
        else:
            lengths = self._lengths(name, pred, counting)
            error_px = float(lengths[np.isfinite(lengths)].mean())
        error = error_px / norms[self.protocol.norm]
        self._names.append(name)
        self._errors.append(error)
        for rule, errors in self._also.items():
            if rule in norms:
                errors.append(error_px / norms[rule])
        for subset in subsets:
            self._subsets[subset].append(error)
        self._mark(np.asarray(truth, dtype=np.float64))
        if lengths is not None:
            relative = lengths / norms[self.protocol.norm]
            self._sum += np.nan_to_num(relative)
            self._count += np.isfinite(relative)
            if sigma_px is not None:
                sigma = np.asarray(sigma_px, dtype=np.float64)[self._points]
                self._calibration.add(relative, sigma / norms[self.protocol.norm])
        return error

    def _counting(self, name: str, truth: ArrayLike, visible: NDArray[np.bool_] | None) -> Array:
        """The true points (K, 2) of the protocol, nan where they do not count."""
        points = as_points(truth, f"{name}: truth").copy()
        wanted = len(scheme(self.protocol.scheme))
        if len(points) != wanted:
            raise ProtocolError(
                f"{name}: the truth has {len(points)} points, {self.protocol.scheme} has {wanted}; "
                f"protocol {self.protocol.id!r} wants data of that scheme"
            )
        if self.protocol.visibility == "visible" and visible is not None:
            points[~np.asarray(visible, dtype=bool)] = np.nan
        points = points[self._points]
        if not np.isfinite(points).all(1).any():
            raise ProtocolError(
                f"{name}: none of the points that count is annotated; leave this face out of the data"
            )
        return points

    def _norm(self, rule: str, name: str, truth: ArrayLike, box: ArrayLike | None) -> float:
        return norm_length(rule, truth, self.protocol.norm_points.get(rule), box, name)

    def _lengths(self, name: str, pred: ArrayLike, counting: Array) -> Array:
        points = as_points(pred, f"{name}: predicted landmarks")
        wanted = len(scheme(self.protocol.scheme))
        if len(points) != wanted:
            raise ProtocolError(
                f"{name}: {len(points)} landmarks were predicted, protocol {self.protocol.id!r} has {wanted} "
                f"({self.protocol.scheme}); name the scheme they are in, or predict those"
            )
        try:
            return point_errors(points[self._points], counting)
        except InputError as error:
            raise ProtocolError(f"{name}: {error}") from error

    def _mark(self, truth: Array) -> None:
        # A sum of hashes knows which annotations there were, not their order.
        digest = hashlib.sha256((truth.round(3) + 0.0).tobytes()).digest()
        self._fingerprint = (self._fingerprint + int.from_bytes(digest[:16], "big")) % 2**128

    def report(self, *, boxes: str, **facts: Any) -> Report:
        """The report of all faces so far.

        boxes: "truth", "detected" or "file".    facts: the fields of Report that only the caller knows.
        Raises: ProtocolError where there is no face.
        """
        if not self._errors:
            raise ProtocolError(
                f"protocol {self.protocol.id!r} has no face to score; give its data with --data"
            )
        with np.errstate(invalid="ignore"):
            per_landmark = np.where(self._count > 0, self._sum / np.maximum(self._count, 1), np.nan)
        whole = np.full(len(scheme(self.protocol.scheme)), np.nan)
        whole[self._points] = per_landmark
        facts["notes"] = (*facts.get("notes", ()), *self._short())
        lead, calibration = rates(self._errors, self.protocol.threshold), self._calibration.result()
        return Report(
            protocol=self.protocol.id,
            images=len(self._errors),
            missed=_missed(self._errors),
            nme=lead.nme,
            failure_rate=lead.failure_rate,
            auc=lead.auc,
            threshold=lead.threshold,
            per_part=per_part(whole, self.protocol.parts()),
            per_landmark=tuple(None if np.isnan(v) else float(v) for v in per_landmark),
            per_subset={
                name: self._subset(errors) for name, errors in self._subsets.items() if errors
            },
            at=tuple(rates(self._errors, threshold) for threshold in self.protocol.thresholds),
            also={
                also.norm: rates(self._also[also.norm], also.threshold)
                for also in self.protocol.also
                if self._also[also.norm]
            },
            reliability=Reliability.of(calibration) if calibration else None,
            boxes=boxes,
            fingerprint=f"{self._fingerprint:032x}",
            version=__version__,
            settings=self.protocol,
            per_image=tuple(
                ImageScore(image=name, nme=None if error == MISSED_ERROR else error)
                for name, error in zip(self._names, self._errors, strict=True)
            ),
            **facts,
        )

    def _short(self) -> list[str]:
        """What is to be said of norms that some faces lack."""
        lacking = {rule: len(self._errors) - len(errors) for rule, errors in self._also.items()}
        return [
            f"{count} faces lack the points of the {rule} norm"
            for rule, count in lacking.items()
            if count
        ]

    def _subset(self, errors: list[float]) -> SubsetScore:
        found = rates(errors, self.protocol.threshold)
        return SubsetScore(images=len(errors), missed=_missed(errors), **found.model_dump())


def _missed(errors: list[float]) -> int:
    return sum(error == MISSED_ERROR for error in errors)
