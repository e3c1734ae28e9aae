"""Every data set by name: how it is read, its parts with their official counts, and the folder it lies in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, did_you_mean
from ..sample import OF_ONE_PHOTO, Sample, scheme_of_count
from . import aflw, cfp30, cofw, helen194, infanface, mtfl, scut86, talking_face, w300, w300vw, wflw
from .coco import read_coco
from .csv_points import read_csv_points
from .dlib_xml import read_dlib_xml
from .pts import image_beside, read_pts, with_images


@dataclass(frozen=True)
class DataSet:
    """How a data set is read."""

    sentence: str
    """What it is."""
    read: Callable[[Path, str], list[Sample]]
    """Takes the set's own folder and the name of a part."""
    parts: Mapping[str, int | None]
    """The official number of faces (videos for 300VW) of each part; None where a part may be any file or folder."""
    missing: Callable[[list[Sample], str], str] = lambda samples, part: ""
    """One plain line where samples are fewer than official, else an empty text."""
    folder: str = ""
    """Its folder below the data root."""
    layout: Callable[[str], tuple[str, ...]] = lambda part: ()
    """Takes a part to the wildcards below that folder where its faces are looked for."""
    annotated: Callable[[Path, str], list[Sample]] | None = None
    """Like `read`, with the faces whose image is absent; None: `read` itself."""
    own_boxes: bool = False
    """Whether the boxes its reader gives are those of all 68 points, annotated or not."""


def read_folder(root: Path, part: str = "all") -> list[Sample]:
    """Read every face with a .pts file below `root`; the scheme is taken from the number of points.

    Files called photo__1, photo__2 are faces of one photo.

    Args:
        root: Folder that names start from.
        part: Folder below it; "all": `root` itself.

    Raises:
        DataError: If there is no .pts file, or one is broken or without an image.
    """
    return with_images(annotated_folder(root, part))


def annotated_folder(root: Path, part: str = "all") -> list[Sample]:
    """Read faces like `read_folder`, also those whose image is absent."""
    folder = root if part == "all" else root / part
    samples = []
    for path in sorted(folder.rglob("*.pts")):
        image = image_beside(path) or path.with_suffix(".jpg")
        landmarks = read_pts(path)
        name = image.relative_to(root).as_posix()
        subset = path.parent.relative_to(root).as_posix()
        kind, photo = scheme_of_count(len(landmarks), path), image.stem.partition(OF_ONE_PHOTO)[0]
        samples.append(Sample(image, landmarks, kind, name, subset=subset, photo=photo))
    if not samples:
        raise DataError(f"{folder}: no .pts file in it or below; wanted one next to each image")
    return samples


def _file_in(root: Path, part: str, suffix: str) -> Path:
    """The file `part` of `root`; of a folder with one file of that suffix, "all" is that file."""
    if root.is_file():
        return root
    if part != "all":
        return root / (part if part.endswith(suffix) else part + suffix)
    found = sorted(root.glob(f"*{suffix}"))
    if len(found) != 1:
        raise DataError(
            f"{root}: {len(found)} {suffix} files; wanted one, or the name of one as the part"
        )
    return found[0]


def _read_dlib(root: Path, part: str) -> list[Sample]:
    return read_dlib_xml(_file_in(root, part, ".xml"))


def _read_coco(root: Path, part: str) -> list[Sample]:
    return read_coco(_file_in(root, part, ".json"))


def _read_csv(root: Path, part: str) -> list[Sample]:
    return read_csv_points(_file_in(root, part, ".csv"))


W300_PARTS = {part: count for part, (_, count) in w300.PARTS.items()}
ANY = {"all": None}

