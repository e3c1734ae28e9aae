"""Audit of a data set: errors in its annotations and images, worst first.

Depends on files.py, which reads the set, and on checks.py.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from ...errors import ImageError, InputError
from ...geometry import Array
from ...io.image import ORIENTATION_TAG
from ..mean_face import known_rows
from ..readers.own_data import DEFAULT_OWN_DATA, OwnData
from ..sample import Image, Sample
from .checks import (
    SEVERITIES,
    Finding,
    ImageSummary,
    check_against,
    check_equal,
    check_far,
    check_offset,
    check_outside,
    check_points,
    find_duplicates,
    judge_duplicate,
    make_finding,
    summarize,
)
from .files import read_any
from .set_checks import check_all_outside, check_resized, check_set, own_means

Predict = Callable[[Image, Sample], Array]
Progress = Callable[[int, int], None]

OUTSIDE = "outside"
VIDEO_STRIDE = 100
"""Stride at which the frames of a video are checked."""


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit."""

    root: str
    """The audited folder, or the number of samples as text."""
    data: str
    """Name of the detected official layout; empty if there is none."""
    faces: int
    """Number of annotated faces that could be read."""
    images: int
    """Number of images that were checked."""
    splits: dict[str, int]
    """Number of faces per split."""
    findings: tuple[Finding, ...]
    """All findings, worst first."""

    def count(self, severity: str) -> int:
        """Return the number of findings of one severity."""
        return [finding.severity for finding in self.findings].count(severity)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return (severity, kind, file, message) of each finding."""
        return [(f.severity, f.kind, f.file, f.message) for f in self.findings]

    def summary(self) -> str:
        """Return a one-line summary for the user."""
        text = (
            f"{self.root}: {self.faces} faces on {self.images} images in "
            f"{len(self.splits)} splits"
        )
        counts = []
        for severity in SEVERITIES:
            count = self.count(severity)
            counts.append(f"{count} {severity}{'' if count == 1 else 's'}")
        return f"{text}; {', '.join(counts)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-serializable values."""
        keys = ("severity", "kind", "file", "message")
        return {
            "root": self.root,
            "data": self.data,
            "faces": self.faces,
            "images": self.images,
            "splits": self.splits,
            "findings": [dict(zip(keys, row, strict=True)) for row in self.rows()],
        }


def audit(
    source: Path | Sequence[Sample],
    predict: Predict | None = None,
    progress: Progress | None = None,
    own: OwnData = DEFAULT_OWN_DATA,
) -> AuditReport:
    """Find errors in a data set; a broken file is reported as a finding, not raised.

    Args:
        source: Samples, or a folder with a known layout, .pts files or an annotation table.
        predict: Maps an image and a sample to landmarks in its scheme; used to find outliers
            and splits that are off by one pixel.
        progress: Called with the number of images checked and the total.
        own: User-provided information about the data.

    Raises:
        DataError: If the folder does not exist or contains no annotations.
    """
    if isinstance(source, Path):
        root = str(source)
        name, samples, findings = read_any(source, own)
    else:
        root = f"{len(source)} samples"
        name, samples, findings = "", list(source), []
    means = own_means(samples)
    for sample in samples:
        findings += check_points(sample, means.get(sample.scheme))
    findings += check_set(samples, bool(own.group))
    findings += _check_double_annotations(samples)
    images, of_images = _check_images(samples, predict, progress)
    findings += of_images
    for one, two, mirrored in find_duplicates(images):
        findings += judge_duplicate(one, two, mirrored)
    findings.sort(
        key=lambda f: (SEVERITIES.index(f.severity), f.kind, -f.weight, f.file)
    )
    splits = dict(sorted(Counter(sample.subset for sample in samples).items()))
    return AuditReport(root, name, len(samples), len(images), splits, tuple(findings))


def _by_image(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Group the samples by image."""
    faces: dict[tuple[Path, int | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        faces[sample.image, sample.frame].append(sample)
    return list(faces.values())


def _check_double_annotations(samples: Iterable[Sample]) -> Iterator[Finding]:
    """Find images that are annotated twice, with the same points or an offset of one pixel."""
    for faces in _by_image(samples):
        for number, one in enumerate(faces):
            for two in faces[number + 1 :]:
                yield from check_equal(one, two)
                yield from check_offset(one, two)


def _is_checked(sample: Sample) -> bool:
    if sample.frame is None or sample.image.suffix in (".mat", ".csv"):
        return True
    return sample.frame % VIDEO_STRIDE == 0


def _check_images(
    samples: Sequence[Sample], predict: Predict | None, progress: Progress | None
) -> tuple[list[ImageSummary], list[Finding]]:
    """Read every image once; return summaries, and findings about faces and image headers."""
    groups = _by_image(filter(_is_checked, samples))
    summaries: list[ImageSummary] = []
    findings: list[Finding] = []
    outside: list[Finding] = []
    residuals: dict[str, list[Array]] = defaultdict(list)
    for done, faces in enumerate(groups, 1):
        try:
            image = faces[0].read()
        except ImageError as error:
            findings.append(
                Finding("error", "image", faces[0].name, str(error), weight=1.0)
            )
            continue
        summary = summarize(faces[0], image)
        summaries.append(summary)
        findings += check_exif(faces, summary.size)
        for face in faces:
            findings += check_resized(face, summary.size)
            outside += [
                f for f in check_outside(face, summary.size) if f.kind == OUTSIDE
            ]
            findings += check_outside(face, summary.size)
            if predict is None:
                continue
            try:
                apart = face.landmarks - predict(image, face)
            except InputError:
                # the face lies outside its image, which other checks report
                continue
            residuals[face.subset].append(np.nanmean(apart, axis=0))
            findings += check_far(face, apart)
        if progress is not None:
            progress(done, len(groups))
    findings += check_all_outside(outside, sum(map(len, groups)))
    return summaries, [*findings, *check_against(residuals)]


def check_exif(faces: Sequence[Sample], size: tuple[int, int]) -> Iterator[Finding]:
    """Find EXIF headers that rotate the image, and faces annotated on the unrotated image.

    Args:
        faces: The faces of one image.
        size: Width and height of the image after EXIF rotation.
    """
    if faces[0].frame is not None:
        return
    try:
        with PIL.Image.open(faces[0].image) as image:
            orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        # a broken EXIF header in a readable image does not affect the points
        return
    if orientation not in range(2, 9):
        return
    header = f"EXIF orientation {orientation}"
    stored_size = size[::-1] if orientation >= 5 else size
    for face in faces:
        points = face.landmarks[known_rows(face.landmarks)]
        fits_upright = bool((points <= np.array(size) - 0.5).all())
        fits_stored = bool((points <= np.array(stored_size) - 0.5).all())
        if fits_stored and not fits_upright:
            text = "but the points fit the image as stored, not upright; rotate them"
            yield make_finding("error", "exif", face, f"{header}, {text}", 2.0)
        else:
            text = "applied here, but maybe not by other tools; store the image upright"
            yield make_finding("warning", "exif", face, f"{header}: {text}", 1.0)
