"""Registry of data sets: reader, parts with official counts, default folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DataError, did_you_mean
from ...io.media_files import contains_visible, visible_files
from ...io.pixel_origin import FIRST_PIXEL
from ...io.review_files import SUFFIX
from ...plugins import entry_points
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
from .cvat_xml import read_cvat_xml
from .dlib_xml import read_dlib_xml
from .folder import annotated_folder, read_folder
from .label_studio import read_label_studio
from .label_text import check_is_text, read_utf8_bytes
from .own_data import DEFAULT_OWN_DATA, OwnData
from .review import read_review
from .sentinels import mask_sentinels
from .yolo_pose import read_yolo
from .yolo_splits import YAML_SUFFIXES

ANY: dict[str, None] = {"all": None}


@dataclass(frozen=True)
class DataSet:
    """A data set and how to read it."""

    title: str
    """Name of the data set in messages."""
    contents: str
    """One-line description of the contents."""
    reader: Callable[..., list[Sample]]
    """Reads the faces in a part, given the data set's own folder and the part.

    Raises DataError for missing or broken files, ExtraError if a package is not installed.
    """
    parts: Mapping[str, int | None]
    """Official number of faces per part; ANY if a part may be any file or folder."""
    folder: str = ""
    """Folder of the data set in the data root."""
    annotated: Callable[..., list[Sample]] | None = None
    """Also reads faces whose image is missing; None: use `reader`."""
    layout: Callable[[str], tuple[str, ...]] = lambda part: ()
    """Wildcards, relative to that folder, of the files that contain the faces in a part."""
    own_boxes: bool = False
    """True if the reader's boxes enclose all 68 points, annotated or not."""
    counts_videos: bool = False
    """True if the official numbers count videos instead of faces."""
    is_format: bool = False
    """True for a general format for user data, whose reader also takes an OwnData."""
    has_categories: bool = False
    """True for a format whose faces have a category or label."""
    first_pixel: float = 0.0
    """Coordinate of the center of the first pixel in the files of a format."""
    subtracted: float = 0.0
    """Part of that offset that the reader itself subtracts."""

    @property
    def sentence(self) -> str:
        """Return title and contents as one line."""
        return f"{self.title}: {self.contents}"

    def read(
        self,
        folder: Path,
        part: str,
        absent: bool = False,
        own: OwnData = DEFAULT_OWN_DATA,
    ) -> list[Sample]:
        """Read the faces in one part from the data set's own folder.

        Args:
            absent: Also read faces whose image is missing.
            own: User-provided information; a known data set only uses `group` and `note`.

        Raises:
            DataError: If the part is unknown, or a file is missing or broken.
        """
        if part not in self.parts and self.parts is not ANY:
            hint = did_you_mean(part, self.parts)
            raise DataError(f"{self.title} has no part {part!r}; {hint}")
        reader = self.annotated if absent and self.annotated else self.reader
        if self.is_format:
            if own.category and not self.has_categories:
                raise DataError(
                    f"{self.title} is read without categories; remove category"
                )
            return self._from_zero(reader(folder, part, own), own)
        for key in ("scheme", "category", "pictures", "first_pixel"):
            if getattr(own, key):
                raise DataError(f"{self.title} defines its own {key}; remove {key}")
        samples: list[Sample] = []
        for face in reader(folder, part):
            group = own.group_of(face.name, face.attributes, face.group)
            samples.append(face if group == face.group else replace(face, group=group))
        return samples

    def _from_zero(self, samples: list[Sample], own: OwnData) -> list[Sample]:
        """Return the faces with coordinates shifted so that the first pixel's center is 0."""
        first = self.first_pixel if own.first_pixel is None else own.first_pixel
        shift = self.subtracted - first
        if shift == 0:
            return samples
        shifted = []
        for face in samples:
            box = None if face.box is None else face.box + shift
            shifted.append(replace(face, landmarks=face.landmarks + shift, box=box))
        return shifted

    def missing(self, samples: list[Sample], part: str) -> str:
        """Return a message about the missing samples of `part`, or "" if complete."""
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
    read: Callable[[Path, OwnData], list[Sample]], suffix: str
) -> Callable[[Path, str, OwnData], list[Sample]]:
    """Return a reader whose part is a file name, or "all" for the only file."""

    def read_file(
        root: Path, part: str, own: OwnData = DEFAULT_OWN_DATA
    ) -> list[Sample]:
        path = _table_of(root, part, suffix)
        return mask_sentinels(read(path, own), own, str(path))

    return read_file


def _table_of(root: Path, part: str, suffix: str) -> Path:
    """Return the file of a part: in a folder, its subfolder `annotations`, or anywhere below."""
    if root.is_file():
        return root
    candidates = [root, root / "annotations"]
    if part != "all":
        name = part if part.endswith(suffix) else part + suffix
        for location in candidates:
            if (location / name).is_file():
                return location / name
        candidates = [root / part]
        if not candidates[0].is_dir():
            return root / name
    found: list[Path] = []
    for location in candidates:
        found = found or visible_files(location, f"*{suffix}")
    found = found or visible_files(candidates[0], f"**/*{suffix}")
    if len(found) != 1:
        count = f"{candidates[0]}: {len(found)} {suffix} files"
        raise DataError(f"{count}; expected one; choose one by its name as the part")
    return found[0]


