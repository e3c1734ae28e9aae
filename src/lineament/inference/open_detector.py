"""Open face detectors of any kind by file."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from ..errors import ModelError
from ..plugins import entry_points
from . import dpm_cnn_detector, mtcnn_model
from .callable_detector import as_detector
from .detections import Detector
from .detector_adapters import yunet
from .dpm_cnn_detector import DpmCnnDetector
from .face_detector import FaceDetector
from .mtcnn_detector import MtcnnDetector
from .onnx_model import open_session, session_metadata

DETECTORS: dict[str, Callable[..., Detector]] = {
    mtcnn_model.KIND: MtcnnDetector,
    dpm_cnn_detector.KIND: DpmCnnDetector,
}
"""Detectors by the kind in their file; packaged files have none."""


def detector_of_file(
    path: str | PathLike[str], min_face: float | str | None = None
) -> Detector:
    """Open an .onnx file of any Lineament detector, or of OpenCV's YuNet.

    Args:
        path: The file.
        min_face: Smallest face to detect, see `FaceDetector`; not supported by YuNet.

    Raises:
        InputError: If `min_face` is not a size.
        ModelError: If the file is neither, or it is YuNet's and `min_face` is set.
    """
    try:
        return FaceDetector(path, min_face=min_face)
    except ModelError:
        kind = session_metadata(open_session(Path(path), 1)).get("kind")
        if kind in DETECTORS:
            return DETECTORS[kind](path, min_face=min_face)
        if min_face is None:
            return yunet(path)
        raise


def plugin_detector(name: str) -> Detector | None:
    """Make the detector that an installed package registers as `name`; None if there is none.

    Raises:
        ExtraError: If its entry point fails.
        ModelError: If it is not callable.
    """
    detector = entry_points.make_plugin(entry_points.DETECTORS, name)
    return None if detector is None else as_detector(detector)
