"""Files that are there whole or not at all: written beside, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a path beside `path` to write to; the file there takes its name when the block ends, and goes if it fails.

    Two processes may write the same file: one of theirs stays.
    """
    target = Path(path)
    # a name of its own length, which may be as long as names can be, would be too long
    short = sha256(os.fsencode(target.name)).hexdigest()[:16]
    beside = target.with_name(f".{short}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """What a file that is written bit by bit is called until it is whole."""
    return path.with_name(path.name + ".part")


class AtomicWriter:
    """What is written bit by bit, in a with block: closed at its end, abandoned where an error ends it."""

    def close(self) -> None:
        """Gives what was written its name."""
        raise NotImplementedError

    def discard(self) -> None:
        """Lets go of what was written, without its name."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
