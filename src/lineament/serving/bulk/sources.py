"""Find the sources of a bulk job: images, and files with many images, by address."""

import codecs
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import DataError, InputError
from ...io.media_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from .addresses import (
    arrow_module,
    child_address,
    expand,
    file_system,
    is_remote,
    local_path,
    read_bytes,
    shown_address,
)

IMAGE, TAR, VIDEO, ROWS, LIST = "image", "tar", "video", "rows", "list"
KINDS = (
    *((suffix, IMAGE) for suffix in IMAGE_SUFFIXES),
    *((suffix, VIDEO) for suffix in VIDEO_SUFFIXES),
    *((suffix, TAR) for suffix in (".tar", ".tar.gz", ".tgz")),
    (".parquet", ROWS),
    (".txt", LIST),
)
"""Kind of source by file name suffix; a file with any other suffix is an image."""
IN_FOLDERS = (IMAGE, TAR, VIDEO)
"""Kinds found when searching folders; others must be named or matched by a pattern."""


@dataclass(frozen=True, slots=True)  # there may be millions
class Source:
    """One image, or a file with many images."""

    kind: str
    address: str
    entry: int = 0
    """Row group of a Parquet file."""


def source_kind(name: str) -> str | None:
    """Return the kind of source for a file name, or None if unknown."""
    lower = name.lower()
    for suffix, kind in KINDS:
        if lower.endswith(suffix):
            return kind
    return None


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Return the sources matched by the inputs, in order, without duplicates.

    Args:
        inputs: Files, folders and patterns, local or remote; a .txt file lists one
            address per line, relative to itself.

    Raises:
        InputError: If an input matches no source.
    """
    found: dict[Source, None] = {}
    for given in inputs:
        addresses = expand(given, _is_in_folders)
        if not addresses:
            raise DataError(
                f"{shown_address(given)}: no image, video or tar in it; give a folder "
                "that has some, or name Parquet files and lists directly"
            )
        for address in addresses:
            found.update(dict.fromkeys(_sources_of(address)))
    if not found:
        names = ", ".join(map(shown_address, inputs))
        raise DataError(f"{names}: lists no image; give a file with at least one")
    return list(found)


def _is_in_folders(path: Path) -> bool:
    return source_kind(path.name) in IN_FOLDERS


def _sources_of(address: str) -> list[Source]:
    kind = source_kind(shown_address(address)) or IMAGE
    if kind == LIST:
        return _listed(address)
    if kind == ROWS:
        return [Source(ROWS, address, group) for group in range(_row_groups(address))]
    return [Source(kind, address)]


def _listed(address: str) -> list[Source]:
    """Return the sources listed in the lines of a text file."""
    sources = []
    lines = _text_of(read_bytes(address)).splitlines()
    for line in filter(str.strip, lines):
        named = address_next_to(address, line)
        kind = source_kind(shown_address(named)) or IMAGE
        if kind == LIST:
            raise DataError(
                f"{shown_address(address)}: lists {line}, another list; give both as inputs"
            )
        sources += _sources_of(named)
    return sources


def _text_of(data: bytes) -> str:
    """Return the text of a list: UTF-8, or what Windows writes: UTF-16, or with a mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return os.fsdecode(data.removeprefix(codecs.BOM_UTF8))


def address_next_to(file: str, line: str) -> str:
    """Return the address `line`, resolved relative to the folder of `file`."""
    if is_remote(line):
        return line
    if line.startswith("file://"):
        try:
            return str(local_path(line))  # the same image may also be given by its path
        except InputError:
            return line  # reading it gives a row with this error
    if is_remote(file):
        path = shown_address(file).partition("://")[2]
        return child_address(file, str(PurePosixPath(path).parent / line))
    return str(local_path(file).parent / line)


def _row_groups(address: str) -> int:
    """Return the number of row groups in a Parquet file."""
    system, path = file_system(address)
    parquet = arrow_module("parquet")
    try:
        with system.open_input_file(path) as file:
            return int(parquet.read_metadata(file).num_row_groups)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{shown_address(address)}: cannot be read as Parquet ({error}); get the file again"
        ) from error
