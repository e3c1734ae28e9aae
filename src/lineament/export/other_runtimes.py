"""Compare the landmarks of an exported file in other runtimes with ONNX Runtime.

Depends on torch and the selected runtime.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.crop_cache import CropCache, plain_crops, plain_landmarks
from ..data.mixture import read_mixture
from ..errors import (
    ExportError,
    InputError,
    LineamentError,
    did_you_mean,
    missing_extra,
)
from ..geometry import Array
from ..inference.onnx_model import Model
from ..opencv import cv2
from ..recipe import Recipe
from ..training.validate import interocular_nme
from .gate import choose_gate_faces

OUTPUT = "landmarks_crop"
INPUT = "crops"
BATCH = 32
Runner = Callable[[NDArray[np.uint8]], NDArray[np.floating]]
"""Crops (F, S, S, 3) -> landmarks (F, N, 2), pixels of the crop."""
Opener = Callable[[Path], tuple[str, Runner]]
"""File -> name and version of the runtime, and a function that runs the file in it."""


@dataclass(frozen=True)
class LandmarkDifferences:
    """Distances between the landmarks of two runtimes, pixels of the crop, and their errors."""

    runtime: str
    """Name and version of the other runtime."""
    faces: int
    median_px: float
    p99_px: float
    largest_px: float
    nme: float
    """NME with ONNX Runtime, a fraction of the interocular distance."""
    nme_other: float
    """NME with the other runtime."""

    def sentence(self) -> str:
        """Return the result in one line."""
        return (
            f"{self.runtime}: on {self.faces} validation faces, landmarks move by "
            f"{self.median_px:.3f} pixels of the crop in the median, {self.p99_px:.3f} at the 99th "
            f"percentile, {self.largest_px:.3f} at most; NME {100 * self.nme:.3f} % in ONNX "
            f"Runtime, {100 * self.nme_other:.3f} % in {self.runtime}"
        )


def run_openvino(path: Path) -> tuple[str, Runner]:
    """Open a file in OpenVINO on the CPU, with its default precision."""
    try:
        import openvino
    except ImportError as error:
        raise missing_extra("openvino", "openvino") from error
    compiled = openvino.Core().compile_model(str(path), "CPU")
    output = compiled.output(OUTPUT)

    def run(crops: NDArray[np.uint8]) -> NDArray[np.floating]:
        return np.asarray(compiled({INPUT: crops})[output])

    return f"openvino {openvino.__version__.split('-')[0]}", run


def run_opencv(path: Path) -> tuple[str, Runner]:
    """Open a file in OpenCV's dnn module."""
    net = cv2.dnn.readNetFromONNX(str(path))

    def run(crops: NDArray[np.uint8]) -> NDArray[np.floating]:
        landmarks = []
        for crop in crops:
            # one by one, because the first call fixes the shapes
            net.setInput(np.ascontiguousarray(crop[None]), INPUT)
            landmarks.append(net.forward([OUTPUT])[0])
        return np.concatenate(landmarks)

    return f"opencv {cv2.__version__}", run


RUNTIMES: dict[str, Opener] = {
    "openvino": run_openvino,
    "opencv": run_opencv,
}
"""Openers by the name of the runtime."""


def check_runtime(name: str) -> str:
    """Return the name of a runtime.

    Raises:
        InputError: If it is unknown.
    """
    if name not in RUNTIMES:
        raise InputError(f"unknown runtime {name!r}; {did_you_mean(name, RUNTIMES)}")
    return name


def compare_runtime(
    path: Path, name: str, recipe: Recipe, data_root: Path, cache: Path
) -> LandmarkDifferences:
    """Compare an exported landmark model in another runtime on the recipe's validation faces.

    Args:
        path: The .onnx file.
        name: A key of RUNTIMES.
        recipe: Recipe of the model.

    Raises:
        ExportError: If the runtime cannot run the file.
        ExtraError: If the runtime is not installed.
    """
    model = Model(path, 1)
    if model.scheme != recipe.scheme:
        # only the points of one of the joined schemes were exported
        recipe = recipe.model_copy(update={"scheme": model.scheme})
    crop = (model.size, model.padding)
    mixture = read_mixture(recipe.data, recipe.scheme, data_root, cache, crop=crop)
    faces = choose_gate_faces(recipe, model.size, *mixture).faces
    return compare_on(path, check_runtime(name), faces, model)


def compare_on(
    path: Path,
    name: str,
    faces: CropCache,
    model: Model,
    opener: Opener | None = None,
) -> LandmarkDifferences:
    """Compare a file in another runtime with `model`, the same file in ONNX Runtime, on faces.

    Args:
        path: The .onnx file.
        name: A key of RUNTIMES, or the name of the runtime that `opener` uses.
        opener: Opens the file; None: the opener in RUNTIMES.

    Raises:
        ExportError: If the runtime cannot run the file.
        ExtraError: If the runtime is not installed.
    """
    opened, run = _guarded(path, name, partial(opener or RUNTIMES[name], path))
    reference, other = [], []
    for crops, _ in plain_crops(faces, model.size, model.padding, BATCH):
        reference.append(model.predict(crops).landmarks_crop)
        other.append(_guarded(path, name, partial(run, crops)))
    truth = plain_landmarks(faces, model.size, model.padding)
    return _moves(opened, reference, other, truth, model.scheme)


def _guarded(path: Path, name: str, call: Callable[[], Any]) -> Any:
    """Return the result of a call into another runtime; convert any error to ExportError."""
    try:
        return call()
    except LineamentError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(f"{name} cannot run {path} ({reason})") from error


def _moves(
    opened: str,
    reference: Sequence[NDArray[np.floating]],
    other: Sequence[NDArray[np.floating]],
    truth: Array,
    scheme: str,
) -> LandmarkDifferences:
    landmarks_onnx, landmarks_other = np.concatenate(reference), np.concatenate(other)
    moves = np.linalg.norm(landmarks_other - landmarks_onnx, axis=-1)
    median, p99 = np.percentile(moves, (50, 99))
    return LandmarkDifferences(
        opened,
        len(landmarks_onnx),
        float(median),
        float(p99),
        float(moves.max()),
        interocular_nme(landmarks_onnx, truth, scheme),
        interocular_nme(landmarks_other, truth, scheme),
    )
