"""Atomic files: written under a temporary name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on success and is deleted on error.

    Processes may write the same file at once; the last one to finish replaces it.
    """
    target = Path(path)
    # hashed, as the name with a suffix may be longer than the file system allows
    short = sha256(os.fsencode(target.name)).hexdigest()[:16]
    temporary = target.with_name(f".{short}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Return the name of the file at `path` while it is being written."""
    return path.with_name(path.name + ".part")


class AtomicWriter:
    """Base of incremental writers: closed by a with block, or discarded on error."""

    def close(self) -> None:
        """Finish the file and give it its final name."""
        raise NotImplementedError

    def discard(self) -> None:
        """Stop writing, without giving the file its final name."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
