"""Facial landmarks in images and video, and training of landmark models.

The public names are listed explicitly; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis.align import align as align
    from .analysis.anonymize import anonymize_faces as anonymize_faces
    from .analysis.draw import draw_faces as draw_faces
    from .analysis.draw import save_image as save_image
    from .analysis.head_pose import HeadPose as HeadPose
    from .analysis.head_pose import eye_openness as eye_openness
    from .analysis.head_pose import eye_roll_deg as eye_roll_deg
    from .analysis.head_pose import head_pose as head_pose
    from .analysis.head_pose import interocular_px as interocular_px
    from .analysis.head_pose import mouth_openness as mouth_openness
    from .errors import DataError as DataError
    from .errors import ExportError as ExportError
    from .errors import ExtraError as ExtraError
    from .errors import ImageError as ImageError
    from .errors import InputError as InputError
    from .errors import LineamentError as LineamentError
    from .errors import ModelError as ModelError
    from .errors import ProtocolError as ProtocolError
    from .errors import RecipeError as RecipeError
    from .errors import SchemeError as SchemeError
    from .errors import ShapeError as ShapeError
    from .errors import TrainError as TrainError
    from .errors import WorkError as WorkError
    from .face import Face as Face
    from .face import Faces as Faces
    from .inference.model_files import list_models as list_models
    from .inference.predictor import Predictor as Predictor
    from .inference.predictor import detect as detect
    from .inference.registry import load_model as load_model
    from .io.coco import faces_to_coco as faces_to_coco
    from .io.cvat import faces_to_cvat as faces_to_cvat
    from .io.formats import faces_from_json as faces_from_json
    from .io.formats import faces_to_json as faces_to_json
    from .io.formats import faces_to_numpy as faces_to_numpy
    from .io.formats import faces_to_supervision as faces_to_supervision
    from .io.formats import to_dict as to_dict
    from .io.image import read_image as read_image
    from .io.input_images import read_images as read_images
    from .io.label_studio import faces_to_label_studio as faces_to_label_studio
    from .io.media_files import find_images as find_images
    from .io.pts import faces_to_pts as faces_to_pts
    from .io.tables import write_csv as write_csv
    from .io.tables import write_parquet as write_parquet
    from .io.track_files import Tracks as Tracks
    from .io.track_files import read_tracks as read_tracks
    from .io.video_reader import VideoReader as VideoReader
    from .io.video_writer import VideoWriter as VideoWriter
    from .scheme_file.table import Scheme as Scheme
    from .schemes import Conversion as Conversion
    from .schemes import convert as convert
    from .schemes import scheme as scheme
    from .tracking.rules import TrackRules as TrackRules
    from .tracking.tracker import Tracker as Tracker

__version__ = "0.1.0"

_HOMES = {
    "detect": "inference.predictor",
    "Predictor": "inference.predictor",
    "Face": "face",
    "Faces": "face",
    "read_image": "io.image",
    "read_images": "io.input_images",
    "find_images": "io.media_files",
    "scheme": "schemes",
    "Scheme": "scheme_file.table",
    "Conversion": "schemes",
    "Tracker": "tracking.tracker",
    "TrackRules": "tracking.rules",
    "Tracks": "io.track_files",
    "read_tracks": "io.track_files",
    "VideoReader": "io.video_reader",
    "VideoWriter": "io.video_writer",
    "convert": "schemes",
    "draw_faces": "analysis.draw",
    "save_image": "analysis.draw",
    "align": "analysis.align",
    "anonymize_faces": "analysis.anonymize",
    "HeadPose": "analysis.head_pose",
    "head_pose": "analysis.head_pose",
    "eye_openness": "analysis.head_pose",
    "mouth_openness": "analysis.head_pose",
    "interocular_px": "analysis.head_pose",
    "eye_roll_deg": "analysis.head_pose",
    "list_models": "inference.model_files",
    "load_model": "inference.registry",
    "faces_to_numpy": "io.formats",
    "faces_to_json": "io.formats",
    "faces_from_json": "io.formats",
    "faces_to_pts": "io.pts",
    "faces_to_coco": "io.coco",
    "faces_to_cvat": "io.cvat",
    "faces_to_label_studio": "io.label_studio",
    "faces_to_supervision": "io.formats",
    "to_dict": "io.formats",
    "write_csv": "io.tables",
    "write_parquet": "io.tables",
    "LineamentError": "errors",
    "InputError": "errors",
    "ImageError": "errors",
    "ShapeError": "errors",
    "SchemeError": "errors",
    "DataError": "errors",
    "RecipeError": "errors",
    "ProtocolError": "errors",
    "WorkError": "errors",
    "ModelError": "errors",
    "ExportError": "errors",
    "TrainError": "errors",
    "ExtraError": "errors",
}

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
