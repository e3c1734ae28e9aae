"""MATLAB files: version 7.3 (HDF5, read with h5py) and older (read with scipy)."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, missing_extra


@lru_cache(maxsize=1)
def read_mat(path: Path) -> dict[str, Any]:
    """Read all variables of a file older than version 7.3."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise missing_extra("scipy", "data") from error
    try:
        return dict(loadmat(path))
    except Exception as error:
        # a broken file can make scipy's parser raise almost any exception
        message = f"{path}: cannot be read as a .mat file ({error}); get the file again"
        raise DataError(message) from error


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Read the float arrays `names`, with axes in MATLAB's order.

    Raises:
        DataError: If the file is broken or a variable is missing.
        ExtraError: If h5py or scipy is not installed.
    """
    arrays = {}
    if is_hdf5(path):
        with open_hdf5(path) as file:
            # HDF5 stores MATLAB's axes in reverse order
            for name in names:
                if name in file:
                    arrays[name] = np.asarray(file[name], np.float64).T
    else:
        table = read_mat(path)
        for name in names:
            if name in table:
                arrays[name] = np.asarray(table[name], np.float64)
    absent = [name for name in names if name not in arrays]
    if absent:
        raise DataError(
            f"{path}: no variable {', '.join(absent)}; expected the official file"
        )
    return arrays


def read_cell(path: Path, name: str, number: int) -> tuple[NDArray[Any] | None, int]:
    """Return element `number`, from 0, or None, and the length of the cell array `name`."""
    if not is_hdf5(path):
        cells = np.asarray(read_mat(path).get(name, ())).ravel()
        return np.asarray(cells[number]) if 0 <= number < len(cells) else None, len(
            cells
        )
    with open_hdf5(path) as file:
        cells = np.asarray(file[name]).ravel() if name in file else np.zeros(0)
        if not 0 <= number < len(cells):
            return None, len(cells)
        return np.asarray(file[cells[number]]).T, len(cells)


def read_cells(path: Path, name: str) -> list[list[Any]]:
    """Read the cell array `name` as rows: numbers as float arrays, text as str, cells as rows.

    Raises:
        DataError: If the file is broken or the variable is missing.
        ExtraError: If h5py or scipy is not installed.
    """
    if is_hdf5(path):
        with open_hdf5(path) as file:
            cells = _from_hdf5(file, file[name]) if name in file else None
    else:
        table = read_mat(path)
        cells = _from_table(table[name]) if name in table else None
    if not isinstance(cells, list):
        raise DataError(f"{path}: no cell array {name}; expected the official file")
    return cells


def _from_hdf5(file: Any, item: Any) -> Any:
    """Return an item of a version 7.3 file: rows of a cell array, text or a float array."""
    # HDF5 stores MATLAB's axes in reverse order
    values = np.asarray(item).T
    if values.dtype == object:
        rows = []
        for row in values:
            rows.append([_from_hdf5(file, file[ref]) for ref in row])
        return rows
    if item.attrs.get("MATLAB_class") == b"char":
        return "".join(map(chr, values.ravel()))
    return values.astype(np.float64)


def _from_table(item: NDArray[Any]) -> Any:
    """Return an item of an older file, like `_from_hdf5`."""
    if item.dtype == object:
        rows = []
        for row in item:
            rows.append([_from_table(cell) for cell in row])
        return rows
    if item.dtype.kind == "U":
        return "".join(item.ravel())
    return item.astype(np.float64)


def is_hdf5(path: Path) -> bool:
    """Return True for version 7.3, whose HDF5 signature follows 512 bytes."""
    with path.open("rb") as file:
        return b"MATLAB 7.3" in file.read(128)


def open_hdf5(path: Path) -> Any:
    """Open a version 7.3 file."""
    try:
        h5py: Any = import_module("h5py")
    except ImportError as error:
        raise missing_extra("h5py", "data") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read as HDF5 ({error}); get the file again"
        ) from error
