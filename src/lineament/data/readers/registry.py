"""Every data set by name: reader, parts with official counts, usual folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, did_you_mean
from ..sample import Sample
from . import (
    aflw,
    afw,
    ar,
    bioid,
    cfp30,
    cofw,
    helen194,
    imm,
    infanface,
    lfpw,
    mtfl,
    muct,
    multipie,
    put,
    scut86,
    talking_face,
    w300,
    w300vw,
    wflw,
    xm2vts,
)
from .coco import read_coco
from .csv_points import read_csv_points
from .dlib_xml import read_dlib_xml
from .folder import annotated_folder, read_folder

ANY: dict[str, None] = {"all": None}


@dataclass(frozen=True)
class DataSet:
    """A data set and how it is read."""

    title: str
    """Its name in messages."""
    contents: str
    """One line about what it holds."""
    reader: Callable[[Path, str], list[Sample]]
    """Reads the faces of a part from the set's own folder.

    Raises DataError for a missing or broken file, ExtraError if a package is not installed.
    """
    parts: Mapping[str, int | None]
    """Official number of faces of each part; ANY if a part may be any file or folder."""
    folder: str = ""
    """Its folder below the data root."""
    annotated: Callable[[Path, str], list[Sample]] | None = None
    """Reads also faces whose image is absent; None: `reader`."""
    layout: Callable[[str], tuple[str, ...]] = lambda part: ()
    """Wildcards below that folder where the faces of a part are looked for."""
    own_boxes: bool = False
    """True if the boxes of its reader are those of all 68 points, annotated or not."""
    counts_videos: bool = False
    """True if the official numbers are of videos."""

    @property
    def sentence(self) -> str:
        """Title and contents in one line."""
        return f"{self.title}: {self.contents}"

    def read(self, folder: Path, part: str, absent: bool = False) -> list[Sample]:
        """Read the faces of one part from the set's own folder.

        With `absent`, faces whose image is absent are read too.

        Raises:
            DataError: If the part is unknown, or a file is missing or broken.
        """
        if part not in self.parts and self.parts is not ANY:
            hint = did_you_mean(part, self.parts)
            raise DataError(f"{self.title} has no part {part!r}; {hint}")
        reader = self.annotated if absent and self.annotated else self.reader
        return reader(folder, part)

    def missing(self, samples: list[Sample], part: str) -> str:
        """Return a line on how many samples of `part` are missing, or an empty text."""
        unit, count = "faces", len(samples)
        if self.counts_videos:
            unit, count = "videos", len({sample.image for sample in samples})
        official = self.parts.get(part)
        if official in (None, count):
            return ""
        return (
            f"{self.title} {part}: {count} of the official {official} {unit} are here"
        )


def _file_reader(
    read: Callable[[Path], list[Sample]], suffix: str
) -> Callable[[Path, str], list[Sample]]:
    """Return a reader whose part is the name of a file, or "all" for the only one."""

    def read_file(root: Path, part: str) -> list[Sample]:
        if root.is_file():
            return read(root)
        if part != "all":
            return read(root / (part if part.endswith(suffix) else part + suffix))
        found = sorted(root.glob(f"*{suffix}"))
        if len(found) != 1:
            count = f"{root}: {len(found)} {suffix} files"
            raise DataError(f"{count}; wanted one, or the name of one as the part")
        return read(found[0])

    return read_file


READERS: dict[str, DataSet] = {
    "300w": DataSet(
        "300W", "68 points on HELEN, LFPW, AFW and iBUG, and the official test",
        w300.read_300w, w300.PARTS, "300w",
        annotated=w300.annotated_300w, layout=lambda part: w300.FOLDERS[part],
    ),
    "wflw": DataSet(
        "WFLW", "98 points and six attributes on 10,000 faces",
        wflw.read_wflw, wflw.PARTS, "wflw", annotated=wflw.annotated_wflw,
    ),
    "cofw": DataSet(
        "COFW", "29 points with occlusion; its test also with 68",
        cofw.read_cofw, cofw.PARTS, "cofw",
    ),
    "aflw": DataSet(
        "AFLW", "19 points on 24,386 faces of any pose, or the original 21",
        aflw.read_aflw, aflw.PARTS, "aflw", annotated=aflw.annotated_aflw,
    ),
    "300vw": DataSet(
        "300VW", "114 videos with 68 points per frame; counts are of videos",
        w300vw.read_300vw, w300vw.PARTS, "300vw", counts_videos=True,
        layout=lambda part: ("**/[0-9][0-9][0-9]/vid.avi",),
    ),
    "talking-face": DataSet(
        "Talking Face", "one video of 5,000 frames, FGNET's 68 points; for tests only",
        talking_face.read_talking_face, talking_face.PARTS, "talking_face",
    ),
    "infanface": DataSet(
        "InfAnFace", "68 points on infants at any roll angle, with attributes",
        infanface.read_infanface, infanface.PARTS, "infanface",
    ),
    "cfp30": DataSet(
        "CFP", "30 of the 68 points, on the shown half of profiles and frontal faces",
        cfp30.read_cfp30, cfp30.PARTS, "cfp30", own_boxes=True,
    ),
    "helen194": DataSet(
        "Helen", "194 points on 300W's HELEN training photos, alone or after the 68",
        helen194.read_helen194, helen194.PARTS, "300w",
    ),
    "scut86": DataSet(
        "SCUT-FBP5500", "86 points on portraits",
        scut86.read_scut86, scut86.PARTS, "scut86",
    ),
    "mtfl": DataSet(
        "MTFL", "5 points, gender, smile, glasses and pose on 12,995 faces",
        mtfl.read_mtfl, mtfl.PARTS, "mtfl",
    ),
    "multipie": DataSet(
        "Multi-PIE", "68 points on near-frontal faces, 39 on profiles",
        multipie.read_multipie, multipie.PARTS, "multipie", own_boxes=True,
    ),
    "xm2vts": DataSet(
        "XM2VTS", "68 points on portraits, of ibug or of FGNET",
        xm2vts.read_xm2vts, xm2vts.PARTS, "xm2vts",
    ),
    "ar": DataSet(
        "AR", "FGNET's 22 points on portraits, with expression and light",
        ar.read_ar, ar.PARTS, "ar",
    ),
    "imm": DataSet(
        "IMM", "58 points on 40 persons in six images each",
        imm.read_imm, imm.PARTS, "imm",
    ),
    "muct": DataSet(
        "MUCT", "76 points on portraits from five cameras",
        muct.read_muct, muct.PARTS, "muct",
    ),
    "put": DataSet(
        "PUT", "30 landmarks or 194 contour points, of unknown order",
        put.read_put, put.PARTS, "put",
    ),
    "bioid": DataSet(
        "BioID", "FGNET's 20 points on gray images",
        bioid.read_bioid, bioid.PARTS, "bioid",
    ),
    "lfpw": DataSet(
        "LFPW", "35 points with visibility on photos of the web, or the published 29",
        lfpw.read_lfpw, lfpw.PARTS, "lfpw",
    ),
    "afw": DataSet(
        "AFW", "6 points, boxes and angles on 468 faces of any pose",
        afw.read_afw, afw.PARTS, "afw",
    ),
    "dlib": DataSet(
        "dlib XML", "boxes and parts, as written by imglab; the part is the file",
        _file_reader(read_dlib_xml, ".xml"), ANY,
    ),
    "coco": DataSet(
        "COCO", "keypoints in one JSON file; the part is the file",
        _file_reader(read_coco, ".json"), ANY,
    ),
    "csv": DataSet(
        "CSV", "an image and x, y columns per row; the part is the file",
        _file_reader(read_csv_points, ".csv"), ANY,
    ),
    "folder": DataSet(
        "Folder", "images with a .pts file next to each; the part is a folder",
        read_folder, ANY, annotated=annotated_folder,
    ),
}  # fmt: skip


def data_set(name: str) -> DataSet:
    """Return the data set `name`.

    Raises:
        DataError: If there is none; the message offers the nearest name.
    """
    if name not in READERS:
        raise DataError(
            f"no data set is called {name!r}; {did_you_mean(name, READERS)}"
        )
    return READERS[name]


def read_data(name: str, root: Path, part: str) -> list[Sample]:
    """Read the faces of one part of the data set `name`.

    Args:
        name: One of READERS.
        root: The data root, or the set's own folder.
        part: One of the set's parts.

    Raises:
        DataError: If the name or part is unknown, or a file is missing or broken.
    """
    return data_set(name).read(data_folder(name, root), part)


def data_folder(name: str, root: Path) -> Path:
    """Return the own folder of the data set `name` below `root`, else `root` itself."""
    known = data_set(name)
    own = root / known.folder
    return own if known.folder and own.is_dir() else root
