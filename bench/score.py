"""Score peers with different schemes on the points that all of them have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lineament.evaluation.metrics import failure_rate, mean_nme, norm_length
from lineament.geometry import Array
from lineament.schemes import convert, scheme

TARGET = "ibug68"
Found = Sequence[Array | None]


@dataclass(frozen=True)
class SharedPoints:
    """Indices of ibug68 points that every peer has."""

    exact: NDArray[np.intp]
    """Points with the same definition for every peer."""
    any: NDArray[np.intp]
    """Points that are exact, interpolated or the nearest vertex."""


def to_target(found: Found, source: str) -> tuple[list[Array | None], NDArray[np.str_]]:
    """Convert points to ibug68 (68, 2), None if missed; also return each point's status (68,)."""
    converted = [
        None if points is None else convert(points, source, TARGET) for points in found
    ]
    first = next((c for c in converted if c is not None), None)
    status = np.full(len(scheme(TARGET)), "missing") if first is None else first.status
    return [None if c is None else c.points for c in converted], status


def shared_points(statuses: Sequence[NDArray[np.str_]]) -> SharedPoints:
    """Return the points that every peer has; `statuses` has (68,) per peer."""
    table = np.array(statuses)
    return SharedPoints(
        np.flatnonzero((table == "exact").all(0)),
        np.flatnonzero((table != "missing").all(0)),
    )


def face_errors(
    found: Found, truths: Sequence[Array], points: NDArray[np.intp]
) -> Array:
    """Return the interocular NME of each face on `points`, (F,); inf if it was missed."""
    norm_points = scheme(TARGET).norm_points["interocular"]
    errors = []
    for pred, truth in zip(found, truths, strict=True):
        error = np.inf
        if pred is not None:
            norm = norm_length("interocular", truth, norm_points)
            error = np.hypot(*(pred - truth)[points].T).mean() / norm
        errors.append(error)
    return np.array(errors)


def without_offsets(found: Found, truths: Sequence[Array]) -> list[Array | None]:
    """Return the points minus their median offset from the truth in the frame of the eyes.

    This removes errors due to definitions of points that differ from the annotation's.
    Offsets for even faces are medians over odd faces, and vice versa.
    """
    frames = [_eye_frame(truth) for truth in truths]
    offsets: tuple[list[Array], list[Array]] = ([], [])
    for index, (pred, truth) in enumerate(zip(found, truths, strict=True)):
        if pred is not None:
            offsets[index % 2].append((pred - truth) @ np.linalg.inv(frames[index]))
    medians = [np.median(known, axis=0) if known else None for known in offsets]
    corrected: list[Array | None] = []
    for index, (pred, frame) in enumerate(zip(found, frames, strict=True)):
        offset = medians[(index + 1) % 2]
        corrected.append(
            pred if pred is None or offset is None else pred - offset @ frame
        )
    return corrected


def _eye_frame(truth: Array) -> Array:
    """Return the axes along and across the outer eye corners, of interocular length, in pixels."""
    right, left = (
        truth[list(group)].mean(0)
        for group in scheme(TARGET).norm_points["interocular"]
    )
    along = left - right
    return np.array([along, [-along[1], along[0]]])


def score_peers(
    found: Mapping[str, Found], schemes: Mapping[str, str], truths: Sequence[Array]
) -> tuple[SharedPoints, dict[str, dict[str, float]]]:
    """Return the shared points and the figures of each peer, as fractions.

    The figures are nme_<set>, failure_rate_<set>_<threshold> and the number of misses.
    """
    converted, statuses = {}, []
    for name, points in found.items():
        converted[name], status = to_target(points, schemes[name])
        statuses.append(status)
    shared = shared_points(statuses)
    rows = {}
    for name, points in converted.items():
        sets = {
            "exact": face_errors(points, truths, shared.exact),
            "shared": face_errors(points, truths, shared.any),
            "shared_no_offset": face_errors(
                without_offsets(points, truths), truths, shared.any
            ),
        }
        row: dict[str, float] = {"misses": float(np.isinf(sets["exact"]).sum())}
        for label, errors in sets.items():
            row[f"nme_{label}"] = mean_nme(errors)
            for threshold in (0.08, 0.10):
                row[f"failure_rate_{label}_{round(100 * threshold)}"] = failure_rate(
                    errors, threshold
                )
        rows[name] = row
    return shared, rows
