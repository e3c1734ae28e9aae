"""The individual checks of an audit; each yields findings about samples and their images."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array, box_side, iou
from ...opencv import cv2
from ...schemes import scheme, scheme_names
from ..mean_face import (
    SWAPPED,
    distances_to_mean,
    known_rows,
    mean_face,
    plain_and_mirrored,
)
from ..sample import Image, Sample

SEVERITIES = ("error", "warning", "note")
MAX_MODEL_DISTANCE = 0.1
"""Mean distance to a model's landmarks, in units of the box side; three times the typical error."""
MAX_SHAPE_DISTANCE = 0.2
"""Mean distance to the mean face, in units of the box side; below 0.13 on 300W, 0.17 on infants."""
SIDES = {"right_brow": "brows", "right_eye": "eyes"}
"""Parts whose left and right sides are also checked separately, with their display names."""
EXCHANGED = (0.2, 0.1)
"""Two points are swapped if exchanging them lowers their distances to the mean face, in units of
the box side, from above the first value to below the second."""
MAX_DOUBTFUL = 8
"""Maximum number of outlier points for which pairs are tested for a swap."""
SAME_HASH = 3
"""Maximum Hamming distance of the 64-bit hashes of two copies."""
MAX_THUMBNAIL_DIFFERENCE = 3.0
"""Maximum mean difference of the 32 x 32 gray thumbnails of two copies, gray levels."""
MIN_FACES = 30
"""Minimum number of faces in a split to judge its offset from a model."""


@dataclass(frozen=True)
class Finding:
    """One problem found by an audit."""

    severity: str
    """"error": distorts results; "warning": should be checked; "note": for information."""
    kind: str
    """Kind of problem: offset, far, swapped, outside, shape, count, duplicate, exif, header,
    image, file, unit, mark, scale, person or resized."""
    file: str
    """Name of the face, folder or part, relative to the root."""
    message: str
    """One line that says what was found, what was expected and what to do."""
    samples: tuple[Sample, ...] = ()
    """The affected faces."""
    weight: float = 0.0
    """Severity relative to findings of the same kind."""


def make_finding(
    severity: str, kind: str, sample: Sample, message: str, weight: float
) -> Finding:
    """Return a finding about one face."""
    return Finding(severity, kind, sample.name, message, (sample,), weight)


@dataclass(frozen=True)
class ImageSummary:
    """The information about an image that is kept after reading it."""

    sample: Sample
    """The first face in the image."""
    size: tuple[int, int]
    """Width and height after EXIF rotation, pixels."""
    bits: int
    """64-bit hash: which pixels of a 9 x 8 thumbnail are brighter than their left neighbor."""
    bits_flipped: int
    """The same hash of the mirrored image."""
    tiny: NDArray[np.uint8]
    """Gray thumbnail, (32, 32)."""


def summarize(sample: Sample, image: Image) -> ImageSummary:
    """Return the size of an image, two hashes and a 32 x 32 gray thumbnail."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    tiny = np.asarray(
        cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    small = np.asarray(cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)).astype(
        np.int16
    )
    height, width = image.shape[:2]
    return ImageSummary(
        sample, (width, height), _hash(small), _hash(small[:, ::-1]), tiny
    )


def _hash(small: Any) -> int:
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def check_points(sample: Sample, own_mean: Array | None = None) -> Iterator[Finding]:
    """Find wrong numbers of points, swapped sides or points, and shapes unlike a face.

    Args:
        sample: The face.
        own_mean: Mean face (N, 2) of the set, used for schemes without a mean face.
    """
    landmarks = sample.landmarks
    if sample.scheme in scheme_names() and len(landmarks) != len(scheme(sample.scheme)):
        expected = len(scheme(sample.scheme))
        count = f"{len(landmarks)} points; {sample.scheme} has {expected}"
        text = f"{count}: correct the file or name its scheme"
        yield make_finding("error", "count", sample, text, 1.0)
        return
    known = known_rows(landmarks)
    if known.sum() < 2 or np.ptp(landmarks[known], axis=0).max() == 0:
        text = f"{int(known.sum())} points coincide; expected a face: annotate it again"
        yield make_finding("error", "shape", sample, text, 9.0)
        return
    mean = mean_face(sample.scheme)
    if mean is None and sample.scheme in scheme_names():
        mean = own_mean
    if mean is not None:
        yield from _check_against_mean(sample, mean)


def _check_against_mean(sample: Sample, mean: Array) -> Iterator[Finding]:
    both = plain_and_mirrored(sample, mean)
    if both is None:
        return
    distances = both[0]
    error, mirrored_error = (float(np.nanmean(each)) for each in both)
    if error > SWAPPED * mirrored_error:
        text = "the points fit a mirrored face; use the subject's left and right"
        text = f"left and right are swapped: {text}"
        yield make_finding(
            "error", "swapped", sample, text, error / max(mirrored_error, 1e-9)
        )
        return
    swapped = list(_check_parts(sample, mean, distances))
    swapped = swapped or list(_check_pairs(sample, mean, distances))
    yield from swapped
    if error > MAX_SHAPE_DISTANCE and not swapped:
        usual = f"usually under {MAX_SHAPE_DISTANCE}; check it"
        text = f"{error:.2f} box sides from the mean face, {usual}"
        yield make_finding("warning", "shape", sample, f"unlike a face: {text}", error)


def _check_parts(sample: Sample, mean: Array, plain: Array) -> Iterator[Finding]:
    """Find brows or eyes with swapped sides, given the distances `plain` (N,) to the mean face."""
    face_scheme = scheme(sample.scheme)
    for part, label in SIDES.items():
        right = np.array(face_scheme.parts.get(part, ()), dtype=np.intp)
        if len(right) == 0:
            continue
        both = np.concatenate([right, face_scheme.mirror[right]])
        swapped = sample.landmarks.copy()
        swapped[both] = sample.landmarks[face_scheme.mirror[both]]
        before = float(np.nanmean(plain[both]))
        after = float(np.nanmean(distances_to_mean(swapped, mean)[both]))
        if before > 0.1 and before > SWAPPED * after:
            text = f"the {label} are swapped: exchange the subject's left and right"
            yield make_finding(
                "error", "swapped", sample, text, before / max(after, 1e-9)
            )


def _check_pairs(sample: Sample, mean: Array, plain: Array) -> Iterator[Finding]:
    """Find pairs of points that lie at each other's expected position."""
    names = scheme(sample.scheme).points
    outliers = np.flatnonzero(plain > EXCHANGED[0])
    if not 2 <= len(outliers) <= MAX_DOUBTFUL:
        return
    for a, b in combinations(outliers.tolist(), 2):
        swapped = sample.landmarks.copy()
        swapped[[a, b]] = swapped[[b, a]]
        after = distances_to_mean(swapped, mean)[[a, b]]
        if after.max() < EXCHANGED[1]:
            text = (
                f"points {a} ({names[a]}) and {b} ({names[b]}) are swapped; exchange "
                "them"
            )
            yield make_finding("error", "swapped", sample, text, float(plain[a]))


