"""WFLW (Wu et al. 2018): 98 points, box and six attributes of 10,000 faces."""

from collections import Counter
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..sample import Sample, numbered_name

ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
"""Attribute names, in column order."""
PARTS: dict[str, int] = {
    "train": 7500,
    "test": 2500,
    "test-pose": 326,
    "test-expression": 314,
    "test-illumination": 698,
    "test-makeup": 206,
    "test-occlusion": 736,
    "test-blur": 773,
}
LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{}.txt"
COLUMNS = 196 + 4 + 6 + 1  # points, box, attributes, image


def read_wflw(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part, wflw98, with boxes and attributes; skip missing images."""
    return [sample for sample in annotated_wflw(root, part) if sample.image.is_file()]


def annotated_wflw(root: Path, part: str) -> list[Sample]:
    """Read faces like `read_wflw`, including those whose image is missing."""
    split, _, attribute = part.partition("-")
    path = root / LISTS.format(split)
    if not path.is_file():
        raise DataError(
            f"{path}: not found; "
            f"expected the official WFLW_annotations and WFLW_images in {root}"
        )
    faces: Counter[str] = Counter()
    samples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        sample = _parse_face(line.split(), root, f"{path}:{number}", split, faces)
        if not attribute or sample.attributes[attribute]:
            samples.append(sample)
    return samples


def _parse_face(
    words: list[str], root: Path, location: str, split: str, faces: Counter[str]
) -> Sample:
    try:
        if len(words) != COLUMNS:
            raise ValueError(f"{len(words)} columns")
        numbers = np.array(words[:-1], dtype=np.float64)
    except ValueError as error:
        raise DataError(
            f"{location}: {error}; "
            "expected 196 coordinates, 4 of the box, 6 attributes, a path"
        ) from error
    name = words[-1]
    return Sample(
        image=root / "WFLW_images" / name,
        landmarks=numbers[:196].reshape(98, 2),
        scheme="wflw98",
        name=numbered_name(name, faces),
        box=numbers[196:200],
        subset=split,
        attributes=dict(zip(ATTRIBUTES, (numbers[200:206] != 0).tolist(), strict=True)),
        group=Path(name).stem,
    )
