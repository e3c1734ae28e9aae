"""Audit of a data set: what is wrong with its annotations and pictures, as a list of findings, the worst first."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ...errors import DataError, ImageError, InputError
from ...geometry import Array
from ...io.image import ORIENTATION_TAG
from ...io.media_files import has_image_suffix, image_next_to
from ..readers.pts import read_pts
from ..readers.registry import READERS
from ..readers.w300 import PARTS as W300_PARTS
from ..sample import SCHEME_OF_COUNT, Picture, Sample, photo_of_numbered
from .checks import (
    SEVERITIES,
    Finding,
    Seen,
    check_against,
    check_far,
    check_offset,
    check_outside,
    check_points,
    find_duplicates,
    judge_duplicate,
)

Predict = Callable[[Picture, Sample], Array]

MARKS: dict[str, tuple[str, ...]] = {
    "300w": ("helen", "lfpw", "afw", "ibug", "300W/01_Indoor", "300W/02_Outdoor"),
    "wflw": ("WFLW_annotations",),
    "cofw": ("COFW_train_color.mat", "COFW_test_color.mat"),
    "aflw": ("AFLWinfo_release.mat",),
    "300vw": ("300VW_Dataset_2015_12_14",),
    "talking-face": ("franck.webm",),
    "infanface": ("train.csv",),
    "scut86": ("facial landmark",),
    "mtfl": ("training.txt", "testing.txt"),
}
"""Files and folders by which an official layout is known."""
PTS_SETS = (
    "300w",
    "infanface",
)  # read file by file, so that one broken file does not hide the rest
WHOLE_PARTS: dict[str, tuple[str, ...]] = {
    "wflw": ("train", "test"),
    "cofw": ("train", "test"),
    "aflw": ("train", "full"),
    "300vw": ("train", "test"),
    "talking-face": ("test",),
    "scut86": ("all",),
    "mtfl": ("train", "test"),
    "infanface": ("train", "test"),
    "300w": ("train", "common", "challenging", "test-indoor", "test-outdoor"),
}
"""The parts that together are a data set, each face once."""
VIDEO_STRIDE = 100  # of a video, every hundredth picture is looked at


@dataclass(frozen=True)
class AuditReport:
    """What an audit saw and found."""

    root: str
    """The folder, or what the samples were called."""
    data: str
    """The official layout that was recognized, or an empty text."""
    faces: int
    """Annotated faces that could be read."""
    pictures: int
    """Pictures that were looked at."""
    splits: dict[str, int]
    """Faces by split."""
    findings: tuple[Finding, ...]
    """The worst first."""

    def count(self, severity: str) -> int:
        """The number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(severity, kind, file, message) of each finding, for a table."""
        return [(f.severity, f.kind, f.file, f.message) for f in self.findings]

    def summary(self) -> str:
        """One line."""
        counts = ", ".join(
            f"{self.count(s)} {s}{'' if self.count(s) == 1 else 's'}" for s in SEVERITIES
        )
        return f"{self.root}: {self.faces} faces on {self.pictures} pictures in {len(self.splits)} splits; {counts}"

    def to_dict(self) -> dict[str, Any]:
        """The report as plain lists and numbers, fit for JSON."""
        keys = ("severity", "kind", "file", "message")
        return {
            "root": self.root,
            "data": self.data,
            "faces": self.faces,
            "pictures": self.pictures,
            "splits": self.splits,
            "findings": [dict(zip(keys, row, strict=True)) for row in self.rows()],
        }


def audit(
    source: Path | Sequence[Sample],
    predict: Predict | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """What is wrong with a folder of annotated pictures, or with samples; a broken file is a finding, not an error.

    source: the root of a known layout, of .pts files beside pictures, or of one dlib XML, COCO or CSV file; or samples.
    predict: takes a picture and a sample to landmarks in its scheme; with it, whole splits moved by a pixel are found.
    progress: called with pictures done and their number.
    Raises: DataError where the folder is absent or holds no annotation.
    """
    if isinstance(source, Path):
        name, samples, findings = _gather(source)
    else:
        name, samples, findings = "", list(source), []
    for sample in samples:
        findings += check_points(sample)
    findings += _two_annotations(samples)
    seen, of_pictures = _look(samples, predict, progress)
    findings += of_pictures
    for one, two, mirrored in find_duplicates(seen):
        findings += judge_duplicate(one, two, mirrored)
    findings.sort(key=lambda f: (SEVERITIES.index(f.severity), f.kind, -f.weight, f.file))
    splits = dict(sorted(Counter(sample.subset for sample in samples).items()))
    root = str(source) if isinstance(source, Path) else f"{len(samples)} samples"
    return AuditReport(root, name, len(samples), len(seen), splits, tuple(findings))


def _gather(root: Path) -> tuple[str, list[Sample], list[Finding]]:
    """The layout's name, the faces that can be read, and what is wrong with the files."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; wanted the root of a data set")
    name = next(
        (n for n, marks in MARKS.items() if any((root / mark).exists() for mark in marks)), ""
    )
    if name and name not in PTS_SETS:
        samples, findings = _read_parts(name, root)
    elif any(root.rglob("*.pts")):
        samples, findings = _read_files(root)
        findings += _official(name, samples) if name else []
    else:
        name = ""
        samples, findings = _read_table(root)
    if not samples and not findings:
        raise DataError(
            f"{root}: no annotation; wanted .pts files beside pictures, a known layout, XML, JSON or CSV"
        )
    return name, samples, findings


