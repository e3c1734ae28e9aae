"""Accumulate the errors of faces into a Report; depends on metrics and a protocol."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import __version__
from ..errors import InputError, ProtocolError
from ..geometry import Array, as_points
from ..schemes import scheme
from .classification import auc as roc_auc
from .contours import ContourAccumulator
from .metrics import (
    CalibrationAccumulator,
    auc,
    failure_rate,
    mean_nme,
    norm_length,
    per_part,
    point_errors,
)
from .protocols import Protocol
from .report import ErrorRates, ImageScore, Report, SubsetScore

MISS_ERROR = float("inf")


def error_rates(errors: ArrayLike, threshold: float) -> ErrorRates:
    """Return mean, failure rate and AUC of `errors`, (M,), at `threshold`."""
    mean = mean_nme(errors)
    return ErrorRates(
        threshold=threshold,
        nme=None if np.isnan(mean) else mean,
        failure_rate=failure_rate(errors, threshold),
        auc=auc(errors, threshold),
    )


class ErrorAccumulator:
    """Collects per-face errors and sums under one protocol."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._points = list(protocol.indices())
        self._names: list[str] = []
        self._errors: list[float] = []
        self._moved: list[float] = []  # errors in the protocol's convention
        convention = protocol.convention
        self._shift = np.array(convention.shift if convention else (0.0, 0.0))
        self._other: dict[str, list[float]] = {}
        for other in protocol.other_norms:
            self._other[other.norm] = []
        self._subsets: dict[str, list[int]] = {}  # face indices by subset
        for subset in protocol.subsets:
            self._subsets[subset.name] = []
        self._sum = np.zeros(len(self._points))
        self._count = np.zeros(len(self._points), dtype=np.int64)
        self._contours = ContourAccumulator(protocol.scheme, protocol.contours)
        self._visibility = VisibilityAccumulator(self._points)
        self._calibration = CalibrationAccumulator()
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
        visible: ArrayLike | None = None,
        visible_prob: ArrayLike | None = None,
        box: ArrayLike | None = None,
        subsets: Iterable[str] = (),
    ) -> float:
        """Add one face and return its error as a fraction of the norm; inf if it was missed.

        Args:
            name: Name of the face.
            truth: All points of the protocol's scheme, (N, 2), pixels; nan: not annotated.
            pred: Predicted landmarks, (N, 2), same frame; None for a missed face.
            sigma_px: Predicted expected errors, (N,), pixels; nan if unknown.
            visible: Visibility (N,): 1 visible, 0 not, nan unknown, which counts as visible
                in the error and not at all in the AUC.
            visible_prob: Predicted probabilities of being visible, (N,); nan if unknown.
            box: The data set's own box, (4,), pixels.
            subsets: Names of the subsets the face belongs to.

        Raises:
            ProtocolError: If the number of points is wrong, or no point is counted.
            InputError: If the norm is not a positive length.
        """
        counted = self._counted_points(name, truth, visible)
        norm = self._norm(self.protocol.norm, name, truth, box)
        error_px = moved_px = MISS_ERROR
        if pred is not None:
            points = self._checked(name, pred)
            lengths = self._lengths(name, points, counted)
            error_px = _mean(lengths)
            moved_px = _mean(self._lengths(name, points + self._shift * norm, counted))
            self._add_points(lengths / norm, sigma_px, norm)
            self._contours.add(points, np.asarray(truth, dtype=np.float64), norm)
            if visible is not None and visible_prob is not None:
                self._visibility.add(visible, visible_prob)
        for subset in subsets:
            self._subsets[subset].append(len(self._errors))
        self._names.append(name)
        self._errors.append(error_px / norm)
        self._moved.append(moved_px / norm)
        for rule, errors in self._other.items():
            # points needed only for this additional norm may be missing
            with suppress(InputError):
                errors.append(error_px / self._norm(rule, name, truth, box))
        self._add_fingerprint(np.asarray(truth, dtype=np.float64))
        return error_px / norm

    def _counted_points(
        self, name: str, truth: ArrayLike, visible: ArrayLike | None
    ) -> Array:
        """Return the true landmarks of the protocol, (K, 2); nan for uncounted points."""
        points = as_points(truth, f"{name}: truth").copy()
        expected = len(scheme(self.protocol.scheme))
        if len(points) != expected:
            raise ProtocolError(
                f"{name}: the truth has {len(points)} points, but "
                f"{self.protocol.scheme} has {expected}; protocol {self.protocol.id!r} "
                "needs data of that scheme"
            )
        if self.protocol.visibility == "visible" and visible is not None:
            points[np.asarray(visible, dtype=np.float64) == 0] = np.nan
        points = points[self._points]
        if not np.isfinite(points).all(1).any():
            raise ProtocolError(
                f"{name}: none of the points that count is annotated; remove this face "
                "from the data"
            )
        return points

    def _norm(
        self, rule: str, name: str, truth: ArrayLike, box: ArrayLike | None
    ) -> float:
        return norm_length(rule, truth, self.protocol.norm_points.get(rule), box, name)

    def _checked(self, name: str, pred: ArrayLike) -> Array:
        """Return the predicted landmarks, (N, 2), checked against the protocol's scheme."""
        points = as_points(pred, f"{name}: predicted landmarks")
        expected = len(scheme(self.protocol.scheme))
        if len(points) != expected:
            raise ProtocolError(
                f"{name}: {len(points)} landmarks were predicted, but protocol "
                f"{self.protocol.id!r} has {expected} ({self.protocol.scheme}); give "
                f"the scheme they are in, or predict those {expected}"
            )
        return points

    def _lengths(self, name: str, points: Array, counted: Array) -> Array:
        """Return the pixel errors of the counted points, (K,); nan if not annotated."""
        try:
            return point_errors(points[self._points], counted)
        except InputError as error:
            raise ProtocolError(f"{name}: {error}") from error

    def _add_points(
        self, errors: Array, sigma_px: ArrayLike | None, norm: float
    ) -> None:
        """Add the errors of the counted points, (K,), as fractions of the norm."""
        self._sum += np.nan_to_num(errors)
        self._count += np.isfinite(errors)
        if sigma_px is not None:
            sigma = np.asarray(sigma_px, dtype=np.float64)[self._points]
            known = ~np.isnan(sigma)  # points without training examples have no sigma
            self._calibration.add(errors[known], sigma[known] / norm)

    def _add_fingerprint(self, truth: Array) -> None:
        # summing hashes makes the fingerprint independent of the order of faces
        digest = hashlib.sha256((truth.round(3) + 0.0).tobytes()).digest()
        self._fingerprint = (
            self._fingerprint + int.from_bytes(digest[:16], "big")
        ) % 2**128

    def report(self, *, boxes: str, **facts: Any) -> Report:
        """Return the report on all faces so far.

        Args:
            boxes: "truth", "detected", "tracked" or "file".
            **facts: Additional fields of Report.

        Raises:
            ProtocolError: If no face was added.
        """
        fixed = self.protocol
        if not self._errors:
            raise ProtocolError(
                f"protocol {fixed.id!r} has no faces to score; give its data with "
                "--data"
            )
        per_landmark = np.full(len(self._points), np.nan)
        np.divide(self._sum, self._count, out=per_landmark, where=self._count > 0)
        all_points = np.full(len(scheme(fixed.scheme)), np.nan)
        all_points[self._points] = per_landmark
        facts["notes"] = (*facts.get("notes", ()), *self._lacking_norms())
        rates = [error_rates(self._errors, threshold) for threshold in fixed.thresholds]
        return Report(
            protocol=fixed.id,
            **self._score(range(len(self._errors)), rates[0]).model_dump(),
            per_part=per_part(all_points, fixed.parts()),
            per_landmark=tuple(None if np.isnan(v) else float(v) for v in per_landmark),
            per_subset=self._subset_scores(),
            at_thresholds=tuple(rates),
            other_norms=self._other_rates(),
            per_contour=self._contours.per_part(),
            contours=self._contours.total(),
            visibility_auc=self._visibility.auc(),
            reliability=self._calibration.result(),
            boxes=boxes,
            fingerprint=f"{self._fingerprint:032x}",
            version=__version__,
            settings=fixed,
            per_image=self._image_scores(),
            **facts,
        )

    def _lacking_norms(self) -> list[str]:
        """Return a note for each norm that could not be computed for some faces."""
        notes = []
        for rule, errors in self._other.items():
            if len(errors) < len(self._errors):
                lacking = len(self._errors) - len(errors)
                notes.append(f"{lacking} faces lack the points of the {rule} norm")
        return notes

    def _subset_scores(self) -> dict[str, SubsetScore]:
        scores = {}
        for name, faces in self._subsets.items():
            if faces:
                errors = [self._errors[face] for face in faces]
                rates = error_rates(errors, self.protocol.threshold)
                scores[name] = self._score(faces, rates)
        return scores

    def _score(self, faces: Sequence[int], rates: ErrorRates) -> SubsetScore:
        """Return the score of the faces with the given indices."""
        moved: float | None = mean_nme([self._moved[face] for face in faces])
        if not self.protocol.convention or rates.nme is None:
            moved = None
        misses = [self._errors[face] for face in faces].count(MISS_ERROR)
        return SubsetScore(
            images=len(faces),
            misses=misses,
            nme_in_convention=moved,
            **rates.model_dump(),
        )

    def _other_rates(self) -> dict[str, ErrorRates]:
        rates: dict[str, ErrorRates] = {}
        for other in self.protocol.other_norms:
            if self._other[other.norm]:
                rates[other.norm] = error_rates(
                    self._other[other.norm], other.threshold
                )
        return rates

    def _image_scores(self) -> tuple[ImageScore, ...]:
        scores = []
        for name, error in zip(self._names, self._errors, strict=True):
            nme = None if error == MISS_ERROR else error
            scores.append(ImageScore(image=name, nme=nme))
        return tuple(scores)


def _mean(lengths: Array) -> float:
    """Return the mean of the lengths that are not nan."""
    return float(lengths[np.isfinite(lengths)].mean())


class VisibilityAccumulator:
    """Collects true and predicted visibility of the counted points."""

    def __init__(self, points: Sequence[int]) -> None:
        self._points = list(points)
        self._truth: list[NDArray[np.bool_]] = []
        self._predicted: list[Array] = []

    def add(self, visible: ArrayLike, probability: ArrayLike) -> None:
        """Add a face; points whose visibility or predicted probability is nan are skipped."""
        truth = np.asarray(visible, dtype=np.float64)[self._points]
        predicted = np.asarray(probability, dtype=np.float64)[self._points]
        known = np.isfinite(truth) & np.isfinite(predicted)
        self._truth.append(truth[known] != 0)
        self._predicted.append(predicted[known])

    def auc(self) -> float | None:
        """Return the area under the ROC curve; None unless both classes are present."""
        truth = np.concatenate([[], *self._truth])
        if len(np.unique(truth)) < 2:
            return None
        return roc_auc(truth, np.concatenate(self._predicted))
