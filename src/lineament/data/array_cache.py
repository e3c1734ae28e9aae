"""Arrays on disk under a digest of their inputs: made once, written atomically, mapped."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..atomic import atomic_path
from ..errors import DataError

Rows = NDArray[Any]
Columns = dict[str, NDArray[Any]]


def digest(*inputs: object) -> str:
    """Return 16 hexadecimal digits that depend on all `inputs`, which JSON can hold."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def file_state(path: Path, *place: object) -> list[object]:
    """Return what changes with a file: its path, the place inside it, its size and time."""
    stat = path.stat()
    return [str(path), *place, stat.st_size, stat.st_mtime_ns]


class MappedRows(np.memmap[Any, Any]):
    """An array mapped from a file, whose pickle is the path of the file.

    Thus each process that crops are made in opens the file by itself. Parts of the array are
    pickled by their values.
    """

    is_complete = False
    """True for the array of a file, false for parts of it and what is computed from it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.is_complete:
            return map_rows, (str(self.filename),)
        return np.array(self).__reduce_ex__(protocol)


def map_rows(path: str) -> Rows:
    """Return the array in a .npy file, mapped read-only.

    Raises:
        DataError: If the file is absent or broken.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: a broken cache ({error}); delete it and run again"
        ) from error
    rows: MappedRows = mapped.view(MappedRows)
    rows.is_complete = True
    return rows


def cached_rows(path: Path, make: Callable[[], Iterable[Rows]]) -> Rows:
    """Return the array stored at `path`, mapped read-only; the first call makes it.

    Args:
        path: The .npy file, named for the digest of what the rows are made from.
        make: Yields blocks that are joined along their first axis; all other axes are equal.

    Raises:
        DataError: If there is nothing to store, or the file is broken.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            if not _write_blocks(file, make()):
                raise DataError(f"{path}: nothing to store; wanted at least one block")
    return map_rows(str(path))


def cached_table(
    stem: Path, make: Callable[[], Iterable[tuple[Rows, Mapping[str, ArrayLike]]]]
) -> tuple[Rows, Columns]:
    """Return the array of `cached_rows`, and named columns with one value per block.

    Args:
        stem: The path of both files, without suffix.
        make: Yields each block with its value of every column.
    """
    rows, columns = stem.with_suffix(".npy"), stem.with_suffix(".npz")
    if not (rows.exists() and columns.exists()):
        rows.unlink(missing_ok=True)
        collected: dict[str, list[ArrayLike]] = {}
        cached_rows(rows, lambda: _collect(make(), collected))
        arrays: dict[str, Any] = {}
        for name, values in collected.items():
            arrays[name] = np.array(values)
        # written last: an array without its columns is made again
        with atomic_path(columns) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(columns, allow_pickle=False) as stored:
        return cached_rows(rows, tuple), dict(stored)


def cached_groups(
    stem: Path, width: int, make: Callable[[], Iterable[Rows]]
) -> list[Rows]:
    """Return the arrays (K, width) stored under `stem`; the first call makes them.

    Args:
        stem: The path of both files, without suffix.
        width: Columns of every array.
        make: Yields one array of float64 per item, which may be empty.
    """

    def blocks() -> Iterator[tuple[Rows, Mapping[str, ArrayLike]]]:
        # all items may be empty, and nothing cannot be stored
        yield np.zeros((1, width)), {"rows": 1}
        for rows in make():
            yield rows, {"rows": len(rows)}

    values, columns = cached_table(stem, blocks)
    ends = np.cumsum(columns["rows"])
    return np.split(values[: ends[-1]], ends[:-1])[1:]


def _collect(
    entries: Iterable[tuple[Rows, Mapping[str, ArrayLike]]],
    collected: dict[str, list[ArrayLike]],
) -> Iterator[Rows]:
    for block, values in entries:
        for name, value in values.items():
            collected.setdefault(name, []).append(value)
        yield block


def _write_blocks(file: IO[bytes], blocks: Iterable[Rows]) -> int:
    """Write a .npy file of as many rows as the blocks have; return their number."""
    count = 0
    header: dict[str, Any] = {}
    for block in blocks:
        if not header:
            kind = np.lib.format.dtype_to_descr(block.dtype)
            header = {"descr": kind, "fortran_order": False, "shape": block.shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(block).data)
        count += len(block)
    if count:
        file.seek(0)
        # NumPy pads the header, so that it keeps its length when the first axis grows
        header["shape"] = (count, *header["shape"][1:])
        np.lib.format.write_array_header_1_0(file, header)
    return count
