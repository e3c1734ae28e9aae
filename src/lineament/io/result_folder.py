"""Result folder: one JSON record per image, kept between runs, and exports of them.

Each record contains a digest of everything it depends on, by which a later run decides
whether it is up to date.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import ArrayLike

from ..atomic import write_text
from ..errors import DataError
from ..face import Faces
from ..geometry import as_boxes
from .coco import faces_to_coco
from .cvat import faces_to_cvat
from .formats import faces_from_dict, faces_to_dict
from .input_images import DRAWN, InputImage, image_of_face, lookup_boxes
from .label_studio import faces_to_label_studio
from .pts import faces_to_pts
from .tables import write_csv, write_parquet

SETTINGS = "lineament.json"
DECIMALS = 4


def _coco_text(results: Iterable[tuple[str, Faces]], scheme: str) -> str:
    return json.dumps(faces_to_coco(results, scheme), ensure_ascii=False) + "\n"


def _label_studio_text(results: Iterable[tuple[str, Faces]], scheme: str) -> str:
    return json.dumps(faces_to_label_studio(results, scheme), ensure_ascii=False) + "\n"


TEXTS: dict[str, tuple[str, Callable[[Iterable[tuple[str, Faces]], str], str]]] = {
    "coco": ("faces.coco.json", _coco_text),
    "cvat": ("faces.cvat.xml", faces_to_cvat),
    "label-studio": ("faces.label-studio.json", _label_studio_text),
}
"""File name and writer of the formats that consist of one text file."""


class ResultFolder:
    """The results of runs with the same settings, in one folder.

    Args:
        folder: Created if it does not exist.
        settings: Everything that a result depends on, except the image and its boxes.
        overwrite: Replace existing results, even if they have other settings.
        images: The images of this run; if the settings changed, they must include every image
            in the folder.
        boxes: Given boxes per image, (F, 4); None: detected.

    Raises:
        DataError: If the folder contains results with other settings, is a file, or cannot
            be written.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        overwrite: bool = False,
        images: Sequence[InputImage] = (),
        boxes: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.folder, self.settings = folder, dict(settings)
        self.overwrite, self.boxes = overwrite, boxes
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file; give --out a folder for the results")
        path = folder / SETTINGS
        before = _read_json(path)
        if before == self.settings:
            return
        if path.is_file():
            self._refuse_mixing(before, images)
        self._write(path, json.dumps(self.settings, indent=1) + "\n")

    def _refuse_mixing(self, before: Any, images: Sequence[InputImage]) -> None:
        """Raise DataError if the folder would contain results with different settings."""
        if not self.overwrite:
            raise DataError(
                f"{self.folder} contains results with "
                f"{_differences(before, self.settings)}; choose another --out, or add "
                "--overwrite"
            )
        texts = [file for file, _ in TEXTS.values()]
        own_files = {self.folder / name for name in (SETTINGS, *texts)}
        others = (
            set(self.folder.rglob("*.json")) - own_files - set(map(self.path, images))
        )
        if others:
            raise DataError(
                f"{self.folder} contains {min(others).name}, a result of other "
                "settings for an image that is not among the inputs; add every such "
                "image to the inputs, or choose another --out"
            )

    def path(self, image: InputImage) -> Path:
        """Return the record path of `image`."""
        return self.folder / f"{image.name}.json"

    def drawn_path(self, image: InputImage) -> Path:
        """Return the path for the copy of `image` with its landmarks drawn."""
        return self.folder / f"{image.name}{DRAWN}"

    def has(self, image: InputImage, drawn: bool = False) -> bool:
        """Return True if the record of `image` is up to date and, if `drawn`, its drawing exists.

        Raises:
            DataError: If the record belongs to another image.
        """
        path = self.path(image)
        record = None if self.overwrite else _read_json(path)
        if record is None or (drawn and not self.drawn_path(image).is_file()):
            return False
        if not isinstance(record, dict) or not {"image", "faces"} <= record.keys():
            raise DataError(
                f"{path} is not a result of {image.path}; choose another --out, or add --overwrite "
                "to replace it"
            )
        if Path(str(record["image"])).resolve() != image.path.resolve():
            raise DataError(
                f"{path} is the result of {record['image']}, not of {image.path}; choose another "
                "--out, or add --overwrite"
            )
        return record.get("inputs_digest") == self._digest(image)

    def _digest(self, image: InputImage) -> str:
        """Return a digest of the settings, the given boxes and the contents of the image file."""
        boxes = None
        if self.boxes is not None:
            boxes = as_boxes(lookup_boxes(image, self.boxes)).tolist()
        digest = sha256(json.dumps([self.settings, boxes], sort_keys=True).encode())
        if image.path.is_file():
            digest.update(image.path.read_bytes())
        return digest.hexdigest()[:16]

    def write(self, image: InputImage, faces: Faces, drawn: bool = False) -> None:
        """Write the record of `image`.

        Args:
            drawn: Whether these faces have just been drawn; if not, an older drawing is
                deleted.

        Raises:
            DataError: If the record cannot be written.
        """
        record = to_record(image, faces) | {"inputs_digest": self._digest(image)}
        before = _read_json(self.path(image))
        if before is not None and not drawn:
            self.drawn_path(image).unlink(missing_ok=True)
        if isinstance(before, dict) and "pts" in before:
            record["pts"] = before["pts"]
        self._write_record(image, record)

    def read(self, image: InputImage) -> tuple[str, Faces]:
        """Return the image's path and the recorded faces.

        Raises:
            DataError: If the record is broken.
        """
        path = self.path(image)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            faces = faces_from_dict(record)
            if size := record.get("image_size"):
                faces = replace(faces, image_size=(int(size[0]), int(size[1])))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(
                f"{path}: a broken record ({error}); delete it and run again"
            ) from error
        return str(record["image"]), faces

    def export(
        self,
        images: Sequence[InputImage],
        kind: str,
        scheme: str,
        empty_rows: bool = False,
    ) -> Path:
        """Write the records of `images` in another format as well.

        Args:
            kind: csv, parquet, or one of TEXTS: one file; pts: one file per face; json: the
                records themselves.
            scheme: Landmark scheme of all faces.
            empty_rows: Whether csv and parquet have a row for images without a face.

        Returns:
            The file, or the folder for formats with several files.

        Raises:
            ExtraError: If the format is parquet and pyarrow is not installed.
        """
        if kind == "json":
            return self.folder
        if kind == "pts":
            existing = self._existing_pts(images)
            for image in images:
                self._write_pts(image, existing.pop(image.name, []))
            return self.folder
        results = map(self.read, images)
        if kind in TEXTS:
            name, to_text = TEXTS[kind]
            self._write(self.folder / name, to_text(results, scheme))
            return self.folder / name
        path = self.folder / f"faces.{kind}"
        write = {"csv": write_csv, "parquet": write_parquet}[kind]
        write(path, results, scheme, empty_rows=empty_rows)
        return path

    def _write_pts(self, image: InputImage, existing: Sequence[Path]) -> None:
        """Replace the existing .pts files of an image, if they are listed in its record."""
        _, faces = self.read(image)
        texts = faces_to_pts(faces, image.name)
        record = _read_json(self.path(image))
        pts_names = record.get("pts", [])
        for path in existing:
            if not self.overwrite and path.name not in pts_names:
                raise DataError(
                    f"{path} is not a result of this folder; choose another --out, or "
                    "add --overwrite"
                )
        names = [Path(name).name for name in texts]
        if pts_names != names:
            self._write_record(image, {**record, "pts": names})
        for path in existing:
            path.unlink()
        for name, text in texts.items():
            self._write(self.folder / name, text)

    def _existing_pts(self, images: Sequence[InputImage]) -> dict[str, list[Path]]:
        """Return the existing .pts files by image name, listing each folder once.

        An image may previously have had more faces.
        """
        found: dict[str, list[Path]] = {image.name: [] for image in images}
        for folder in {PurePosixPath(name).parent for name in found}:
            for path in (self.folder / folder).glob("*.pts"):
                for name in (path.stem, image_of_face(path.stem)):
                    paths = found.get((folder / name).as_posix())
                    if paths is not None:
                        paths.append(path)
        return found

    def _write_record(self, image: InputImage, record: Mapping[str, Any]) -> None:
        text = json.dumps(record, allow_nan=False, ensure_ascii=False)
        self._write(self.path(image), text + "\n")

    def _write(self, path: Path, text: str) -> None:
        try:
            # a file name may contain undecodable bytes, which JSON can escape
            write_text(path, text, errors="backslashreplace")
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror}); choose another folder"
            ) from error


def _read_json(path: Path) -> Any:
    """Return the contents of a JSON file; None if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _differences(before: Any, now: Mapping[str, Any]) -> str:
    """Return the settings that differ between the results `before` and this run."""
    if not isinstance(before, dict):
        return "unknown settings"
    pairs = {
        name: (before.get(name, "not set"), now.get(name, "not set"))
        for name in {**before, **now}
    }
    return ", ".join(
        f"{name} {then} (this run: {this})"
        for name, (then, this) in pairs.items()
        if then != this
    )


def to_record(image: InputImage, faces: Faces) -> dict[str, Any]:
    """Return the record of an image: `faces_to_dict`, and the image's size if known."""
    record = faces_to_dict(faces, str(image.path), DECIMALS)
    if faces.image_size is not None:
        record["image_size"] = list(faces.image_size)
    return record
