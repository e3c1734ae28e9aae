"""The plan of a bulk job: its sources in parts, model and options; written once, never changed."""

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from ...errors import DataError
from .addresses import (
    arrow_module,
    file_system,
    is_remote,
    local_path,
    shown_address,
)
from .folder import OutputFolder
from .sources import IMAGE, Source, find_sources

PLAN = "plan.json"
PARTS = "faces"
"""Folder of the parts; readers of Parquet take it as one table."""
PART_IMAGES = 500
"""Images per part: some seconds of work that a killed process loses."""
ROW_GROUP = 16_384
"""Sources per row group of the list, which each process reads for its part."""


@dataclass(frozen=True)
class Plan:
    """One job. The digest covers all that its rows depend on, except the images' bytes."""

    digest: str
    inputs: list[str]
    settings: dict[str, Any]
    """Model, scheme and options."""
    parts: int
    sources: int

    def part_name(self, number: int) -> str:
        """Return the name of the file of a part."""
        return f"part-{number:06d}-{self.digest}.parquet"

    @property
    def list_name(self) -> str:
        """Name of the file that lists the sources."""
        return f"sources-{self.digest}.parquet"

    def missing(self, folder: OutputFolder) -> list[int]:
        """Return the numbers of the parts that are not there."""
        there = set(folder.names(PARTS))
        return [n for n in range(self.parts) if self.part_name(n) not in there]

    def read_part(self, folder: OutputFolder, number: int) -> list[Source]:
        """Return the sources of a part."""
        system, path = file_system(folder.file(self.list_name))
        parquet, compute = arrow_module("parquet"), arrow_module("compute")
        sources = []
        with system.open_input_file(path) as file:
            listed = parquet.ParquetFile(file)
            for group in range(listed.num_row_groups):
                numbers = listed.metadata.row_group(group).column(0).statistics
                if not numbers.min <= number <= numbers.max:
                    continue
                table = listed.read_row_group(group, use_threads=False)
                own = table.filter(compute.equal(table["part"], number))
                for row in own.to_pylist():
                    address = os.fsdecode(row["address"])
                    sources.append(Source(row["kind"], address, row["entry"]))
        return sources


def open_plan(
    folder: OutputFolder,
    inputs: Sequence[str],
    settings: Mapping[str, Any],
    part_images: int = PART_IMAGES,
) -> Plan:
    """Return the plan in `folder`; without one, find the sources and write it.

    Raises:
        DataError: If the folder holds the plan of other inputs or settings.
        InputError: If an input names no source.
    """
    stated = [_absolute(given) for given in inputs]
    known = read_plan(folder)
    if known is None:
        _write_plan(folder, stated, settings, part_images)
        # another process may have been faster: the plan that is there counts
        known = read_plan(folder)
        assert known is not None
    differing = []
    if known.inputs != stated:
        differing.append(f"inputs {', '.join(map(shown_address, known.inputs))}")
    for name in sorted(known.settings.keys() | settings.keys()):
        if known.settings.get(name) != settings.get(name):
            differing.append(f"{name} {known.settings.get(name)}")
    if differing:
        raise DataError(
            f"{folder}: contains a plan of {'; '.join(differing)}; choose another "
            "--out, or give the same inputs and options to resume it"
        )
    return known


def _absolute(given: str) -> str:
    return given if is_remote(given) else str(local_path(given))


def read_plan(folder: OutputFolder) -> Plan | None:
    """Return the plan in `folder`, or None.

    Raises:
        DataError: If it is broken.
    """
    data = folder.read(PLAN)
    if data is None:
        return None
    try:
        return Plan(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{folder}: its {PLAN} is not a plan of this version ({error}); choose "
            "another --out"
        ) from error


def _write_plan(
    folder: OutputFolder,
    inputs: list[str],
    settings: Mapping[str, Any],
    part_images: int,
) -> None:
    """Find the sources; write their list, then the plan."""
    sources = find_sources(inputs)
    numbers = list(_part_numbers(sources, part_images))
    digest = sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for number, source in zip(numbers, sources, strict=True):
        row = f"{number} {source.kind} {source.entry} ".encode()
        digest.update(row + os.fsencode(source.address) + b"\n")
    short = digest.hexdigest()[:12]
    plan = Plan(short, inputs, dict(settings), numbers[-1] + 1, len(sources))
    folder.write(plan.list_name, _list_bytes(numbers, sources))
    text = json.dumps(asdict(plan), indent=1) + "\n"
    folder.write(PLAN, text.encode())


def _part_numbers(sources: Sequence[Source], part_images: int) -> Iterator[int]:
    """Yield the part of each source: images share parts, a file of many has its own."""
    number, images = -1, 0
    for source in sources:
        if source.kind != IMAGE:
            number, images = number + 1, 0
        elif images % part_images == 0:
            number, images = number + 1, 1
        else:
            images += 1
        yield number


def _list_bytes(numbers: list[int], sources: Sequence[Source]) -> bytes:
    import pyarrow

    columns = {
        "part": pyarrow.array(numbers, pyarrow.int32()),
        "kind": pyarrow.array([source.kind for source in sources], pyarrow.string()),
        # bytes, as the name of a local file need not be text
        "address": pyarrow.array(
            [os.fsencode(source.address) for source in sources], pyarrow.binary()
        ),
        "entry": pyarrow.array([source.entry for source in sources], pyarrow.int32()),
    }
    return table_bytes(pyarrow.table(columns), ROW_GROUP)


def table_bytes(table: Any, row_group: int) -> bytes:
    """Return a table of pyarrow as a Parquet file."""
    buffer = io.BytesIO()
    parquet = arrow_module("parquet")
    parquet.write_table(table, buffer, compression="zstd", row_group_size=row_group)
    return buffer.getvalue()
