"""Pictures -> result files, a few pictures at a time; what a folder already holds is not made again.

One JSON file a picture is the record; the other formats are gathered from those records at the end.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..atomic import atomic_path
from ..errors import DataError, ImageError, InputError
from ..face import Faces
from ..geometry import as_boxes
from .formats import (
    faces_from_dict,
    faces_to_coco,
    faces_to_dict,
    faces_to_pts,
    write_csv,
    write_parquet,
)
from .image import find_images, read_image
from .unique_names import unique_name

FORMATS = ("json", "csv", "parquet", "pts", "coco")
SETTINGS = "lineament.json"
DECIMALS = 4
DRAWN = ".drawn.jpg"
BATCH_IMAGES, BATCH_PIXELS = 8, 16_000_000
Predict = Callable[[list[Any], Any], list[Faces]]


@dataclass(frozen=True)
class Job:
    """One picture to look at."""

    image: Path
    name: str
    """Its place below the result folder, without suffix; unlike that of every other job."""


@dataclass(frozen=True)
class Failure:
    """A path that gave no result."""

    path: str
    reason: str
    """One line."""


def find_jobs(
    paths: Sequence[str | os.PathLike[str]], out: Path | None = None
) -> tuple[list[Job], list[Failure]]:
    """A job for each picture that `paths` (files, folders, patterns) name, and a failure for each that names none.

    A picture in a folder keeps its place below it.    out: where results go; pictures that folders and patterns find
    there are results.
    """
    results = None if out is None else out.resolve()
    found: dict[Path, Path] = {}
    failures = []
    for path in paths:
        try:
            images = find_images(path)
        except ImageError as error:
            failures.append(Failure(os.fspath(path), str(error)))
            continue
        root = _root(Path(path))
        for image in images:
            if root and results and _is_result(image.resolve(), results, root.resolve()):
                continue
            found.setdefault(image, image.relative_to(root) if root else Path(image.name))
    return _named(found), failures


def _is_result(image: Path, results: Path, root: Path) -> bool:
    """Whether a picture found below `root` was made by a run whose results go below `results`."""
    return results in image.parents and (
        image.name.endswith(DRAWN) or (results != root and root in results.parents)
    )


def _root(path: Path) -> Path | None:
    """The folder below which the pictures of `path` keep their place; None for a single file."""
    if path.is_dir():
        return path
    if path.exists():
        return None
    fixed = []
    for part in path.parts[:-1]:
        if any(sign in part for sign in "*?["):
            break
        fixed.append(part)
    return Path(*fixed)


def _named(found: Mapping[Path, Path]) -> list[Job]:
    """Return jobs of unique names: a name that is taken keeps its suffix, or gets a number.

    No name is that of a face of another image either: the faces of IMG are IMG_1, IMG_2.
    """
    taken: set[str] = {SETTINGS.removesuffix(".json"), "faces", "faces.coco"}
    of_faces: set[str] = set()

    def is_free(name: str) -> bool:
        return not {name, _whose(name)} & taken and name not in of_faces

    jobs = []
    for image, below in found.items():
        name = unique_name((below.with_suffix("").as_posix(), below.as_posix()), is_free)
        taken.add(name)
        of_faces.add(_whose(name))
        jobs.append(Job(image, name))
    return jobs


def _whose(name: str) -> str:
    """The picture of which `name` would be a face, as IMG of IMG_2; else `name` with a sign that no path has."""
    stem, _, number = name.rpartition("_")
    return stem if number.isdigit() else f"{name}\0"


def predict_jobs(
    predict: Predict, jobs: Sequence[Job], boxes: Mapping[str, ArrayLike] | None = None
) -> Iterator[tuple[Job, NDArray[np.uint8] | None, Faces | InputError]]:
    """Each job, in order, with its picture and its faces, or with the error that says why there are none.

    predict: a Predictor, or anything called like it.    boxes: (F, 4) by picture, under its path or its file name.
    """
    batch: list[tuple[Job, NDArray[np.uint8]]] = []
    for job in jobs:
        try:
            picture = read_image(job.image)
            if boxes is not None:
                as_boxes(boxes_of(job, boxes))
        except InputError as error:
            yield from _predicted(predict, batch, boxes)
            batch = []
            yield job, None, error
            continue
        batch.append((job, picture))
        if len(batch) == BATCH_IMAGES or sum(p.size // 3 for _, p in batch) > BATCH_PIXELS:
            yield from _predicted(predict, batch, boxes)
            batch = []
    yield from _predicted(predict, batch, boxes)


def _predicted(
    predict: Predict,
    batch: list[tuple[Job, NDArray[np.uint8]]],
    boxes: Mapping[str, ArrayLike] | None,
) -> Iterator[tuple[Job, NDArray[np.uint8] | None, Faces | InputError]]:
    if not batch:
        return
    given = None if boxes is None else [boxes_of(job, boxes) for job, _ in batch]
    try:
        found = predict([picture for _, picture in batch], given)
    except InputError as error:  # of one of them, such as a box outside its picture
        if len(batch) == 1:
            yield batch[0][0], None, error
        else:
            for entry in batch:
                yield from _predicted(predict, [entry], boxes)
        return
    for (job, picture), faces in zip(batch, found, strict=True):
        yield job, picture, faces


def boxes_of(job: Job, boxes: Mapping[str, ArrayLike]) -> ArrayLike:
    """The boxes of its picture among `boxes`, by path, file name or stem.    Raises: DataError where none is given."""
    for key in (str(job.image), job.image.name, job.image.stem):
        if key in boxes:
            return boxes[key]
    raise DataError(
        f"{job.image}: no boxes given for it; name it in the file of boxes, or leave --boxes out"
    )


def read_boxes(path: Path) -> dict[str, ArrayLike]:
    """Boxes by picture, from a JSON file {"picture.jpg": [[x0, y0, x1, y1], ...]}.    Raises: DataError."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as boxes ({error}); wanted a JSON file of boxes by picture"
        ) from error
    if not isinstance(given, dict):
        raise DataError(
            f'{path}: a {type(given).__name__}; wanted an object {{"picture.jpg": [[x0, y0, x1, y1]]}}'
        )
    return given


