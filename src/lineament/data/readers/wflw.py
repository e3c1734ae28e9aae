"""WFLW (Wu et al. 2018): 98 points, box and six attributes of 10,000 faces, from the official lists."""

from pathlib import Path

import numpy as np

from ...errors import DataError, did_you_mean
from ..sample import Sample, check_count

ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
"""In the order of the list's columns: a large pose, an exaggerated expression, extreme light, and so on."""

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
COLUMNS = 196 + 4 + 6 + 1  # points, box, attributes, picture


def read_wflw(root: Path, part: str) -> list[Sample]:
    """Read the faces of one `part` of WFLW below `root` whose image is here.

    They are wflw98, with attributes and boxes.

    Raises:
        DataError: If the part is unknown, or the list is missing or has a broken line.
    """
    return [sample for sample in annotated_wflw(root, part) if sample.image.is_file()]


def annotated_wflw(root: Path, part: str) -> list[Sample]:
    """Read faces like `read_wflw`, also those whose image is absent."""
    if part not in PARTS:
        raise DataError(f"WFLW has no part {part!r}; {did_you_mean(part, PARTS)}")
    split, _, attribute = part.partition("-")
    path = root / LISTS.format(split)
    if not path.is_file():
        raise DataError(
            f"{path}: absent; wanted WFLW_annotations and WFLW_images of the official download in {root}"
        )
    faces: dict[str, int] = {}
    samples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        sample = _face(line.split(), root, f"{path}:{number}", split, faces)
        if not attribute or sample.attributes[attribute]:
            samples.append(sample)
    return samples


def _face(words: list[str], root: Path, where: str, split: str, faces: dict[str, int]) -> Sample:
    try:
        if len(words) != COLUMNS:
            raise ValueError(f"{len(words)} columns")
        numbers = np.array(words[:-1], dtype=np.float64)
    except ValueError as error:
        raise DataError(
            f"{where}: {error}; wanted 196 coordinates, 4 of the box, 6 attributes and a path"
        ) from error
    name = words[-1]
    faces[name] = (
        faces.get(name, 0) + 1
    )  # one picture may hold several faces: they differ by their number
    return Sample(
        image=root / "WFLW_images" / name,
        landmarks=numbers[:196].reshape(98, 2),
        scheme="wflw98",
        name=name if faces[name] == 1 else f"{name}#{faces[name]}",
        box=numbers[196:200],
        subset=split,
        attributes=dict(zip(ATTRIBUTES, (numbers[200:206] != 0).tolist(), strict=True)),
        photo=Path(name).stem,
    )


def missing_wflw(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"WFLW {part}")
