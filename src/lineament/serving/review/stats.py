"""Review statistics: pace, corrections compared with predicted sigma, agreement of reviewers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ...geometry import Array, box_side, landmark_box
from ...io.review_files import ACCEPTED, FaceRecord, Save, occluded_mask

MOVED_PX = 0.05
"""Maximum movement of a landmark that counts as unchanged, pixels."""
QUARTERS = 4
COVERAGE = 0.95
"""Expected fraction of errors below 2 sigma_px if it is calibrated."""


@dataclass(frozen=True)
class Pace:
    """Statistics of one reviewer's decisions."""

    reviewer: str
    faces: int
    corrected: int
    """Number of accepted faces with a moved landmark."""
    rejected: int
    """Number of faces rejected as not a face."""
    median_s: float
    """Median time per face, seconds; nan if unknown."""
    faces_per_hour: float


@dataclass(frozen=True)
class Calibration:
    """Movements of the landmarks in one quartile of sigma, in ascending order of sigma."""

    points: int
    mean_sigma_px: float
    mean_move_px: float
    within_two_sigma: float
    """Fraction of movements below 2 sigma; 0.95 if movements are errors and sigma is calibrated."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of two reviewers on the faces that both accepted."""

    people: tuple[str, str]
    faces: int
    mean: float
    """Mean distance between their landmarks, in units of the longer box side."""
    worst_point: int
    """Index of the landmark with the largest distance."""
    worst: float
    """Mean distance at that landmark, in units of the longer box side."""
    occlusion: float
    """Fraction of landmarks on whose visibility both agree."""


def last_of_each(face: FaceRecord) -> dict[str, Save]:
    """Return each reviewer's last decision on a face."""
    return {save.reviewer: save for save in face.saves}


def reviewer_stats(faces: Sequence[FaceRecord]) -> list[Pace]:
    """Return the statistics of each reviewer, sorted by name."""
    saves: dict[str, list[tuple[FaceRecord, Save]]] = {}
    for face in faces:
        for reviewer, save in last_of_each(face).items():
            saves.setdefault(reviewer, []).append((face, save))
    found = []
    for reviewer, listed in sorted(saves.items()):
        timed = np.array([save.seconds for _, save in listed if save.seconds > 0])
        corrected = rejected = 0
        for face, save in listed:
            if save.status != ACCEPTED:
                rejected += 1
            elif (_moves(face, save) > MOVED_PX).any():
                corrected += 1
        median = float(np.median(timed)) if len(timed) else float("nan")
        per_hour = 3600 / float(timed.mean()) if len(timed) else float("nan")
        found.append(Pace(reviewer, len(listed), corrected, rejected, median, per_hour))
    return found


def _moves(face: FaceRecord, save: Save) -> Array:
    """Return the distance by which each landmark (N,) was moved, pixels."""
    return np.asarray(np.linalg.norm(save.landmarks - face.start, axis=1))


def calibration(faces: Sequence[FaceRecord]) -> list[Calibration]:
    """Return movements by quartile of sigma; empty if no sigma is known."""
    moves, sigmas = [np.zeros(0)], [np.zeros(0)]
    for face in faces:
        if face.last is not None and face.last.status == ACCEPTED:
            moves.append(_moves(face, face.last))
            sigmas.append(face.sigma_px)
    move, sigma = np.concatenate(moves), np.concatenate(sigmas)
    known = np.flatnonzero(np.isfinite(move) & np.isfinite(sigma) & (sigma > 0))
    if len(known) < QUARTERS:
        return []
    found = []
    for rows in np.array_split(known[np.argsort(sigma[known])], QUARTERS):
        found.append(
            Calibration(
                points=len(rows),
                mean_sigma_px=float(sigma[rows].mean()),
                mean_move_px=float(move[rows].mean()),
                within_two_sigma=float((move[rows] < 2 * sigma[rows]).mean()),
            )
        )
    return found


def agreements(faces: Sequence[FaceRecord]) -> list[Agreement]:
    """Return the agreement of each pair of reviewers on the faces that both accepted."""
    pairs: dict[tuple[str, str], list[tuple[FaceRecord, Save, Save]]] = {}
    for face in faces:
        accepted = {}
        for reviewer, save in sorted(last_of_each(face).items()):
            if save.status == ACCEPTED:
                accepted[reviewer] = save
        for one, two in combinations(accepted, 2):
            both = (face, accepted[one], accepted[two])
            pairs.setdefault((one, two), []).append(both)
    return [_agreement(people, listed) for people, listed in sorted(pairs.items())]


def _agreement(
    people: tuple[str, str], listed: Sequence[tuple[FaceRecord, Save, Save]]
) -> Agreement:
    distances, same = [], []
    for face, one, two in listed:
        side = box_side(landmark_box(face.start))
        apart = np.linalg.norm(one.landmarks - two.landmarks, axis=1)
        distances.append(apart / max(side, 1.0))
        masks = [occluded_mask(save.occluded, face.scheme) for save in (one, two)]
        same.append(masks[0] == masks[1])
    by_point = np.nanmean(distances, axis=0)
    worst = int(np.nanargmax(by_point))
    return Agreement(
        people=people,
        faces=len(listed),
        mean=float(np.nanmean(by_point)),
        worst_point=worst,
        worst=float(by_point[worst]),
        occlusion=float(np.mean(same)),
    )


def merged(folders: Sequence[Sequence[FaceRecord]]) -> list[FaceRecord]:
    """Merge several reviews, combining decisions on faces with the same name and scheme."""
    found: dict[tuple[str, str], FaceRecord] = {}
    for faces in folders:
        for face in faces:
            key = (face.name, str(face.scheme))
            before = found.get(key)
            saves = (*before.saves, *face.saves) if before else face.saves
            ordered = tuple(sorted(saves, key=lambda save: save.when))
            found[key] = replace(before or face, saves=ordered)
    return list(found.values())