class ResultFolder:
    """The results of one kind of run, below one folder.

    settings: what the results depend on; a folder made with others is refused.    again: make every result anew.
    jobs: what is made; with `again` and other settings they have to be all that the folder holds.
    boxes: as they are given, (F, 4) by picture; a result of other boxes is made anew.
    Raises: DataError where the folder holds results of other settings, is a file, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        again: bool = False,
        jobs: Sequence[Job] = (),
        boxes: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.folder = folder
        self.again, self.boxes = again, boxes
        record = folder / SETTINGS
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file; give --out a folder for the results")
        if record.is_file() and not again:
            _check_settings(record, settings)
        elif record.is_file() and _settings_of(record) != dict(settings):
            self._refuse_others(jobs)
        if _settings_of(record) != dict(settings):
            self._write(record, json.dumps(dict(settings), indent=1) + "\n")
        self.begun_ns = record.stat().st_mtime_ns

    def _refuse_others(self, jobs: Sequence[Job]) -> None:
        """Raises: DataError where the folder holds a result that is not of `jobs`, and would keep its old settings."""
        gathered = {self.folder / SETTINGS, self.folder / "faces.coco.json"}
        others = set(self.folder.rglob("*.json")) - gathered - {self.path(job) for job in jobs}
        if others:
            raise DataError(
                f"{self.folder} holds {min(others).name}, made with other settings, and its picture is not named now; "
                "name every picture with --again, or choose another --out"
            )

    def path(self, job: Job) -> Path:
        """The record of `job`."""
        return self.folder / f"{job.name}.json"

    def drawn(self, job: Job) -> Path:
        """The picture of `job` with its landmarks drawn."""
        return self.folder / f"{job.name}{DRAWN}"

    def has(self, job: Job, draw: bool = False) -> bool:
        """Whether `job` is done: recorded, after its picture was last changed, and drawn where that is wanted.

        Raises: DataError where the record is of another picture.
        """
        path, drawn = self.path(job), self.drawn(job)
        record = None if self.again else _settings_of(path)
        if record is None or (draw and not drawn.is_file()):
            return False
        if not isinstance(record, dict) or not {"image", "faces"} <= record.keys():
            raise DataError(
                f"{path} is no result of {job.image}; choose another --out, or add --again to replace it"
            )
        if Path(str(record["image"])).resolve() != job.image.resolve():
            raise DataError(
                f"{path} is the result of {record['image']}, not of {job.image}; choose another --out, or add --again"
            )
        changed = job.image.stat().st_mtime_ns if job.image.is_file() else 0
        made = min(file.stat().st_mtime_ns for file in ([path, drawn] if draw else [path]))
        return made >= max(changed, self.begun_ns) and record.get("given") == self._given(job)

    def _given(self, job: Job) -> Any:
        """The boxes given for `job`, as they are recorded; None where they were detected."""
        return None if self.boxes is None else as_boxes(boxes_of(job, self.boxes)).tolist()

    def write(self, job: Job, faces: Faces) -> None:
        """Records the faces of `job`.    Raises: DataError where it cannot be written."""
        if self.path(job).is_file():
            # an older drawing would show other landmarks than the record; a new one is later than the old record
            drawn = self.drawn(job)
            if drawn.is_file() and drawn.stat().st_mtime <= self.path(job).stat().st_mtime:
                drawn.unlink()
        record = record_of(job, faces) | ({} if self.boxes is None else {"given": self._given(job)})
        self._write(self.path(job), json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n")

    def read(self, job: Job) -> tuple[str, Faces]:
        """The picture's path and its faces, as recorded.    Raises: DataError where the record is broken."""
        path = self.path(job)
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
            size = given.get("image_size")
            faces = replace(
                faces_from_dict(given),
                image_size=None if size is None else (int(size[0]), int(size[1])),
            )
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(
                f"{path}: a broken record ({error}); delete it and run again"
            ) from error
        return str(given["image"]), faces

    def gather(self, jobs: Sequence[Job], kind: str, scheme: str) -> Path:
        """Writes the records of `jobs` as `kind` (of FORMATS) too; gives the file, or the folder where it is several.

        Raises: ExtraError for parquet without pyarrow.
        """
        results = (self.read(job) for job in jobs)
        if kind == "pts":
            for job, (_, faces) in zip(jobs, results, strict=True):
                texts = faces_to_pts(faces, job.name)
                for path in self._pts_of(job):
                    if not self.again and path.stat().st_mtime_ns < self.begun_ns:
                        raise DataError(
                            f"{path} is older than these results; choose another --out, or add --again"
                        )
                    path.unlink()
                for name, text in texts.items():
                    self._write(self.folder / name, text)
            return self.folder
        if kind == "json":
            return self.folder
        path = self.folder / ("faces.coco.json" if kind == "coco" else f"faces.{kind}")
        if kind == "coco":
            self._write(path, json.dumps(faces_to_coco(results, scheme), ensure_ascii=False) + "\n")
        else:
            {"csv": write_csv, "parquet": write_parquet}[kind](path, results, scheme)
        return path

    def _pts_of(self, job: Job) -> list[Path]:
        """The .pts files that are there of the faces of `job`, who may have been more."""
        place = self.folder / job.name
        several = [path for path in place.parent.glob("*.pts") if _whose(path.stem) == place.name]
        one = place.with_name(f"{place.name}.pts")
        return [*several, *([one] if one.is_file() else [])]

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as beside:
                # a file name may hold bytes that are no text: JSON has an escape for them
                beside.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror}); choose another folder"
            ) from error


def _settings_of(record: Path) -> Any:
    """What the folder's results were made with; None where that cannot be read."""
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _check_settings(record: Path, settings: Mapping[str, Any]) -> None:
    before = _settings_of(record)
    if before != dict(settings):
        told = (
            ", ".join(f"{k} {v}" for k, v in before.items())
            if isinstance(before, dict)
            else "unknown settings"
        )
        wanted = ", ".join(f"{k} {v}" for k, v in settings.items())
        raise DataError(
            f"{record.parent} holds results of {told}; this run is {wanted}: choose another --out, or add --again"
        )


def record_of(job: Job, faces: Faces) -> dict[str, Any]:
    """What is written of one picture: faces_to_dict, and the picture's size where it is known."""
    record = faces_to_dict(faces, str(job.image), DECIMALS)
    return record if faces.image_size is None else {**record, "image_size": list(faces.image_size)}