def _read_parts(name: str, root: Path) -> tuple[list[Sample], list[Finding]]:
    samples: list[Sample] = []
    findings: list[Finding] = []
    for part in WHOLE_PARTS[name]:
        try:
            faces = READERS[name].read(root, part)
        except DataError as error:
            findings.append(Finding("error", "file", part, str(error)))
            continue
        samples += faces
        if text := READERS[name].missing(faces, part):
            findings.append(
                Finding(
                    "warning", "count", part, f"{text}; get the rest, or say so beside your figures"
                )
            )
    return samples, findings


def _read_table(root: Path) -> tuple[list[Sample], list[Finding]]:
    samples: list[Sample] = []
    findings = []
    for suffix, reader in ((".xml", "dlib"), (".json", "coco"), (".csv", "csv")):
        for path in sorted(root.glob(f"*{suffix}")):
            try:
                samples += READERS[reader].read(path, "all")
            except DataError as error:
                findings.append(Finding("warning", "file", path.name, str(error)))
    return samples, findings


def _official(name: str, samples: list[Sample]) -> list[Finding]:
    """Parts of a set of .pts files that are short of their official count; parts wholly absent are notes."""
    findings = []
    for part in WHOLE_PARTS[name]:
        folders = W300_PARTS[part][0] if name == "300w" else (part,)
        faces = [sample for sample in samples if sample.subset.startswith(folders)]
        if text := READERS[name].missing(faces, part):
            grave = "warning" if faces else "note"
            findings.append(
                Finding(
                    grave, "count", part, f"{text}; get the rest, or say so beside your figures"
                )
            )
    return findings


def _read_files(root: Path) -> tuple[list[Sample], list[Finding]]:
    """The faces of a tree of .pts files, and the files that are broken, alone, headerless or of another count."""
    samples: list[Sample] = []
    findings: list[Finding] = []
    alone: dict[str, list[str]] = defaultdict(list)
    headerless: dict[str, list[str]] = defaultdict(list)
    files: Counter[str] = Counter()
    for path in sorted(root.rglob("*.pts")):
        name, folder = path.relative_to(root).as_posix(), path.parent.relative_to(root).as_posix()
        files[folder] += 1
        try:
            landmarks = read_pts(path)
        except DataError as error:
            findings.append(Finding("error", "file", name, str(error)))
            continue
        if not path.read_text(encoding="utf-8").lstrip("\ufeff \r\n").startswith("version"):
            headerless[folder].append(path.name)
        image = image_next_to(path)
        if image is None:
            alone[folder].append(path.name)
            continue
        numbered = folder.startswith(("helen", "afw"))
        photo = photo_of_numbered(path.stem) if numbered else ""
        scheme = SCHEME_OF_COUNT.get(len(landmarks), "")
        samples.append(
            Sample(
                image,
                landmarks,
                scheme,
                image.relative_to(root).as_posix(),
                subset=folder,
                photo=photo,
            )
        )
    findings += _other_counts(samples)
    for folder, names in headerless.items():
        text = f"{len(names)} of {files[folder]} .pts files have no header, e.g. {names[0]}; they are read all the same"
        findings.append(Finding("note", "header", folder, text))
    for folder, names in alone.items():
        text = f"{len(names)} of {files[folder]} .pts files have no picture beside them, e.g. {names[0]}; add or remove"
        findings.append(Finding("warning", "file", folder, text))
    findings += _without_points(root)
    return samples, findings


