"""Options shared by several commands, and the objects created from them."""

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import note

if TYPE_CHECKING:
    from ..data.readers.own_data import OwnData
    from ..inference.predictor import Predictor
    from ..io.input_images import InputImage


TRAINED_HERE = {"mtcnn": "train.md", "dpm-cnn": "cascade.md"}
"""Detectors without packaged weights, and the guide that trains them."""

OUTPUT_SUFFIXES = (
    *(".json", ".jsonl", ".csv", ".parquet", ".pts", ".xml", ".onnx"),
    *(".jpg", ".jpeg", ".png", ".webp", ".mp4"),
)
"""Endings of files that some command writes: a folder of such a name is a mistake."""


class Smooth(StrEnum):
    """Temporal filters."""

    one_euro = "one-euro"
    kalman = "kalman"
    none = "none"

    @property
    def filter(self) -> str | None:
        """Return the value for Tracker."""
        return None if self is Smooth.none else self.value


class Printed(StrEnum):
    """Formats for printing a report."""

    table = "table"
    json = "json"


def folder_path(path: Path | None) -> Path | None:
    """Return the path of a folder to write.

    Raises:
        BadParameter: If it names a file.
    """
    if path and path.suffix.lower() in OUTPUT_SUFFIXES and not path.is_dir():
        raise typer.BadParameter(
            f"{path} is the name of a file; expected a folder for the results"
        )
    return path


PointScheme = Annotated[
    str, typer.Option(help="Landmark scheme: a name, or the path of a .toml file.")
]
Category = Annotated[
    str,
    typer.Option(help="Category or label of the faces, if the labels have several."),
]
Pictures = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the images, if they are not where the labels say.",
        exists=True,
        file_okay=False,
    ),
]
Group = Annotated[
    str,
    typer.Option(
        help=(
            "Rule that identifies the person, so that all faces of a person are in "
            "the same split: a column, a folder level (1: the first), or a pattern "
            "such as '(person[0-9]+)_'."
        )
    ),
]
ImagePaths = Annotated[
    list[str],
    typer.Argument(
        help="Image files, folders (searched recursively) or patterns.", metavar="PATH"
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        help="A model listed by `lineament models`, an .onnx or .safetensors file, or "
        "a .toml file that describes a third-party .onnx file.",
    ),
]
SchemeName = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        help="Landmark scheme of the results: a name such as five, or a .toml file; default: the "
        "model's own.",
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--boxes",
        metavar="X0,Y0,X1,Y1|FILE",
        help="Use these face boxes, in pixels, instead of the detector: one box (repeatable, "
        "for a single image only), or a JSON file with the boxes of each image: "
        '{"image.jpg": [[x0, y0, x1, y1], ...], ...}.',
    ),
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="Accept data that lack faces of the protocol; the report states how many.",
    ),
]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Average the predictions for each crop and its mirror image; slightly more "
        "accurate, but twice the work.",
    ),
]
DetectorName = Annotated[
    str,
    typer.Option(
        "--detector",
        metavar="NAME|FILE",
        help="Face detector: default, mediapipe (if installed), or an .onnx file: a "
        "detector written by `lineament export`, or OpenCV's YuNet.",
    ),
]
MinPresence = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help=(
            "Drop faces with a lower presence (probability of a face), if the model "
            "predicts it; default: 0.9."
        ),
    ),
]
MinFace = Annotated[
    str | None,
    typer.Option(
        "--min-face",
        metavar="40px|0.05",
        help="Smallest face to find: its side in pixels, or as a fraction of the "
        "image's longer side; default: 16 pixels, measured after resizing the longer side "
        "to between 640 and 1,024 pixels. Halving the size quadruples the work.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|...",
        help="Device to run models on: cpu, cuda, directml, coreml or openvino, if "
        "the installed ONNX Runtime supports it; auto: the first one supported.",
    ),
]
Occluded = Annotated[
    bool,
    typer.Option(
        help="Draw landmarks that are probably turned away or occluded as rings; "
        "--no-occluded omits them."
    ),
]
EmptyRows = Annotated[
    bool,
    typer.Option(
        "--empty-rows",
        help=(
            "Also write a row for each image or frame without a face; for csv and "
            "parquet."
        ),
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0,
        help=(
            "Number of processes; 0: one per core. Several are faster for more than a "
            "few hundred images."
        ),
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing results in --out.")
]
FramesPerSecond = Annotated[
    float, typer.Option(help="Frames per second of a folder of images.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the data sets; default: $LINEAMENT_DATA, else ./data."
    ),
]
EvaluationData = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the data sets; default: $LINEAMENT_DATA, else ./data. With "
        "--protocol folder: a folder of annotated images, or an annotation file."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder for cached crops; default: the user's cache folder."),
]
ProtocolId = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="ID|FILE",
        help="A protocol such as 300w-common, wflw or folder, or a .toml file.",
    ),
]
ReportFormat = Annotated[
    Printed,
    typer.Option(
        "--format", help="table: errors in percent; json: errors as fractions."
    ),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(help="Folder for report.json, report.html and report.png."),
]
DataScheme = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        help="Landmark scheme of the faces in --data: a name or a .toml file; only with --protocol "
        "folder.",
    ),
]


