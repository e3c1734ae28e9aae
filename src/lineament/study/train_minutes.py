"""Duration of a training run in minutes, from its log."""

import csv
import math
from pathlib import Path

LOG = "log.csv"


def logged_minutes(folder: Path, faces_per_step: int) -> float:
    """Return the minutes of the steps in the log of a run; nan without a log.

    Steps that a killed run lost are not included, and neither is validation time.

    Args:
        folder: Run folder.
        faces_per_step: Faces per training step.
    """
    path = folder / LOG
    if not path.is_file():
        return math.nan
    seconds, before = 0.0, 0
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = int(row["step"])
            faces = faces_per_step * (step - before)
            seconds += faces / float(row["faces_per_second"])
            before = step
    return seconds / 60