def check_outside(sample: Sample, size: tuple[int, int]) -> Iterator[Finding]:
    """Find points outside an image of `size` (width, height), or a wrong pixel origin."""
    points = sample.landmarks[known_rows(sample.landmarks)]
    if len(points) == 0:
        return
    end = np.array(size) - 0.5
    before, after = float((-0.5 - points).max()), float((points - end).max())
    if before <= 0 and after <= 0:
        return
    if before <= 0.5 and after <= 0:
        text = f"left of or above the image: the file seems to count from {_origin(-1)}"
        yield make_finding(
            "warning", "offset", sample, f"a point is half a pixel {text}", 1.0
        )
    elif after <= 0.5 and before <= 0:
        text = (
            f"right of or below the image: the points seem to count from {_origin(1)}"
        )
        yield make_finding(
            "warning", "offset", sample, f"a point is half a pixel {text}", 1.0
        )
    else:
        beyond = ((points < -0.5) | (points > end)).any(1)
        far = max(before, after)
        text = (
            f"{int(beyond.sum())} of {len(points)} points outside the {size[0]} x {size[1]} image, "
            f"by up to {far:.1f} px; check the image's size and the file"
        )
        severity = "error" if beyond.all() else "warning"
        yield make_finding(severity, "outside", sample, text, far / max(size))


def _constant_shift(one: Array, two: Array) -> Array | None:
    """Return the mean offset (2,) of `two` from `one` if all known points agree, else None."""
    shift = (two - one)[known_rows(one, two)]
    if len(shift) == 0 or shift.std(0).max() > 0.05:
        return None
    return np.asarray(shift.mean(0))


def check_offset(one: Sample, two: Sample) -> Iterator[Finding]:
    """Find two annotations of the same image that differ by exactly one pixel."""
    if one.scheme != two.scheme or one.landmarks.shape != two.landmarks.shape:
        return
    shift = _constant_shift(one.landmarks, two.landmarks)
    if shift is None:
        return
    by_one, by_none = np.abs(np.abs(shift) - 1) < 0.1, np.abs(shift) < 0.1
    if by_one.any() and (by_one | by_none).all():
        text = (
            f"the points equal those of {one.name} shifted by ({shift[0]:+.0f}, "
            f"{shift[1]:+.0f}) px: one of the two counts from 0, the other from 1"
        )
        yield Finding("error", "offset", two.name, text, (two, one), 2.0)


def check_equal(one: Sample, two: Sample) -> Iterator[Finding]:
    """Find two annotations of the same image with the same points."""
    if one.scheme != two.scheme or one.landmarks.shape != two.landmarks.shape:
        return
    if np.array_equal(one.landmarks, two.landmarks, equal_nan=True):
        text = f"the same points as {one.name}, on the same image; keep one"
        yield Finding("warning", "duplicate", two.name, text, (two, one), 1.0)