def make_predictor(
    model: str,
    scheme: str | None = None,
    detector: str = "default",
    flip: bool = False,
    min_face: str | None = None,
    min_presence: float | None = None,
    device: str = "cpu",
    threads: int = 0,
) -> "Predictor":
    """Create the predictor selected by the options."""
    from ..inference.predictor import Predictor

    chosen = detector_options(detector, min_face) | presence_limits(min_presence)
    chosen |= device_option(device)
    return Predictor(model, scheme=scheme, flip=flip, threads=threads, **chosen)


def device_option(device: str) -> dict[str, Any]:
    """Return --device as keyword argument for Predictor; empty for the default."""
    return {} if device == "cpu" else {"device": device}


def presence_limits(min_presence: float | None) -> dict[str, Any]:
    """Return --min-presence as keyword argument for Predictor; empty for the default."""
    return {} if min_presence is None else {"min_presence": min_presence}


def face_limits(min_face: str | None, min_presence: float | None) -> dict[str, Any]:
    """Return the options that determine which faces are found, without default values."""
    limits = presence_limits(min_presence)
    return limits if min_face is None else limits | {"min_face": min_face}


def detector_options(detector: str, min_face: str | None) -> dict[str, Any]:
    """Return the keyword arguments of Predictor for --detector and --min-face."""
    if detector == "default":
        return {"detector": "default", "min_face": min_face}
    return {"detector": named_detector(detector, min_face)}


def named_detector(name: str, min_face: str | None = None) -> Any:
    """Return the `detector` argument of Predictor for a detector name.

    Raises:
        BadParameter: If there is no such detector, or it does not support `min_face`.
    """
    if name == "default":
        return "default"
    if name == "mediapipe":
        if min_face is not None:
            raise typer.BadParameter(
                f"--min-face {min_face} works only with the detectors of this package; "
                "omit it for mediapipe"
            )
        from ..inference.detector_adapters import mediapipe

        return mediapipe()
    from ..inference.open_detector import detector_of_file, plugin_detector

    if name.endswith(".onnx"):
        return detector_of_file(name, min_face)
    found = plugin_detector(name)
    if found is None:
        if name in TRAINED_HERE:
            raise typer.BadParameter(
                f"no weights of {name} are packaged; train it, export it, and give the "
                f"file: --detector {name}.onnx (docs/{TRAINED_HERE[name]})"
            )
        raise typer.BadParameter(
            f"unknown --detector {name!r}; expected default, mediapipe, or the path of "
            "an .onnx file of YuNet or written by lineament export"
        )
    if min_face is not None:
        raise typer.BadParameter(
            f"--min-face {min_face} works only with the detectors of this package; "
            f"omit it for {name}"
        )
    return found


def with_digest(name: str) -> str:
    """Return a model's name or path with the digest of its file, because files can change."""
    from ..inference.foreign_model import model_file_content
    from ..inference.model_files import weights_folder
    from ..plugins.entry_points import MODELS, plugin_file

    shipped = weights_folder() / f"{name}.onnx"
    path = shipped if shipped.is_file() else plugin_file(MODELS, name) or Path(name)
    if not path.is_file():
        return name
    return f"{name} {sha256(model_file_content(path)).hexdigest()[:16]}"


def prediction_settings(
    model: str, scheme: str, detector: str, flip: bool, given_boxes: bool
) -> dict[str, Any]:
    """Return everything that results depend on, except the images."""
    settings: dict[str, Any] = {
        "model": with_digest(model),
        "scheme": scheme,
        "boxes": "given" if given_boxes else "detected",
    }
    if not given_boxes:
        settings["detector"] = with_digest(
            "detector" if detector == "default" else detector
        )
    if flip:
        settings["flip"] = True
    return settings


def known_boxes(
    boxes: list[str] | None, images: "Sequence[InputImage]"
) -> dict[str, Any] | None:
    """Return the boxes per image from --boxes, or None without this option."""
    from ..io.input_images import read_boxes

    if not boxes:
        return None
    if len(boxes) == 1 and boxes[0].endswith(".json"):
        return read_boxes(Path(boxes[0]))
    if len(images) != 1:
        raise typer.BadParameter(
            f"--boxes with numbers is for one image, not {len(images)}; give a JSON "
            "file of boxes"
        )
    try:
        numbers = [list(map(float, box.split(","))) for box in boxes]
    except ValueError as error:
        raise typer.BadParameter(
            f"--boxes {' '.join(boxes)!r}; expected x0,y0,x1,y1 or a .json file"
        ) from error
    return {str(images[0].path): numbers}


def own_data(
    scheme: str = "", category: str = "", pictures: Path | None = None, group: str = ""
) -> "OwnData":
    """Return what the user states about annotated faces; messages are printed.

    Raises:
        SchemeError: If there is no such scheme.
    """
    from ..data.readers.own_data import OwnData
    from ..schemes import check_scheme

    named = check_scheme(scheme) if scheme else ""
    return OwnData(named, "", category, pictures, group, note=note)