def _without_points(root: Path) -> list[Finding]:
    """Folders that hold .pts files and pictures without one."""
    findings = []
    for folder in sorted({path.parent for path in root.rglob("*.pts")}):
        bare = sorted(
            p.name
            for p in folder.iterdir()
            if has_image_suffix(p) and not p.with_suffix(".pts").exists()
        )
        if bare:
            text = (
                f"{len(bare)} pictures have no .pts file, e.g. {bare[0]}; annotate or remove them"
            )
            findings.append(Finding("note", "file", folder.relative_to(root).as_posix(), text))
    return findings


def _other_counts(samples: list[Sample]) -> list[Finding]:
    """Faces with another number of points than most faces of the set."""
    if not samples:
        return []
    counts = Counter(len(sample.landmarks) for sample in samples)
    usual = counts.most_common(1)[0][0]
    return [
        Finding(
            "error",
            "count",
            sample.name,
            f"{len(sample.landmarks)} points, {counts[usual]} other files have {usual}; mend the file",
            (sample,),
            1.0,
        )
        for sample in samples
        if len(sample.landmarks) != usual
    ]


def _two_annotations(samples: Iterable[Sample]) -> Iterator[Finding]:
    """Pictures annotated twice, one pixel apart."""
    by_picture: dict[tuple[Path, int | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_picture[sample.image, sample.frame].append(sample)
    for faces in by_picture.values():
        for number, one in enumerate(faces):
            for two in faces[number + 1 :]:
                yield from check_offset(one, two)


def _look(
    samples: Sequence[Sample], predict: Predict | None, progress: Callable[[int, int], None] | None
) -> tuple[list[Seen], list[Finding]]:
    """Every picture once: what is kept of it, and what its faces and header tell."""
    by_picture: dict[tuple[Path, int | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        if (
            sample.frame is None
            or sample.image.suffix == ".mat"
            or sample.frame % VIDEO_STRIDE == 0
        ):
            by_picture[sample.image, sample.frame].append(sample)
    seen: list[Seen] = []
    findings: list[Finding] = []
    residuals: dict[str, list[Array]] = defaultdict(list)
    for done, faces in enumerate(by_picture.values(), 1):
        first = faces[0]
        try:
            picture = first.read()
        except ImageError as error:
            findings.append(Finding("error", "picture", first.name, str(error), weight=1.0))
            continue
        look = see(first, picture)
        seen.append(look)
        findings += check_exif(faces, look.size)
        for face in faces:
            findings += check_outside(face, look.size)
            if predict is not None:
                try:
                    apart = face.landmarks - predict(picture, face)
                except InputError:  # a face outside its picture, of which the other checks tell
                    continue
                residuals[face.subset].append(np.nanmean(apart, axis=0))
                findings += check_far(face, apart)
        if progress is not None:
            progress(done, len(by_picture))
    return seen, [*findings, *check_against(residuals)]


def see(sample: Sample, picture: Picture) -> Seen:
    """What is kept of a picture: its size, two hashes and 32 x 32 grey pixels."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    tiny = np.asarray(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    small = np.asarray(cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)).astype(np.int16)
    height, width = picture.shape[:2]
    return Seen(sample, (width, height), _hash(small), _hash(small[:, ::-1]), tiny)


def _hash(small: Any) -> int:
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def check_exif(faces: Sequence[Sample], size: tuple[int, int]) -> Iterator[Finding]:
    """A picture that its EXIF header turns, and faces whose points were made on the picture as it is stored."""
    if faces[0].frame is not None:
        return
    try:
        with Image.open(faces[0].image) as picture:
            orientation = picture.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        # a broken header beside a readable picture is no surprise for the points
        return
    if orientation not in range(2, 9):
        return
    turned = size[::-1] if orientation >= 5 else size
    for face in faces:
        points = face.landmarks[np.isfinite(face.landmarks).all(1)]
        upright, stored = (bool((points <= np.array(end) - 0.5).all()) for end in (size, turned))
        if stored and not upright:
            text = f"EXIF orientation {orientation}, and the points fit the picture as stored, not upright; turn them"
            yield Finding("error", "exif", face.name, text, (face,), 2.0)
        else:
            text = f"EXIF orientation {orientation}: it is applied here, other tools may not; store the picture upright"
            yield Finding("warning", "exif", face.name, text, (face,), 1.0)
