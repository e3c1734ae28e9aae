"""One part of a bulk job: predict its images and write one Parquet file."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike

from ...errors import DataError, InputError, short_reason
from ...face import Faces
from ...io.image import RGB
from ...io.input_images import Predict, predict_batches
from ...io.tables import face_columns, face_row
from .addresses import arrow_module, file_system, shown_address
from .folder import OutputFolder
from .images import ImageName, ReadOptions, read_source
from .plan import PARTS, Plan, table_bytes

METADATA_KEY = b"lineament"
ROWS_HELD = 64
"""Number of rows kept as Python objects before they are converted to a table."""
ROW_GROUP = 8192


@dataclass(frozen=True)
class PartCounts:
    """Statistics and cost of a part, stored in the file's metadata."""

    images: int = 0
    faces: int = 0
    errors: int = 0
    """Number of images without a result."""
    cpu_s: float = 0.0
    failure: str = ""
    """Reason why the part was not written; empty if it was."""


@dataclass(frozen=True)
class PartWorker:
    """Processes parts one at a time. Picklable.

    Args:
        out: Address of the output folder.
        options: Options for reading files with many images.
    """

    out: str
    plan: Plan
    predict: Predict
    options: ReadOptions

    def __call__(self, number: int) -> PartCounts:
        """Write a part unless it exists, and return its counts, or the reason for its failure."""
        try:
            folder = OutputFolder(self.out)
            name = f"{PARTS}/{self.plan.part_name(number)}"
            if folder.has(name):
                return read_counts(folder.file(name))
            return self._write(folder, name, number)
        except Exception as error:  # a failing part must not stop the job
            return PartCounts(failure=f"{type(error).__name__}: {short_reason(error)}")

    def _write(self, folder: OutputFolder, name: str, number: int) -> PartCounts:
        start_s = time.process_time()
        images = faces = errors = 0
        rows: list[dict[str, Any]] = []
        tables = [empty_table()]
        # one image per call: on a single thread, batching is not faster and needs more memory
        items = self._items(folder, number)
        for item, _, found in predict_batches(self.predict, items, batch_images=1):
            images += 1
            errors += isinstance(found, InputError)
            faces += 0 if isinstance(found, InputError) else len(found)
            rows += image_rows(item, found)
            if len(rows) >= ROWS_HELD:
                tables.append(_table(rows))
                rows = []
        tables.append(_table(rows))
        cpu_s = time.process_time() - start_s
        counts = PartCounts(images, faces, errors, round(cpu_s, 3))
        folder.write(name, _part_bytes(tables, counts))
        return counts

    def _items(
        self, folder: OutputFolder, number: int
    ) -> Iterator[tuple[ImageName, RGB | InputError, ArrayLike | None]]:
        for source in self.plan.read_part(folder, number):
            for name, pixels in read_source(source, self.options):
                yield name, pixels, None


def image_rows(name: ImageName, found: Faces | InputError) -> list[dict[str, Any]]:
    """Return the rows of an image: one per face, or one without a face or with an error."""
    # a file name may contain undecodable bytes
    image = name.image.encode("utf-8", "backslashreplace").decode()
    first: dict[str, Any] = {"image": image, "frame": name.frame}
    if isinstance(found, InputError):
        error = str(found).encode("utf-8", "backslashreplace").decode()
        return [first | {"error": error}]
    if found.image_size is not None:
        first |= {"width": found.image_size[0], "height": found.image_size[1]}
    if not len(found):
        return [first | {"scheme": found.scheme}]
    return [first | face_row(number, face) for number, face in enumerate(found)]


def part_schema() -> Any:
    """Return the schema of a part: columns of the image, then those of `write_parquet`."""
    import pyarrow

    columns = {"image": pyarrow.string(), "frame": pyarrow.int64()}
    columns |= dict.fromkeys(("width", "height"), pyarrow.int32())
    columns |= {"error": pyarrow.string()}
    # 32 bits are precise to a ten-thousandth of a pixel, in half the space
    columns |= face_columns(pyarrow.float32())
    return pyarrow.schema(list(columns.items()))


def empty_table() -> Any:
    """Return an empty table with the columns of a part."""
    return part_schema().empty_table()


def _table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow

    return pyarrow.Table.from_pylist(rows, part_schema())


def _part_bytes(tables: list[Any], counts: PartCounts) -> bytes:
    import pyarrow

    table = pyarrow.concat_tables(tables)
    metadata = {METADATA_KEY: json.dumps(asdict(counts)).encode()}
    return table_bytes(table.replace_schema_metadata(metadata), ROW_GROUP)


def read_counts(address: str) -> PartCounts:
    """Return the counts in the metadata of a part.

    Raises:
        DataError: If the part is broken.
    """
    system, path = file_system(address)
    parquet = arrow_module("parquet")
    with system.open_input_file(path) as file:
        try:
            content = parquet.read_metadata(file).metadata[METADATA_KEY]
            return PartCounts(**json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{shown_address(address)}: a broken part ({short_reason(error)}); delete "
                "it, and rerun the job to write it again"
            ) from error
