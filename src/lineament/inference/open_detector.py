"""Face detectors by file, whatever their kind."""

from os import PathLike
from pathlib import Path

from ..errors import ModelError
from .detections import Detector
from .detector_adapters import yunet
from .face_detector import FaceDetector
from .mtcnn_detector import MtcnnDetector
from .mtcnn_model import is_mtcnn


def detector_of_file(
    path: str | PathLike[str], min_face: float | str | None = None
) -> Detector:
    """Open an .onnx file of a Lineament detector, MTCNN's too, or else OpenCV's YuNet.

    Args:
        path: The file.
        min_face: Smallest face wanted, see `FaceDetector`; YuNet takes none.

    Raises:
        InputError: If `min_face` is not a size.
        ModelError: If the file is neither, or YuNet's with `min_face`.
    """
    try:
        return FaceDetector(path, min_face=min_face)
    except ModelError:
        if is_mtcnn(Path(path)):
            return MtcnnDetector(path, min_face=min_face)
        if min_face is None:
            return yunet(path)
        raise