def detect_table_format(path: Path) -> str:
    """Return the reader for an annotation table, by its suffix and first bytes.

    Raises:
        DataError: If the file is an archive or a spreadsheet.
    """
    check_is_text(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return "csv"
    if path.suffix.lower() in YAML_SUFFIXES:
        return "yolo"
    start = read_utf8_bytes(path, 4096).decode("utf-8", "replace")
    start = start.lstrip("\ufeff \r\n\t")
    if path.suffix.lower() == ".xml":
        return "cvat" if "<annotations" in start else "dlib"
    return "label-studio" if start.startswith("[") else "coco"


def detect_label_format(path: Path) -> str:
    """Return the reader for a file, or for a folder by the files it contains.

    Raises:
        DataError: If there is no file in a known format, or there are several formats.
    """
    if path.is_file():
        return detect_table_format(path)
    if not path.is_dir():
        raise DataError(f"no file or folder {path}; check the path")
    if contains_visible(path, f"**/*{SUFFIX}"):
        return "review"
    if contains_visible(path, "**/*.pts"):
        return "folder"
    tables = []
    for suffix in (".xml", ".json", ".csv", ".tsv"):
        tables += visible_files(path, f"*{suffix}", f"annotations/*{suffix}")
    kinds = {detect_table_format(table) for table in tables}
    if not kinds and contains_visible(path, "**/labels/**/*.txt"):
        return "yolo"
    if len(kinds) != 1:
        found = ", ".join(sorted(kinds)) or "none"
        raise DataError(
            f"{path}: label formats found: {found}; expected exactly one: choose one "
            "with --reader"
        )
    return kinds.pop()


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
        "CFP", "30 of the 68 points, on the visible half of profiles and frontal faces",
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
        "IMM", "58 points on 40 subjects, six images each",
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
        "LFPW", "35 points with visibility on photos from the web, or the published 29",
        lfpw.read_lfpw, lfpw.PARTS, "lfpw",
    ),
    "afw": DataSet(
        "AFW", "6 points, boxes and angles on 468 faces of any pose",
        afw.read_afw, afw.PARTS, "afw",
    ),
    "dlib": DataSet(
        "dlib XML", "boxes and parts, as written by imglab; `part` is the name of the file",
        _file_reader(read_dlib_xml, ".xml"), ANY, is_format=True,
    ),
    "coco": DataSet(
        "COCO", "keypoints in one JSON file; `part` is the name of the file",
        _file_reader(read_coco, ".json"), ANY, is_format=True, has_categories=True,
    ),
    "cvat": DataSet(
        "CVAT", "skeletons or points in CVAT's XML for images 1.1; `part` is the name of the file",
        _file_reader(read_cvat_xml, ".xml"), ANY, is_format=True, has_categories=True,
        first_pixel=FIRST_PIXEL["cvat"],
    ),
    "label-studio": DataSet(
        "Label Studio", "keypoints in its JSON export; `part` is the name of the file",
        _file_reader(read_label_studio, ".json"), ANY, is_format=True, has_categories=True,
        first_pixel=FIRST_PIXEL["label-studio"],
    ),
    "yolo": DataSet(
        "YOLO pose", "a .txt file of fractions per image; `part` is a subfolder",
        read_yolo, ANY, is_format=True,
    ),
    "csv": DataSet(
        "CSV", "an image and x, y columns per row; `part` is the name of the file",
        _file_reader(read_csv_points, ".csv"), ANY, is_format=True,
    ),
    "folder": DataSet(
        "Folder", "images with a .pts file next to each; `part` is a subfolder",
        read_folder, ANY, annotated=annotated_folder, is_format=True,
        first_pixel=FIRST_PIXEL["pts"], subtracted=FIRST_PIXEL["pts"],
    ),
    "review": DataSet(
        "Review", "corrected faces of lineament review; `part` is a subfolder",
        read_review, ANY, is_format=True,
        first_pixel=FIRST_PIXEL["pts"], subtracted=FIRST_PIXEL["pts"],
    ),
}  # fmt: skip


def data_set(name: str) -> DataSet:
    """Return the data set `name` from this package or from an installed plug-in.

    Raises:
        DataError: If there is none; the message suggests the nearest name.
        ExtraError: If the plug-in that provides it cannot be used.
    """
    if name in READERS:
        return READERS[name]
    found = entry_points.load_plugin(entry_points.READERS, name)
    if found is None:
        known = [*READERS, *entry_points.plugin_names(entry_points.READERS)]
        raise DataError(f"unknown data set {name!r}; {did_you_mean(name, known)}")
    if not isinstance(found, DataSet):
        raise DataError(
            f"the reader {name!r} of another package is of type "
            f"{type(found).__name__}; expected a "
            "lineament.data.readers.registry.DataSet"
        )
    return found


def read_data(
    name: str, root: Path, part: str, own: OwnData = DEFAULT_OWN_DATA
) -> list[Sample]:
    """Read the faces in one part of the data set `name`.

    Args:
        name: One of READERS.
        root: The data root, or the data set's own folder.
        part: One of the data set's parts.
        own: User-provided information about the data.

    Raises:
        DataError: If the name or part is unknown, or a file is missing or broken.
    """
    return data_set(name).read(data_folder(name, root), part, own=own)


def data_folder(name: str, root: Path) -> Path:
    """Return the folder of the data set `name` in `root`, or `root` itself if it is missing."""
    data = data_set(name)
    folder = root / data.folder
    return folder if data.folder and folder.is_dir() else root
