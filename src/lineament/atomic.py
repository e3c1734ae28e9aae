"""Atomic files: written under a temporary name, then renamed."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

RETRIES = 10 if os.name == "nt" else 0
RETRY_S = 0.1


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on success and is deleted on error.

    Several processes may write the same file at once; the last one to finish wins.
    """
    target = Path(path)
    # hashed, because the name plus a suffix may exceed the maximum length of the file system
    short = sha256(os.fsencode(target.name)).hexdigest()[:16]
    temporary = target.with_name(f".{short}.{os.getpid()}.part")
    try:
        yield temporary
        replace_file(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(
    path: str | os.PathLike[str], content: bytes, sync: bool = False
) -> None:
    """Write a file atomically; create its folder if needed.

    Args:
        sync: Wait until the content is on the disk before renaming, which a power cut requires.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial, partial.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_text(path: str | os.PathLike[str], text: str, errors: str = "strict") -> None:
    """Write text as UTF-8, like `write_bytes`.

    Args:
        errors: Handling of characters that UTF-8 cannot encode, as in `open`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8", errors=errors)


def replace_file(source: Path, target: Path) -> None:
    """Rename `source` to `target`, replacing it.

    On Windows this fails while another program, such as a virus scanner, reads the target, so it
    is tried again for a second.
    """
    for _ in range(RETRIES):
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(RETRY_S)
        else:
            return
    source.replace(target)


def partial_path(path: Path) -> Path:
    """Return the temporary name of the file at `path` while it is being written."""
    return path.with_name(path.name + ".part")


class AtomicWriter:
    """Base of incremental writers: a with block closes them, or discards them on error."""

    def close(self) -> None:
        """Finish the file and rename it to its final name."""
        raise NotImplementedError

    def discard(self) -> None:
        """Stop writing without renaming the file."""
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
