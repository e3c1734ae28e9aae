"""MTFL (Zhang et al. 2014): 5 points and four attributes of 12,995 faces."""

from pathlib import Path

import numpy as np

from ...errors import DataError
from ..sample import Sample

PARTS: dict[str, int] = {"train": 10000, "test": 2995}
LISTS = {"train": "training.txt", "test": "testing.txt"}
POSES = ("left_profile", "left", "frontal", "right", "right_profile")


def read_mtfl(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part, five points, with attributes; skip missing images."""
    path = root / LISTS[part]
    if not path.is_file():
        raise DataError(
            f"{path}: not found; expected training.txt, testing.txt and their images"
        )
    samples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            sample = _parse_face(line.split(), root, f"{path}:{number}", part)
            if sample.image.is_file():
                samples.append(sample)
    return samples


def _parse_face(words: list[str], root: Path, location: str, part: str) -> Sample:
    try:
        numbers = np.array(words[1:], dtype=np.float64)
        if numbers.shape != (14,):
            raise ValueError(f"{len(words)} columns")
        male, smiling, glasses = (numbers[10:13] == 1).tolist()
        pose = POSES[int(numbers[13]) - 1]
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{location}: {error}; "
            "expected a path, 5 x, 5 y, gender, smile, glasses and pose"
        ) from error
    # paths in the lists use Windows separators
    name = words[0].replace("\\", "/")
    return Sample(
        image=root / name,
        landmarks=numbers[:10].reshape(2, 5).T,
        scheme="five",
        name=name,
        subset=part,
        attributes={
            "male": male,
            "smiling": smiling,
            "glasses": glasses,
            **{each: each == pose for each in POSES},
        },
    )