READERS: dict[str, DataSet] = {
    "300w": DataSet(
        "300W: 68 points on photos from HELEN, LFPW, AFW and iBUG, and the official test",
        w300.read_300w, W300_PARTS, w300.missing_300w, "300w",
        layout=lambda part: w300.PARTS[part][0], annotated=w300.annotated_300w,
    ),
    "wflw": DataSet(
        "WFLW: 98 points and six attributes on 10,000 faces",
        wflw.read_wflw, wflw.PARTS, wflw.missing_wflw, "wflw", annotated=wflw.annotated_wflw,
    ),
    "cofw": DataSet(
        "COFW: 29 points with occlusion; its test also with 68",
        cofw.read_cofw, cofw.PARTS, cofw.missing_cofw, "cofw",
    ),
    "aflw": DataSet(
        "AFLW: 19 points on 24,386 faces of any pose, or the original 21",
        aflw.read_aflw, aflw.PARTS, aflw.missing_aflw, "aflw", annotated=aflw.annotated_aflw,
    ),
    "300vw": DataSet(
        "300VW: 114 videos with 68 points a frame, in three categories; counts are of videos",
        w300vw.read_300vw, w300vw.PARTS, w300vw.missing_300vw, "300vw",
        layout=lambda part: ("**/[0-9][0-9][0-9]/vid.avi",),
    ),
    "talking-face": DataSet(
        "Talking Face: one video of 5,000 frames, FGNET's 68 points; for tests only",
        talking_face.read_talking_face, talking_face.PARTS, talking_face.missing_talking_face, "talking_face",
    ),
    "infanface": DataSet(
        "InfAnFace: 68 points on infants at any roll angle, with attributes",
        infanface.read_infanface, infanface.PARTS, infanface.missing_infanface, "infanface",
    ),
    "cfp30": DataSet(
        "CFP: 30 of the 68 points, on the shown half of celebrities' profiles and frontal faces",
        cfp30.read_cfp30, cfp30.PARTS, cfp30.missing_cfp30, "cfp30", own_boxes=True,
    ),
    "helen194": DataSet(
        "Helen: 194 points on 300W's HELEN training photos, alone or with the 68 before them",
        helen194.read_helen194, helen194.PARTS, helen194.missing_helen194, "300w",
    ),
    "scut86": DataSet(
        "SCUT-FBP5500: 86 points on portraits",
        scut86.read_scut86, scut86.PARTS, scut86.missing_scut86, "scut86",
    ),
    "mtfl": DataSet(
        "MTFL: 5 points, gender, smile, glasses and pose on 12,995 faces",
        mtfl.read_mtfl, mtfl.PARTS, mtfl.missing_mtfl, "mtfl",
    ),
    "dlib": DataSet("dlib XML: boxes and parts, as imglab writes them; the part is the file", _read_dlib, ANY),
    "coco": DataSet("COCO keypoints in one JSON file; the part is the file", _read_coco, ANY),
    "csv": DataSet("a CSV with a picture and x, y columns a row; the part is the file", _read_csv, ANY),
    "folder": DataSet(
        "pictures with a .pts file beside each; the part is a folder", read_folder, ANY,
        annotated=annotated_folder,
    ),
}  # fmt: skip


def data_set(name: str) -> DataSet:
    """The data set called `name`.    Raises: DataError, with the nearest name."""
    if name not in READERS:
        raise DataError(f"no data set is called {name!r}; {did_you_mean(name, READERS)}")
    return READERS[name]


def data_folder(name: str, root: Path) -> Path:
    """Return the own folder of the data set `name` below `root`, else `root` itself."""
    known = data_set(name)
    inner = root / known.folder
    return inner if known.folder and inner.is_dir() else root


def read_data(name: str, root: Path, part: str) -> list[Sample]:
    """Read the faces of `part` of the data set `name`.

    Args:
        name: Name of the data set.
        root: Folder that holds the data set's own folder, or that folder.
        part: Name of the part.

    Raises:
        DataError: If the name or part is unknown, or a file is missing or broken.
    """
    return data_set(name).read(data_folder(name, root), part)


def read_annotations(name: str, root: Path, part: str) -> list[Sample]:
    """Read faces like `read_data`, also those whose image is absent."""
    known = data_set(name)
    return (known.annotated or known.read)(data_folder(name, root), part)


def missing_data(name: str, samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return data_set(name).missing(samples, part)
