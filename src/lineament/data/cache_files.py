"""The files in the folder of cached crops: how large they are, and their removal."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

CACHED = re.compile(r"([a-z]+(?:-[a-z]+)*)-[0-9a-f]{16}\.np[yz]")
"""Name of a file that a training makes again if it is absent."""
UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.\d+\.part")
"""Name of a file that is being written, or was when its process was killed."""
UNFINISHED_KIND = "unfinished"
DAY_S = 86_400.0


@dataclass(frozen=True)
class CacheFile:
    """A file that may be removed."""

    path: Path
    kind: str
    """"crops", "teacher", ..., or "unfinished"."""
    size: int
    """Bytes."""
    age_days: float
    """Since it was made."""


def list_cache(folder: Path) -> list[CacheFile]:
    """Return the files that trainings have cached in `folder`; others are not listed."""
    return sorted(_files(folder), key=lambda file: (file.kind, file.path.name))


def _files(folder: Path) -> Iterator[CacheFile]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        cached = CACHED.fullmatch(path.name)
        if cached or UNFINISHED.fullmatch(path.name):
            stat = path.stat()
            kind = cached[1] if cached else UNFINISHED_KIND
            age_days = max(0.0, time.time() - stat.st_mtime) / DAY_S
            yield CacheFile(path, kind, stat.st_size, age_days)


def remove_cache(folder: Path, older_than_days: float = 0.0) -> list[CacheFile]:
    """Remove cached files, and return them.

    Unfinished files of less than a day are kept, as they may still be written. A training that has
    a file open keeps it on Linux and macOS; on Windows the removal of that file fails.

    Args:
        folder: The folder of the cache.
        older_than_days: Age from which files are removed.

    Raises:
        InputError: If the number of days is negative.
    """
    if older_than_days < 0:
        raise InputError(
            f"older than {older_than_days:g} days; wanted 0 for all files, or more"
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
