"""Read the images of sources in order: files, tar members, Parquet rows, video frames."""

import io
import tarfile as tars
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ImageError, InputError, short_reason
from ...io.image import RGB, read_image
from ...io.media_files import has_image_suffix
from ...io.video_reader import every_nth_frame
from .addresses import (
    arrow_module,
    file_system,
    is_remote,
    local_path,
    read_bytes,
    shown_address,
)
from .sources import IMAGE, ROWS, TAR, VIDEO, Source, address_next_to

ROWS_AT_ONCE = 16
"""Number of Parquet rows read at once, since each may contain an image of several megabytes."""

BROKEN_MEMBER: tuple[type[Exception], ...] = (
    tars.EmptyHeaderError,  # type: ignore[attr-defined]
    tars.InvalidHeaderError,  # type: ignore[attr-defined]
    tars.TruncatedHeaderError,  # type: ignore[attr-defined]
)


@dataclass(frozen=True)
class ReadOptions:
    """Options for reading files with many images."""

    column: str = "image"
    """Parquet column with images or their addresses."""
    every: int = 10
    """Stride at which video frames are used."""


@dataclass(frozen=True)
class ImageName:
    """Name of one image in the rows."""

    image: str
    """Address of the image; for a tar member or row, the file's address, "#" and its name."""
    frame: int | None = None
    """Frame number in a video, from 0."""


Read = tuple[ImageName, RGB | InputError]


def read_source(source: Source, options: ReadOptions) -> Iterator[Read]:
    """Yield the images of a source with their names, or the error raised when reading each.

    A truncated file with many images yields its readable images, then the error.

    Raises:
        OSError: If the network or disk fails; retrying may succeed.
    """
    try:
        yield from READERS[source.kind](source, options)
    except InputError as error:
        yield ImageName(shown_address(source.address)), error


def _image_file(source: Source, options: ReadOptions) -> Iterator[Read]:
    yield ImageName(shown_address(source.address)), _read(source.address)


def _read(address: str) -> RGB | InputError:
    try:
        if not is_remote(address):
            return read_image(local_path(address))
        return _decoded(read_bytes(address), shown_address(address))
    except InputError as error:
        return error


def _decoded(data: bytes, name: str) -> RGB | InputError:
    """Decode the bytes of an image file; errors mention `name`."""
    file: Any = io.BytesIO(data)
    file.name = name
    try:
        return read_image(file)
    except ImageError as error:
        return error


class StrictMember(tars.TarInfo):
    """A tar member that must be complete; Python's tarfile silently stops at a broken one."""

    @classmethod
    def fromtarfile(cls, tarfile: tars.TarFile) -> "StrictMember":
        """Return the next member."""
        try:
            return super().fromtarfile(tarfile)
        except BROKEN_MEMBER as error:
            raise tars.ReadError(str(error)) from error


def _members(source: Source, options: ReadOptions) -> Iterator[Read]:
    """Yield the images in a tar file, reading it once from the start."""
    system, path = file_system(source.address)
    name = shown_address(source.address)
    try:
        with (
            system.open_input_stream(path) as file,
            tars.open(fileobj=file, mode="r|*", tarinfo=StrictMember) as tar,
        ):
            for member in tar:
                if member.isfile() and has_image_suffix(Path(member.name)):
                    content = tar.extractfile(member)
                    assert content is not None  # regular files always have content
                    address = f"{name}#{member.name}"
                    yield ImageName(address), _decoded(content.read(), address)
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file; check the address") from error
    except (tars.TarError, EOFError) as error:
        raise InputError(
            f"{name}: broken or truncated tar ({short_reason(error)}); get the file again"
        ) from error


def _table_rows(source: Source, options: ReadOptions) -> Iterator[Read]:
    """Yield the images in a Parquet row group; rows are numbered within the file, from 0."""
    system, path = file_system(source.address)
    parquet = arrow_module("parquet")
    name = shown_address(source.address)
    with system.open_input_file(path) as file:
        table = parquet.ParquetFile(file)
        if options.column not in table.schema_arrow.names:
            raise InputError(
                f"{name}: has no column {options.column!r}; choose one of "
                f"{', '.join(table.schema_arrow.names)} with --column"
            )
        number = 0
        for group in range(source.entry):
            number += table.metadata.row_group(group).num_rows
        batches = table.iter_batches(
            ROWS_AT_ONCE, row_groups=[source.entry], columns=[options.column]
        )
        for batch in batches:
            for value in batch.column(0).to_pylist():
                yield _cell(value, source.address, f"{name}#{number}")
                number += 1


def _cell(value: Any, file: str, name: str) -> Read:
    """Return the image in a cell: bytes, an address, or a struct of both (Hugging Face)."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return ImageName(name), _decoded(value, name)
    if isinstance(value, str):
        address = address_next_to(file, value)
        return ImageName(shown_address(address)), _read(address)
    kind = type(value).__name__
    expected = "expected the bytes of an image, or an address"
    return ImageName(name), InputError(f"{name}: a value of type {kind}; {expected}")


def _frames(source: Source, options: ReadOptions) -> Iterator[Read]:
    """Yield every N-th frame of a video; a remote video is first copied to this machine."""
    name = shown_address(source.address)
    if not is_remote(source.address):
        yield from _frames_of(local_path(source.address), name, options.every)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(name).name)
        system, remote = file_system(source.address)
        try:
            with system.open_input_stream(remote) as file, path.open("wb") as copy:
                while block := file.read(1 << 20):
                    copy.write(block)
        except FileNotFoundError as error:
            raise InputError(f"{name}: no such file; check the address") from error
        yield from _frames_of(path, name, options.every)


def _frames_of(path: Path, name: str, every: int) -> Iterator[Read]:
    for number, image in every_nth_frame(path, every):
        yield ImageName(name, number), image


READERS: dict[str, Callable[[Source, ReadOptions], Iterator[Read]]] = {
    IMAGE: _image_file,
    TAR: _members,
    ROWS: _table_rows,
    VIDEO: _frames,
}
"""Reader for each kind of source."""
