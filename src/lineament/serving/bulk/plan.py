"""The plan of a bulk job: sources divided into parts, model and options; immutable once written."""

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
"""Folder of the parts, which Parquet readers can read as a single table."""
PART_IMAGES = 500
"""Images per part: a few seconds of work that are lost if a process is killed."""
ROW_GROUP = 16_384
"""Sources per row group of the list; each process only reads the groups of its part."""


@dataclass(frozen=True)
class Plan:
    """The plan of a job. Its digest covers everything the rows depend on except image contents."""

    digest: str
    inputs: list[str]
    settings: dict[str, Any]
    """Model, scheme and options."""
    parts: int
    sources: int

    def part_name(self, number: int) -> str:
        """Return the file name of a part."""
        return f"part-{number:06d}-{self.digest}.parquet"

    @property
    def list_name(self) -> str:
        """Return the name of the file that lists the sources."""
        return f"sources-{self.digest}.parquet"

    def missing(self, folder: OutputFolder) -> list[int]:
        """Return the numbers of the parts that do not exist yet."""
        existing = set(folder.names(PARTS))
        return [n for n in range(self.parts) if self.part_name(n) not in existing]

    def read_part(self, folder: OutputFolder, number: int) -> list[Source]:
        """Return the sources in a part."""
        system, path = file_system(folder.file(self.list_name))
        parquet, compute = arrow_module("parquet"), arrow_module("compute")
        sources = []
        with system.open_input_file(path) as file:
            source_list = parquet.ParquetFile(file)
            for group in range(source_list.num_row_groups):
                numbers = source_list.metadata.row_group(group).column(0).statistics
                if not numbers.min <= number <= numbers.max:
                    continue
                table = source_list.read_row_group(group, use_threads=False)
                rows = table.filter(compute.equal(table["part"], number))
                for row in rows.to_pylist():
                    address = os.fsdecode(row["address"])
                    sources.append(Source(row["kind"], address, row["entry"]))
        return sources


def open_plan(
    folder: OutputFolder,
    inputs: Sequence[str],
    settings: Mapping[str, Any],
    part_images: int = PART_IMAGES,
) -> Plan:
    """Return the plan in `folder`; if there is none, find the sources and write a new plan.

    Raises:
        DataError: If the folder contains a plan with other inputs or settings.
        InputError: If an input matches no source.
    """
    addresses = [_absolute(given) for given in inputs]
    plan = read_plan(folder)
    if plan is None:
        _write_plan(folder, addresses, settings, part_images)
        # another process may have been faster; the plan on disk is valid
        plan = read_plan(folder)
        assert plan is not None
    differing = []
    if plan.inputs != addresses:
        differing.append(f"inputs {', '.join(map(shown_address, plan.inputs))}")
    for name in sorted(plan.settings.keys() | settings.keys()):
        if plan.settings.get(name) != settings.get(name):
            differing.append(f"{name} {plan.settings.get(name)}")
    if differing:
        raise DataError(
            f"{folder}: contains a plan of {'; '.join(differing)}; choose another "
            "--out, or give the same inputs and options to resume it"
        )
    return plan


def _absolute(given: str) -> str:
    return given if is_remote(given) else str(local_path(given))


def read_plan(folder: OutputFolder) -> Plan | None:
    """Return the plan in `folder`, or None if there is none.

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
    """Find the sources; write the list of sources, then the plan."""
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
    """Yield the part number of each source: images share parts, a file with many has its own."""
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
        # stored as bytes, because a local file name may not be valid text
        "address": pyarrow.array(
            [os.fsencode(source.address) for source in sources], pyarrow.binary()
        ),
        "entry": pyarrow.array([source.entry for source in sources], pyarrow.int32()),
    }
    return table_bytes(pyarrow.table(columns), ROW_GROUP)


def table_bytes(table: Any, row_group: int) -> bytes:
    """Return a pyarrow table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    parquet = arrow_module("parquet")
    parquet.write_table(table, buffer, compression="zstd", row_group_size=row_group)
    return buffer.getvalue()
