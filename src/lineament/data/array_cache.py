"""Arrays cached on disk under a digest of their inputs, written atomically and memory-mapped."""

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
    """Return a digest of 16 hexadecimal digits of all `inputs`, which must be valid JSON."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def file_state(path: Path, *place: object) -> list[object]:
    """Return values that identify the state of a file: path, position in it, size and mtime."""
    stat = path.stat()
    return [str(path), *place, stat.st_size, stat.st_mtime_ns]


class MappedRows(np.memmap[Any, Any]):
    """A memory-mapped array that is pickled as the path of its file.

    Each worker process thus opens the file itself. Slices are pickled by value.
    """

    is_complete = False
    """True for the mapped array itself, False for slices of it and results computed from it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.is_complete:
            return map_rows, (str(self.filename),)
        return np.array(self).__reduce_ex__(protocol)


def map_rows(path: str) -> Rows:
    """Return the array in a .npy file, memory-mapped read-only.

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
    """Return the array stored at `path`, memory-mapped read-only; created on the first call.

    Args:
        path: The .npy file; its name contains the digest of the inputs.
        make: Yields blocks to concatenate along the first axis; all other axes must match.

    Raises:
        DataError: If there is nothing to store, or the file is broken.
    """
    if not path.exists():
        _write_rows(path, make())
    return map_rows(str(path))


def cached_table(
    stem: Path, make: Callable[[], Iterable[tuple[Rows, Mapping[str, ArrayLike]]]]
) -> tuple[Rows, Columns]:
    """Return the array like `cached_rows`, and named columns with one value per block.

    Args:
        stem: Path of both files, without suffix.
        make: Yields each block with its value for every column.
    """
    rows, columns = stem.with_suffix(".npy"), stem.with_suffix(".npz")
    if not (rows.exists() and columns.exists()):
        collected: dict[str, list[ArrayLike]] = {}
        # replaced, not deleted: another process may be about to map it
        _write_rows(rows, _collect(make(), collected))
        arrays: dict[str, Any] = {}
        for name, values in collected.items():
            arrays[name] = np.array(values)
        # written last: if the columns are missing, the array is computed again
        with atomic_path(columns) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(columns, allow_pickle=False) as stored:
        return map_rows(str(rows)), dict(stored)


def cached_groups(
    stem: Path, width: int, make: Callable[[], Iterable[Rows]]
) -> list[Rows]:
    """Return the arrays (K, width) stored under `stem`; created on the first call.

    Args:
        stem: Path of both files, without suffix.
        width: Number of columns of every array.
        make: Yields one float64 array per item; arrays may be empty.
    """

    def blocks() -> Iterator[tuple[Rows, Mapping[str, ArrayLike]]]:
        # all items may be empty, but an array without rows cannot be stored
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


def _write_rows(path: Path, blocks: Iterable[Rows]) -> None:
    """Write the blocks as the .npy file at `path`, atomically.

    Raises:
        DataError: If there is no block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if not _write_blocks(file, blocks):
            raise DataError(f"{path}: nothing to store; expected at least one block")


def _write_blocks(file: IO[bytes], blocks: Iterable[Rows]) -> int:
    """Write the blocks as one .npy file; return the number of rows."""
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
        # NumPy pads the header, so its length stays the same when the first axis grows
        header["shape"] = (count, *header["shape"][1:])
        np.lib.format.write_array_header_1_0(file, header)
    return count
