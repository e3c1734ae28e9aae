"""Log of a training run: a CSV file, and TensorBoard if it is installed."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..atomic import atomic_path
from ..recipe import TrainSettings

RATES = (
    "presence_auc",
    "presence_auc_without_star",
    "presence_missed",
    "presence_false",
    "visible_auc",
)
"""Validation results other than the task's metric, by full name; fractions."""


@dataclass(frozen=True)
class Progress:
    """State of a training run at one row of its log."""

    step: int
    steps: int
    loss: float
    """Mean of the total loss since the last report."""
    faces_per_second: float
    seconds_left: float
    validation: dict[str, float] | None = None
    """Results by name, if the model was just validated."""
    metric: str = "nme"
    """Name of the task's metric."""

    def results(self) -> str:
        """Return the validation results as text; NMEs in percent."""
        items = (self.validation or {}).items()
        if self.metric == "nme":
            errors = [f"{n} {100 * v:.3f} %" for n, v in items if n not in RATES]
            rates = [f"{n} {100 * v:.2f} %" for n, v in items if n in RATES]
            return "validation NME: " + "  ".join([*errors, *rates])
        return "validation: " + "  ".join(
            f"{name} {value:.4g}" for name, value in items
        )


class TrainLog:
    """Append to `folder`/log.csv; rows after `step`, from a killed run, are dropped first."""

    def __init__(self, folder: Path, step: int, metric: str = "nme") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.metric = folder / "log.csv", metric
        self.waiting: list[dict[str, Any]] = []
        rows = [row for row in self._rows() if int(row["step"]) <= step] if step else []
        self.fields = list(rows[0]) if rows else []
        if rows:
            with atomic_path(self.path) as partial:
                self._write(partial, rows, "w")
        else:
            self.path.unlink(missing_ok=True)
        self.board = _tensorboard(folder, step)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        # a killed run may have left an incomplete last row
        complete = text[: text.rfind("\n") + 1]
        return list(csv.DictReader(complete.splitlines()))

    def _write(self, path: Path, rows: list[dict[str, Any]], mode: str) -> None:
        with path.open(mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(
                file,
                self.fields,
                restval="",
                extrasaction="ignore",
                lineterminator="\n",
            )
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)

    def write(
        self,
        step: int,
        losses: dict[str, float],
        lr: float,
        speed: float,
        validation: dict[str, float] | None,
    ) -> None:
        """Write a row, with the validation results by name if there are any."""
        scalars = {f"loss_{name}": value for name, value in losses.items()}
        scalars |= {"lr": lr, "faces_per_second": speed}
        results = {}
        for name, value in (validation or {}).items():
            results[name if name in RATES else f"{self.metric}_{name}"] = value
        rounded = {name: f"{value:.6g}" for name, value in scalars.items()}
        # one column for all results, so that the header is complete at the first row
        text = " ".join(f"{name}={value:.6f}" for name, value in results.items())
        row = {"step": step, **rounded, "validation": text}
        self.fields = self.fields or list(row)
        self.waiting.append(row)
        self._append()
        if self.board:
            for name, value in (scalars | results).items():
                self.board.add_scalar(name, value, step)

    def _append(self) -> None:
        """Append the waiting rows to the file."""
        try:
            self._write(self.path, self.waiting, "a")
        except PermissionError:
            return  # a program such as Excel has the file open: try again with the next row
        self.waiting = []

    def close(self) -> None:
        """Write the last rows and close the TensorBoard file."""
        if self.waiting:
            self._append()
        if self.board:
            self.board.close()


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


class Meter:
    """Mean losses and speed since the last row of the log."""

    def __init__(self, step: int) -> None:
        self.losses: Tensor | None = None
        """Sum of the losses since the last row."""
        self._first = step
        self._started = time.monotonic()
        self.restart(step)

    def restart(self, step: int) -> None:
        """Reset the sums and the clock; the next row begins after `step`."""
        self.losses, self._last, self._since = None, step, time.monotonic()

    def add(self, losses: Tensor) -> None:
        """Add the losses of a step."""
        self.losses = (
            losses.double() if self.losses is None else self.losses + losses.double()
        )

    def mean(self, step: int) -> Tensor:
        """Return the mean of the losses since the last row."""
        assert self.losses is not None
        return self.losses / (step - self._last)

    def speed(self, step: int, train: TrainSettings) -> tuple[float, float]:
        """Return the faces per second since the last row, and the seconds left."""
        now = time.monotonic()
        speed = train.batch * (step - self._last) / max(now - self._since, 1e-9)
        return speed, (train.steps - step) * (now - self._started) / (
            step - self._first
        )
