"""From the points of several peers, each in its own scheme, to errors on the points that all of them have."""

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
    """Indices of ibug68 that every peer has."""

    exact: NDArray[np.intp]
    """The same point by definition for every peer."""
    any: NDArray[np.intp]
    """Exact, interpolated or the nearest vertex."""


def to_target(found: Found, source: str) -> tuple[list[Array | None], NDArray[np.str_]]:
    """The points as ibug68 (68, 2), None where missed, and the status (68,) of each point."""
    converted = [None if points is None else convert(points, source, TARGET) for points in found]
    first = next((c for c in converted if c is not None), None)
    status = np.full(len(scheme(TARGET)), "missing") if first is None else first.status
    return [None if c is None else c.points for c in converted], status


def shared_points(statuses: Sequence[NDArray[np.str_]]) -> SharedPoints:
    """The points that no peer lacks.    statuses: (68,) of each peer."""
    table = np.array(statuses)
    return SharedPoints(
        np.flatnonzero((table == "exact").all(0)), np.flatnonzero((table != "missing").all(0))
    )


def face_errors(found: Found, truths: Sequence[Array], points: NDArray[np.intp]) -> Array:
    """The error (F,) of each face on `points`, by the distance of the outer eye corners; inf where missed."""
    norm_points = scheme(TARGET).norm_points["interocular"]
    return np.array(
        [
            np.inf
            if pred is None
            else np.hypot(*(pred - truth)[points].T).mean()
            / norm_length("interocular", truth, norm_points)
            for pred, truth in zip(found, truths, strict=True)
        ]
    )


def without_offsets(found: Found, truths: Sequence[Array]) -> list[Array | None]:
    """The points, each moved by its median offset from the truth in the frame of the eyes: what remains of the error
    when a peer means another spot by a point than the annotation does.

    The offsets for the faces at even places come from those at odd places, and the other way round.
    """
    frames = [_eye_frame(truth) for truth in truths]
    offsets = [
        None if pred is None else (pred - truth) @ np.linalg.inv(frame)
        for pred, truth, frame in zip(found, truths, frames, strict=True)
    ]
    known = [[o for o in offsets[half::2] if o is not None] for half in (0, 1)]
    medians = [np.median(o, axis=0) if o else None for o in known]
    moved: list[Array | None] = []
    for index, (pred, frame) in enumerate(zip(found, frames, strict=True)):
        offset = medians[(index + 1) % 2]
        moved.append(pred if pred is None or offset is None else pred - offset @ frame)
    return moved


def _eye_frame(truth: Array) -> Array:
    """Rows: one eye distance along the line of the outer eye corners, and one across it, in pixels."""
    right, left = (
        truth[list(group)].mean(0) for group in scheme(TARGET).norm_points["interocular"]
    )
    along = left - right
    return np.array([along, [-along[1], along[0]]])


def score_peers(
    found: Mapping[str, Found], schemes: Mapping[str, str], truths: Sequence[Array]
) -> tuple[SharedPoints, dict[str, dict[str, float]]]:
    """The shared points, and the figures of each peer, as fractions: nme_<set>, failure_rate_<set>_<threshold>."""
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
            "shared_no_offset": face_errors(without_offsets(points, truths), truths, shared.any),
        }
        row: dict[str, float] = {"missed": float(np.isinf(sets["exact"]).sum())}
        for label, errors in sets.items():
            row[f"nme_{label}"] = mean_nme(errors)
            for threshold in (0.08, 0.10):
                row[f"failure_rate_{label}_{round(100 * threshold)}"] = failure_rate(
                    errors, threshold
                )
        rows[name] = row
    return shared, rows
