"""The log of a training: a CSV file that any tool reads, and TensorBoard where it is installed."""

import csv
from pathlib import Path
from typing import Any

from ..atomic import atomic_path


class TrainLog:
    """Appends to `folder`/log.csv; rows after `step`, left by a killed run, are dropped first."""

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.csv"
        kept = [row for row in self._rows() if int(row["step"]) <= step] if step else []
        self.fields = list(kept[0]) if kept else []
        if kept:
            with atomic_path(self.path) as beside:
                self._write(beside, kept, "w")
        else:
            self.path.unlink(missing_ok=True)
        self.board = _tensorboard(folder, step)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last row
        return list(csv.DictReader(whole.splitlines()))

    def _write(self, path: Path, rows: list[dict[str, Any]], mode: str) -> None:
        with path.open(mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(
                file, self.fields, restval="", extrasaction="ignore", lineterminator="\n"
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
        """One row; `validation`: NME by data set, as fractions, or None."""
        scalars = {f"loss_{name}": value for name, value in losses.items()} | {
            "lr": lr,
            "faces_per_second": speed,
        }
        nmes = {f"nme_{name}": value for name, value in (validation or {}).items()}
        rounded = {name: f"{value:.6g}" for name, value in scalars.items()}
        # one column for all data sets, so that the header is whole from the first row on
        row = {
            "step": step,
            **rounded,
            "validation": " ".join(f"{k}={v:.6f}" for k, v in nmes.items()),
        }
        self.fields = self.fields or list(row)
        self._write(self.path, [row], "a")
        if self.board:
            for name, value in (scalars | nmes).items():
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        """Ends the TensorBoard file."""
        if self.board:
            self.board.close()


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
