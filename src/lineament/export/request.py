"""Arguments of every exporter: a checkpoint, the file to write, the data folders."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ExportRequest:
    """Arguments of one export, see registry.py."""

    checkpoint: Path
    out: Path
    """Folder of the file and its card."""
    name: str
    """Name of both, without suffix: letters, digits, dots, + and -."""
    int8: bool
    """True: quantize, calibrated on training faces or photos."""
    data_root: Path
    """Folder of the data sets of the checkpoint's recipe."""
    cache: Path
    """Folder of cached crops."""
    about: dict[str, Any] = field(default_factory=dict)
    """Additional entries of the card: data, license, limits."""
    scheme_name: str = ""
    """For a model of a joined scheme: export only the points of this one."""
