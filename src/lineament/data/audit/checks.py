"""The single checks of an audit: each takes samples, or what was seen of their pictures, and gives findings."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...errors import SchemeError, ShapeError
from ...geometry import Array, apply_affine, box_side, fit_similarity, iou
from ...schemes import NAMES, convert, scheme
from ..sample import Sample

FAR = 0.1
"""Mean distance of a face's points from a model's, in box sides, that is worth a look: three times a usual error."""
SEVERITIES = ("error", "warning", "note")
SWAPPED = 1.5  # mirrored points fit this much better; on 2,568 faces of 300W the ratio stays under 0.4, on infants 0.8
UNLIKE = (
    0.2  # mean distance to the mean face, in box sides; 300W stays under 0.13, infants under 0.17
)
SAME_HASH = 3  # of 64 bits
SAME_TINY = 3.0  # grey levels, mean over 32 x 32
SIDES = {"right_brow": "brows", "right_eye": "eyes"}


@dataclass(frozen=True)
class Finding:
    """One thing an audit found."""

    severity: str
    """"error": figures made with it are wrong; "warning": look at it; "note": good to know."""
    kind: str
    """offset, far, swapped, outside, shape, count, duplicate, exif, header, picture or file."""
    file: str
    """Where, below the root."""
    message: str
    """What was found, what was expected and what to do, in one line."""
    samples: tuple[Sample, ...] = ()
    """The faces to look at."""
    weight: float = 0.0
    """How bad it is among its kind."""


@dataclass(frozen=True)
class Seen:
    """What is kept of a picture after it was read once."""

    sample: Sample
    """The first face of the picture."""
    size: tuple[int, int]
    """Width and height, upright."""
    bits: int
    """64 bits: where a 9 x 8 reduction grows brighter to the right."""
    bits_flipped: int
    """The same of the mirrored picture."""
    tiny: NDArray[np.uint8]
    """(32, 32), grey."""


def check_points(sample: Sample) -> Iterator[Finding]:
    """Wrong number of points, swapped sides, a shape that is no face: what the landmarks alone tell."""
    landmarks = sample.landmarks
    if sample.scheme in NAMES and len(landmarks) != len(scheme(sample.scheme)):
        wanted = len(scheme(sample.scheme))
        text = f"{len(landmarks)} points; {sample.scheme} has {wanted}: mend the file or name its scheme"
        yield Finding("error", "count", sample.name, text, (sample,), 1.0)
        return
    finite = np.isfinite(landmarks).all(1)
    if finite.sum() < 2 or np.ptp(landmarks[finite], axis=0).max() == 0:
        text = f"{int(finite.sum())} points at one place; wanted a face: annotate it again"
        yield Finding("error", "shape", sample.name, text, (sample,), 9.0)
        return
    mean = mean_face(sample.scheme)
    if mean is not None:
        yield from _against_mean(sample, mean)


@cache
def mean_face(name: str) -> Array | None:
    """The mean face (N, 2) in a scheme, nan where unknown; None where nothing is known of it."""
    if name not in NAMES:
        return None
    own = scheme(name).mean_shape
    if own is not None:
        return own
    known = scheme("ibug68").mean_shape
    if known is None:
        return None
    try:
        points = convert(known, "ibug68", name).points
    except SchemeError:
        return None
    return points if np.isfinite(points).all(1).sum() >= 4 else None


def _distances(landmarks: Array, mean: Array) -> Array:
    """Distance (N,) of each point to the mean face after the best similarity, in box sides; nan where unknown."""
    known = np.isfinite(landmarks).all(1) & np.isfinite(mean).all(1)
    out = np.full(len(mean), np.nan)
    if known.sum() >= 4:
        fitted = apply_affine(fit_similarity(landmarks[known], mean[known]), landmarks[known])
        out[known] = np.linalg.norm(fitted - mean[known], axis=1)
    return out


def _against_mean(sample: Sample, mean: Array) -> Iterator[Finding]:
    known = scheme(sample.scheme)
    try:
        plain = _distances(sample.landmarks, mean)
        mirrored = _distances(sample.landmarks[known.mirror], mean)
    except ShapeError:
        return
    if not np.isfinite(plain).any() or not np.isfinite(mirrored).any():
        return
    own, other = float(np.nanmean(plain)), float(np.nanmean(mirrored))
    if own > SWAPPED * other:
        text = "left and right are swapped: the points fit a face mirrored; they are the subject's own sides"
        yield Finding("error", "swapped", sample.name, text, (sample,), own / max(other, 1e-9))
        return
    swapped = False
    for part, called in SIDES.items():
        points = np.array(known.parts.get(part, ()), dtype=np.intp)
        if len(points) == 0:
            continue
        both = np.concatenate([points, known.mirror[points]])
        changed = sample.landmarks.copy()
        changed[both] = sample.landmarks[known.mirror[both]]
        before, after = np.nanmean(plain[both]), np.nanmean(_distances(changed, mean)[both])
        if before > 0.1 and before > SWAPPED * after:
            swapped = True
            text = f"the {called} are swapped: exchange left and right, the subject's own sides"
            yield Finding(
                "error", "swapped", sample.name, text, (sample,), float(before / max(after, 1e-9))
            )
    if own > UNLIKE and not swapped:
        text = f"unlike a face: {own:.2f} box sides from the mean face, usual is under {UNLIKE}; look at it"
        yield Finding("warning", "shape", sample.name, text, (sample,), own)


def check_outside(sample: Sample, size: tuple[int, int]) -> Iterator[Finding]:
    """Points outside the picture of `size` (width, height); where they are so by less than a pixel, a wrong origin."""
    points = sample.landmarks[np.isfinite(sample.landmarks).all(1)]
    if len(points) == 0:
        return
    before = -0.5 - points.min(0)
    after = points.max(0) - (np.array(size) - 0.5)
    if before.max() <= 0 and after.max() <= 0:
        return
    beyond = ((points < -0.5) | (points > np.array(size) - 0.5)).any(1)
    width, height = size
    if 0 < before.max() <= 0.5 and after.max() <= 0:
        text = "a point lies half a pixel left of or above the picture: the file seems to count from 0, not from 1"
        yield Finding("warning", "offset", sample.name, text, (sample,), 1.0)
    elif 0 < after.max() <= 0.5 and before.max() <= 0:
        text = "a point lies half a pixel right of or below the picture: the points seem to count from 1, not from 0"
        yield Finding("warning", "offset", sample.name, text, (sample,), 1.0)
    else:
        far = float(max(before.max(), after.max()))
        grave = "error" if beyond.all() else "warning"
        text = (
            f"{int(beyond.sum())} of {len(points)} points outside the {width} x {height} picture, by up to {far:.1f} px"
            "; check the picture's size and the file"
        )
        yield Finding(
            grave, "outside", sample.name, text, (sample,), far / box_side([0, 0, width, height])
        )


def check_offset(one: Sample, two: Sample) -> Iterator[Finding]:
    """Two annotations of one picture that differ by exactly one pixel."""
    if one.scheme != two.scheme or one.landmarks.shape != two.landmarks.shape:
        return
    shift = two.landmarks - one.landmarks
    shift = shift[np.isfinite(shift).all(1)]
    if len(shift) == 0 or shift.std(0).max() > 0.05:
        return
    dx, dy = shift.mean(0)
    if max(abs(dx), abs(dy)) > 0.5 and all(abs(abs(d) - 1) < 0.1 or abs(d) < 0.1 for d in (dx, dy)):
        text = (
            f"the points are those of {one.name} moved by ({dx:+.0f}, {dy:+.0f}) px: one of the two counts from 0, the "
            "other from 1"
        )
        yield Finding("error", "offset", two.name, text, (two, one), 2.0)


def find_duplicates(seen: Sequence[Seen]) -> Iterator[tuple[Seen, Seen, bool]]:
    """Pairs of pictures that look the same, and whether one is mirrored; each pair once.

    Candidates differ in at most 3 of 64 bits, so that one of four 16-bit words is equal; then 32 x 32 pixels decide.
    """
    words: dict[tuple[int, int], list[int]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for number, picture in enumerate(seen):
        for mirrored, bits in ((False, picture.bits), (True, picture.bits_flipped)):
            near = {
                other
                for at in range(4)
                for other in words.get((at, (bits >> (16 * at)) & 0xFFFF), ())
            }
            for other in sorted(near):
                if (other, number) in found or (seen[other].bits ^ bits).bit_count() > SAME_HASH:
                    continue
                tiny = picture.tiny[:, ::-1] if mirrored else picture.tiny
                if np.abs(tiny.astype(np.int16) - seen[other].tiny).mean() <= SAME_TINY:
                    found.add((other, number))
                    yield seen[other], picture, mirrored
        for at in range(4):
            words[at, (picture.bits >> (16 * at)) & 0xFFFF].append(number)


def judge_duplicate(one: Seen, two: Seen, mirrored: bool) -> Iterator[Finding]:
    """What it means that two pictures are the same: a leak between splits, one photo of two faces, a shifted copy."""
    a, b = one.sample, two.sample
    pixels = _pixels_equal(a, b, mirrored)
    how = f"{'the same pixels' if pixels else 'nearly the same picture'}{', mirrored' if mirrored else ''}"
    if a.subset != b.subset:
        text = f"{how} as {a.name}, in another split ({a.subset} and {b.subset}); remove one"
        yield Finding("error", "duplicate", b.name, text, (b, a), 2.0 if pixels else 1.0)
    elif not mirrored and one.size == two.size and iou(a.face_box(), b.face_box())[0, 0] < 0.5:
        text = f"{how} as {a.name}, with another face annotated; split by photo, not by face"
        yield Finding("note", "duplicate", b.name, text, (b, a))
    else:
        yield Finding(
            "warning", "duplicate", b.name, f"{how} as {a.name}; keep one", (b, a), float(pixels)
        )
    if one.size == two.size:
        yield from _check_mirrored_offset(a, b, one.size[0]) if mirrored else check_offset(a, b)


def _check_mirrored_offset(a: Sample, b: Sample, width: int) -> Iterator[Finding]:
    """A mirrored copy whose points land beside the mirrored points: x + 1 flips to W - 1 - (x + 1), 2 px away."""
    if a.scheme != b.scheme or a.scheme not in NAMES or len(a.landmarks) != len(b.landmarks):
        return
    shift = b.landmarks - (a.landmarks[scheme(a.scheme).mirror] * [-1, 1] + [width - 1, 0])
    shift = shift[np.isfinite(shift).all(1)]
    if len(shift) == 0 or shift.std(0).max() > 0.05:
        return
    aside = float(shift[:, 0].mean())
    if abs(abs(aside) - 2) < 0.5:
        origin = "1, not from 0" if aside > 0 else "0, not from 1"
        text = f"the mirrored points of {a.name} land {aside:+.1f} px aside: both seem to count from {origin}"
        yield Finding("error", "offset", b.name, text, (b, a), 2.0)


def _pixels_equal(a: Sample, b: Sample, mirrored: bool) -> bool:
    one, two = a.read(), b.read()
    return np.array_equal(one[:, ::-1] if mirrored else one, two)


def check_far(sample: Sample, apart: Array) -> Iterator[Finding]:
    """A face whose points lie far from a model's: apart is (N, 2), truth - prediction, nan where not annotated."""
    distance = float(np.nanmean(np.linalg.norm(apart, axis=1))) / box_side(sample.face_box())
    if distance > FAR:
        text = f"its points lie {100 * distance:.0f} % of the box's side from the model's in the mean: look at it"
        yield Finding("warning", "far", sample.name, text, (sample,), distance)


def check_against(residuals: dict[str, list[Array]]) -> Iterator[Finding]:
    """Splits that lie a pixel beside a model: residuals are mean (truth - prediction) (2,) px of each face."""
    for subset, rows in residuals.items():
        if len(rows) < 30:
            continue
        mean, error = np.mean(rows, 0), np.std(rows, 0) / np.sqrt(len(rows))
        if error.max() < 0.15 and (np.abs(np.abs(mean) - 1) < 0.35).all() and mean[0] * mean[1] > 0:
            origin = "1, not from 0" if mean[0] > 0 else "0, not from 1"
            text = (
                f"over {len(rows)} faces the points lie ({mean[0]:+.2f}, {mean[1]:+.2f}) px beside the model's: they "
                f"seem to count from {origin}"
            )
            yield Finding("warning", "offset", subset or ".", text, (), 3.0)
