"""One column of a study's table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A measure of finished trainings and how its values are shown."""

    title: str
    measure: Callable[[Sequence[Any]], list[float]]
    """Measures all FinishedRuns at once: some columns compare runs on common frames."""
    scale: float = 1.0
    digits: int = 3
    unit: str = ""