def find_duplicates(
    images: Sequence[ImageSummary],
) -> Iterator[tuple[ImageSummary, ImageSummary, bool]]:
    """Yield each pair of equal images once, with True if the second one is mirrored.

    Hashes of candidates differ in at most 3 of 64 bits, so at least one of the four 16-bit words
    matches exactly; the 32 x 32 thumbnails then decide.
    """
    by_word: dict[tuple[int, int], list[int]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for number, image in enumerate(images):
        for mirrored, bits in ((False, image.bits), (True, image.bits_flipped)):
            tiny = image.tiny[:, ::-1] if mirrored else image.tiny
            candidates: set[int] = set()
            for word in _words(bits):
                candidates.update(by_word.get(word, ()))
            for other in sorted(candidates):
                far = (images[other].bits ^ bits).bit_count() > SAME_HASH
                if far or (other, number) in found:
                    continue
                if (
                    np.abs(tiny.astype(np.int16) - images[other].tiny).mean()
                    <= MAX_THUMBNAIL_DIFFERENCE
                ):
                    found.add((other, number))
                    yield images[other], image, mirrored
        for word in _words(image.bits):
            by_word[word].append(number)


def _words(bits: int) -> list[tuple[int, int]]:
    """Return the four 16-bit words of a hash, each with its position."""
    return [(place, (bits >> (16 * place)) & 0xFFFF) for place in range(4)]


def judge_duplicate(
    one: ImageSummary, two: ImageSummary, mirrored: bool
) -> Iterator[Finding]:
    """Classify two equal images: a leak between splits, two faces in a photo, or a shifted copy."""
    a, b = one.sample, two.sample
    equal = _pixels_equal(a, b, mirrored)
    how = "the same pixels" if equal else "nearly the same image"
    if mirrored:
        how += ", mirrored"
    if a.subset != b.subset:
        text = f"{how} as {a.name}, in another split ({a.subset} and {b.subset}); remove one"
        yield Finding("error", "duplicate", b.name, text, (b, a), 2.0 if equal else 1.0)
    elif (
        not mirrored
        and one.size == two.size
        and iou(a.face_box(), b.face_box())[0, 0] < 0.5
    ):
        text = f"{how} as {a.name}, with another face annotated; split by photo, not by face"
        yield Finding("note", "duplicate", b.name, text, (b, a))
    else:
        text = f"{how} as {a.name}; keep one"
        yield Finding("warning", "duplicate", b.name, text, (b, a), float(equal))
    if one.size == two.size:
        if mirrored:
            yield from _check_mirrored_offset(a, b, one.size[0])
        else:
            yield from check_offset(a, b)


def _pixels_equal(a: Sample, b: Sample, mirrored: bool) -> bool:
    one, two = a.read(), b.read()
    return np.array_equal(one[:, ::-1] if mirrored else one, two)


def _check_mirrored_offset(a: Sample, b: Sample, width: int) -> Iterator[Finding]:
    """Find mirrored copies with a wrong origin: x + 1 becomes W - 1 - (x + 1), 2 px off."""
    if (
        a.scheme != b.scheme
        or a.scheme not in scheme_names()
        or len(a.landmarks) != len(b.landmarks)
    ):
        return
    mirrored = a.landmarks[scheme(a.scheme).mirror] * [-1, 1] + [width - 1, 0]
    shift = _constant_shift(mirrored, b.landmarks)
    if shift is not None and abs(abs(shift[0]) - 2) < 0.5:
        text = (
            f"the mirrored points of {a.name} are {shift[0]:+.1f} px off: "
            f"both seem to count from {_origin(shift[0])}"
        )
        yield Finding("error", "offset", b.name, text, (b, a), 2.0)


def _origin(shift: float) -> str:
    return "1, not from 0" if shift > 0 else "0, not from 1"


def check_far(sample: Sample, apart: Array) -> Iterator[Finding]:
    """Find a face far from a model's landmarks; `apart` is truth - prediction (N, 2), pixels."""
    distance = float(np.nanmean(np.linalg.norm(apart, axis=1))) / box_side(
        sample.face_box()
    )
    if distance > MAX_MODEL_DISTANCE:
        text = (
            f"its points are {100 * distance:.0f} % of the box side away from the "
            "model's"
        )
        yield make_finding(
            "warning", "far", sample, f"{text} on average: check it", distance
        )


def check_against(residuals: Mapping[str, Sequence[Array]]) -> Iterator[Finding]:
    """Find splits that are a pixel off: `residuals` are truth - prediction (2,) per face."""
    for subset, rows in residuals.items():
        if len(rows) < MIN_FACES:
            continue
        mean, error = np.mean(rows, 0), np.std(rows, 0) / np.sqrt(len(rows))
        one_pixel = (np.abs(np.abs(mean) - 1) < 0.35).all() and mean[0] * mean[1] > 0
        if one_pixel and error.max() < 0.15:
            off = f"({mean[0]:+.2f}, {mean[1]:+.2f}) px off the model's"
            origin = f"they seem to count from {_origin(mean[0])}"
            text = f"over {len(rows)} faces the points are {off}: {origin}"
            yield Finding("warning", "offset", subset or ".", text, (), 3.0)
