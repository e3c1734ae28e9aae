"""Files in the crop cache: list and remove them."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

CACHED = re.compile(r"([a-z]+(?:-[a-z]+)*)-[0-9a-f]{16}\.np[yz]")
"""File name pattern of cached data that training recreates if it is missing."""
UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.\d+\.part")
"""File name pattern of a file being written, or left behind by a killed process."""
DETECTOR_FOLDER = "detector"
"""Folder of the photos of face detectors in a cache folder."""
UNFINISHED_KIND = "unfinished"
DAY_S = 86_400.0


@dataclass(frozen=True)
class CacheFile:
    """A cached file that can be removed."""

    path: Path
    kind: str
    """Kind of data: "crops", "teacher", ..., or "unfinished"."""
    size: int
    """Size in bytes."""
    age_days: float
    """Age in days since the last modification."""


def list_cache(folder: Path) -> list[CacheFile]:
    """Return the files in `folder` and its folder for detectors that training has cached."""
    return sorted(_files(folder), key=lambda file: (file.kind, file.path.name))


def _files(folder: Path) -> Iterator[CacheFile]:
    if not folder.is_dir():
        return
    for path in (*folder.iterdir(), *(folder / DETECTOR_FOLDER).glob("*")):
        cached = CACHED.fullmatch(path.name)
        if cached or UNFINISHED.fullmatch(path.name):
            stat = path.stat()
            kind = cached[1] if cached else UNFINISHED_KIND
            age_days = max(0.0, time.time() - stat.st_mtime) / DAY_S
            yield CacheFile(path, kind, stat.st_size, age_days)


def remove_cache(folder: Path, older_than_days: float = 0.0) -> list[CacheFile]:
    """Remove cached files and return them.

    Unfinished files less than a day old are kept, because they may still be in use. On Linux and
    macOS a running training keeps its open files; on Windows, removing them fails.

    Args:
        folder: The cache folder.
        older_than_days: Minimum age of the files to remove.

    Raises:
        InputError: If the number of days is negative.
    """
    if older_than_days < 0:
        raise InputError(
            f"older than {older_than_days:g} days; expected 0 for all files, or more"
        )
    removed = []
    for file in list_cache(folder):
        limit = older_than_days
        if file.kind == UNFINISHED_KIND:
            limit = max(limit, 1.0)
        if file.age_days >= limit:
            file.path.unlink(missing_ok=True)
            removed.append(file)
    return removed
