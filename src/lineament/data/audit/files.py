"""Read the faces in a folder of any known layout, and find problems with its files.

Depends on the readers. A broken file becomes a finding, so the other files are still read.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from ...errors import DataError, InputError
from ...io.media_files import (
    contains_visible,
    has_image_suffix,
    image_next_to,
    visible_files,
)
from ...io.review_files import SUFFIX as REVIEWED
from ..guess_scheme import SCHEME_BY_COUNT
from ..readers.find_annotations import find_annotations
from ..readers.image_finder import StemFinder
from ..readers.label_text import read_label_text
from ..readers.own_data import DEFAULT_OWN_DATA, OwnData, guessed_scheme_note
from ..readers.pts import read_pts
from ..readers.registry import READERS, detect_table_format
from ..readers.sentinels import mask_sentinels
from ..readers.w300 import FOLDERS, group_in
from ..sample import Sample
from .checks import Finding, make_finding

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
    "multipie": ("MPie_Labels",),
    "ar": ("points_22",),
    "imm": ("01-1m.asf",),
    "muct": ("muct76-opencv.csv", "muct-landmarks"),
    "bioid": ("points_20",),
    "lfpw": ("kbvt_lfpw_v1_train.csv", "kbvt_lfpw_v1_test.csv"),
    "afw": ("anno.mat", "testimages/anno.mat"),
}
"""Files and folders that identify an official layout."""
PTS_SETS = ("300w", "infanface")
"""Data sets that are read file by file, because one broken file would stop their reader."""
DISJOINT_PARTS: dict[str, tuple[str, ...]] = {
    "wflw": ("train", "test"),
    "cofw": ("train", "test"),
    "aflw": ("train", "full"),
    "300vw": ("train", "test"),
    "talking-face": ("test",),
    "scut86": ("all",),
    "mtfl": ("train", "test"),
    "multipie": ("frontal", "profile"),
    "ar": ("all",),
    "imm": ("all",),
    "muct": ("all",),
    "bioid": ("all",),
    "lfpw": ("train", "test"),
    "afw": ("all",),
    "infanface": ("train", "test"),
    "300w": ("train", "common", "challenging", "test-indoor", "test-outdoor"),
}
"""Parts that together make up the data set without repeating a face."""
TABLES = (".xml", ".json", ".csv", ".tsv")
"""File suffixes of annotation tables."""

Read = tuple[list[Sample], list[Finding]]


def read_any(
    root: Path, own: OwnData = DEFAULT_OWN_DATA
) -> tuple[str, list[Sample], list[Finding]]:
    """Read the faces in a folder of any layout.

    Args:
        root: The folder.
        own: User-provided information about the data.

    Returns:
        The name of the official layout or "", the faces, and findings about files.

    Raises:
        DataError: If the folder does not exist or contains no annotations.
    """
    if root.is_file():
        return "", READERS[detect_table_format(root)].read(root, "all", own=own), []
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected the root of a data set")
    name = _official_layout(root)
    if name and name not in PTS_SETS:
        samples, findings = _read_parts(name, root)
    elif contains_visible(root, f"**/*{REVIEWED}"):
        samples, findings = READERS["review"].read(root, "all", own=own), []
    elif contains_visible(root, "**/*.pts"):
        samples, findings = _read_pts_files(root, own, not name)
        if name:
            findings += _short_parts(name, samples)
        elif not own.scheme:
            _note_schemes(samples, own, root)
    else:
        name = ""
        samples, findings = _read_tables(root, own)
    if not samples and not findings:
        expected = ".pts files next to images, a known layout, XML, JSON or CSV"
        raise DataError(f"{root}: no annotations; expected {expected}")
    return name, samples, findings


def _note_schemes(samples: list[Sample], own: OwnData, root: Path) -> None:
    """Report the schemes that were inferred from the number of points."""
    for name, count in {(s.scheme, len(s.landmarks)) for s in samples if s.scheme}:
        own.note(guessed_scheme_note(str(root), count, name))


def _official_layout(root: Path) -> str:
    for name, marks in MARKS.items():
        if any((root / mark).exists() for mark in marks):
            return name
    return ""


def _read_parts(name: str, root: Path) -> Read:
    samples: list[Sample] = []
    findings: list[Finding] = []
    for part in DISJOINT_PARTS[name]:
        try:
            faces = READERS[name].read(root, part)
        except DataError as error:
            findings.append(Finding("error", "file", part, str(error)))
            continue
        samples += faces
        findings += _short_part(name, part, faces, "warning")
    return samples, findings


def _short_parts(name: str, samples: list[Sample]) -> list[Finding]:
    """Find parts with fewer faces than officially; completely absent parts are only notes."""
    findings = []
    for part in DISJOINT_PARTS[name]:
        folders = FOLDERS[part] if name == "300w" else (part,)
        faces = [sample for sample in samples if sample.subset.startswith(folders)]
        findings += _short_part(name, part, faces, "warning" if faces else "note")
    return findings


def _short_part(
    name: str, part: str, faces: list[Sample], severity: str
) -> list[Finding]:
    missing = READERS[name].missing(faces, part)
    if not missing:
        return []
    text = f"{missing}; get the rest, or report this with your results"
    return [Finding(severity, "count", part, text)]


def _read_tables(root: Path, own: OwnData) -> Read:
    """Read the tables in a folder and its subfolder `annotations`, otherwise those further below.

    Of the latter, the folder of each split is the subset of its faces.
    """
    samples: list[Sample] = []
    findings: list[Finding] = []
    for suffix in TABLES:
        for path in visible_files(root, f"*{suffix}", f"annotations/*{suffix}"):
            try:
                reader = READERS[detect_table_format(path)]
                samples += reader.read(path, "all", own=own)
            except InputError as error:
                findings.append(Finding("warning", "file", path.name, str(error)))
    for location in find_annotations(root) if not samples and not findings else ():
        try:
            faces = READERS[location.reader].read(location.path, location.part, own=own)
        except InputError as error:
            name = location.path.relative_to(root).as_posix()
            findings.append(Finding("error", "file", name, str(error)))
            continue
        samples += [
            replace(face, subset=location.split or face.subset) for face in faces
        ]
    if not samples:  # nothing was checked, so the audit must not pass
        findings = [replace(each, severity="error") for each in findings]
    return samples, findings


def _read_pts_files(root: Path, own: OwnData, is_own: bool) -> Read:
    """Read a tree of .pts files; find broken, headerless, unpaired and unusual files.

    Args:
        is_own: The files are a user's, so their images may be anywhere below `root`.
    """
    samples: list[Sample] = []
    findings: list[Finding] = []
    alone: dict[str, list[str]] = defaultdict(list)
    headerless: dict[str, list[str]] = defaultdict(list)
    files: Counter[str] = Counter()
    elsewhere = StemFinder(own.pictures) if own.pictures else None
    below = StemFinder(root) if is_own and not elsewhere else None
    for path in visible_files(root, "**/*.pts"):
        folder = path.parent.relative_to(root).as_posix()
        files[folder] += 1
        try:
            landmarks = read_pts(path)
            image = elsewhere.find(path) if elsewhere else None
            image = image or image_next_to(path)
            image = image or (below.find(path) if below else None)
        except DataError as error:
            name = path.relative_to(root).as_posix()
            findings.append(Finding("error", "file", name, str(error)))
            continue
        text = read_label_text(path, "a .pts file")
        if not text.lstrip().startswith("version"):
            headerless[folder].append(path.name)
        if image is None:
            alone[folder].append(path.name)
            continue
        # the image may be elsewhere, but its name is relative to the labels
        name = path.with_suffix(image.suffix).relative_to(root).as_posix()
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme=own.scheme or SCHEME_BY_COUNT.get(len(landmarks), ""),
                name=name,
                subset=folder,
                group=own.group_of(name, {}, group_in(folder)(path.stem)),
            )
        )
    samples = mask_sentinels(samples, own, str(root), first_pixel=1.0)
    findings += _unusual_counts(samples)
    for folder, names in headerless.items():
        text = f"have no header, e.g. {names[0]}; they are read anyway"
        text = f"{len(names)} of {files[folder]} .pts files {text}"
        findings.append(Finding("note", "header", folder, text))
    for folder, names in alone.items():
        text = (
            f"have no image next to them, e.g. {names[0]}; add the images or remove "
            "the files"
        )
        text = f"{len(names)} of {files[folder]} .pts files {text}"
        findings.append(Finding("warning", "file", folder, text))
    if is_own and not samples:  # nothing was checked, so the audit must not pass
        findings = [replace(each, severity="error") for each in findings]
    return samples, findings + _images_without_points(root, list(files))


def _images_without_points(root: Path, folders: list[str]) -> list[Finding]:
    findings = []
    for folder in folders:
        bare = []
        labeled = {path.stem for path in visible_files(root / folder, "*.pts")}
        for path in sorted((root / folder).iterdir()):
            # the labels of a.jpg may be a.pts or a.jpg.pts
            if has_image_suffix(path) and not {path.stem, path.name} & labeled:
                bare.append(path.name)
        if bare:
            text = f"{len(bare)} images have no .pts file, e.g. {bare[0]}; annotate or remove them"
            findings.append(Finding("note", "file", folder, text))
    return findings


def _unusual_counts(samples: list[Sample]) -> list[Finding]:
    """Find faces whose number of points differs from that of most faces in the set."""
    counts = Counter(len(sample.landmarks) for sample in samples)
    findings = []
    for sample in samples:
        usual, faces = counts.most_common(1)[0]
        if len(sample.landmarks) != usual:
            text = (
                f"{len(sample.landmarks)} points, but {faces} other files have {usual}"
            )
            findings.append(
                make_finding("error", "count", sample, f"{text}; correct the file", 1.0)
            )
    return findings
