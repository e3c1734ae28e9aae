"""MTFL (Zhang et al. 2014): 5 points, gender, smile, glasses and head pose of 12,995 faces."""

from pathlib import Path

import numpy as np

from ...errors import DataError, did_you_mean
from ..sample import Sample, check_count

PARTS: dict[str, int] = {"train": 10000, "test": 2995}
LISTS = {"train": "training.txt", "test": "testing.txt"}
POSES = ("left_profile", "left", "frontal", "right", "right_profile")


def read_mtfl(root: Path, part: str) -> list[Sample]:
    """The faces of one `part` of MTFL below `root`, five points, with male, smiling, glasses and one of POSES as
    attributes; only those whose picture is here.

    Raises: DataError for an unknown part, a missing list or a broken line.
    """
    if part not in PARTS:
        raise DataError(f"MTFL has no part {part!r}; {did_you_mean(part, PARTS)}")
    path = root / LISTS[part]
    if not path.is_file():
        raise DataError(
            f"{path}: absent; wanted training.txt, testing.txt and their pictures in {root}"
        )
    samples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            sample = _face(line.split(), root, f"{path}:{number}", part)
            if sample.image.is_file():
                samples.append(sample)
    return samples


def _face(words: list[str], root: Path, where: str, part: str) -> Sample:
    try:
        numbers = np.array(words[1:], dtype=np.float64)
        if numbers.shape != (14,):
            raise ValueError(f"{len(words)} columns")
        male, smiling, glasses = (int(n) == 1 for n in numbers[10:13])
        pose = POSES[int(numbers[13]) - 1]
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{where}: {error}; wanted a path, 5 x, 5 y, gender, smile, glasses and pose"
        ) from error
    name = words[0].replace("\\", "/")  # the lists were written on Windows
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
            **{p: p == pose for p in POSES},
        },
    )


def missing_mtfl(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"MTFL {part}")
