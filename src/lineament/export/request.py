"""The request that every exporter takes: a checkpoint, the file to write, the data folders."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ExportRequest:
    """One export, as each exporter of registry.py takes it."""

    checkpoint: Path
    out: Path
    """Folder of the file and its card."""
    name: str
    """Of both, without suffix: letters, digits, dots, + and -."""
    int8: bool
    """Quantize, calibrated on training faces or photos."""
    data_root: Path
    """Folder of the data sets of the checkpoint's recipe."""
    cache: Path
    """Folder of crops."""
    about: dict[str, Any] = field(default_factory=dict)
    """Further entries of the card: data, license, limits."""
    scheme_name: str = ""
    """For a model of a joined scheme: export the points of this one alone."""
