"""CFP (Sengupta et al. 2016): profile and frontal faces, 30 points on the visible half."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import landmark_box
from ...schemes import scheme
from ..sample import Sample, tight_box
from .pts import read_pts_folder
from .table import read_table

PARTS: dict[str, int] = {"train": 7000, "profile": 2000, "frontal": 5000}
"""Number of faces: four profiles and ten frontal faces of 500 subjects; "train" has both."""
SHOWN: dict[str, tuple[int, ...]] = {
    "right": (
        *(0, 1, 2, 3, 4, 5, 6, 7, 8, 17, 19, 21, 36, 37, 38, 39, 40, 41),
        *(27, 28, 29, 30, 33, 32, 31, 48, 51, 62, 57, 66),
    ),
    "left": (
        *(16, 15, 14, 13, 12, 11, 10, 9, 8, 26, 24, 22, 45, 44, 43, 42, 47, 46),
        *(27, 28, 29, 30, 33, 34, 35, 54, 51, 62, 57, 66),
    ),
}
"""ibug68 index of each of the 30 points, by visible half of the face."""
RIGHT = [
    *(0, 1, 2, 3, 4, 5, 6, 7, 17, 18, 19, 20, 21, 36, 37, 38, 39, 40, 41),
    *(31, 32, 48, 49, 50, 58, 59, 60, 61, 67),
]
"""The 29 points of the subject's right half; 10 more lie on the midline."""
TURNED_AWAY = {"right": scheme("ibug68").mirror[RIGHT], "left": np.array(RIGHT)}
"""Points on the hidden half, by visible half of the face."""


def read_cfp30(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part as ibug68; the 38 unannotated points are nan.

    In a profile, the points of the hidden half are not visible. The faces of one person form one
    group. The box of a frontal face is the tight box of its 68 points, completed by a mean face.
    In a profile the visible half occludes the other, so the annotated points span the box.
    """
    table = root / "faces.csv"
    sides: dict[str, str] = {}
    if table.is_file():
        _, rows = read_table(table, ("name", "side_shown"))
        sides = {row["name"]: row["side_shown"] for row in rows}
    samples = []
    for kind in ("profile", "frontal") if part == "train" else (part,):
        for sample in read_pts_folder(
            root, "ibug68", kind, lambda stem: stem.partition("_")[0]
        ):
            samples.append(_to_ibug68(sample, sides, table))
    return samples


def _to_ibug68(sample: Sample, sides: dict[str, str], table: Path) -> Sample:
    """Return `sample` with its 30 points at their indices among the 68."""
    name = Path(sample.name).with_suffix("").as_posix()
    side = sides.get(name, "")
    if side not in SHOWN:
        raise DataError(
            f"{table}: the visible side of {name} is {side!r}; expected right or left"
        )
    indices = list(SHOWN[side])
    if len(sample.landmarks) != len(indices):
        raise DataError(
            f"{sample.image}: {len(sample.landmarks)} points; expected {len(indices)}"
        )
    landmarks = np.full((68, 2), np.nan)
    landmarks[indices] = sample.landmarks
    profile = sample.subset == "profile"
    visible = np.full(68, True)
    visible[TURNED_AWAY[side]] = not profile
    box = landmark_box(sample.landmarks) if profile else tight_box(landmarks, "ibug68")
    return replace(
        sample,
        landmarks=landmarks,
        box=box,
        visible=visible,
        attributes={"profile": profile},
    )
