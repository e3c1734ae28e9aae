"""Export a checkpoint for browsers, and compare the file with its int8 source.

Depends on torch, onnx and ONNX Runtime.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..data.detection.photos import read_detector_photos
from ..data.mixture import read_mixture
from ..errors import ExportError
from ..inference.onnx_model import Model, open_session
from ..models.registry import KINDS
from ..training.build import load_any, load_detector, read_trained
from .card import write_model
from .detector import calibration_images, check_moves
from .gate import choose_gate_faces, run_plain
from .registry import export_trained
from .web import export_web_file


def export_web(
    checkpoint: Path,
    out: Path,
    name: str,
    data_root: Path,
    cache: Path,
    scheme_name: str = "",
) -> dict[str, Any]:
    """Write a trained model for browsers as `out`/`name`.onnx, and its card; return the card.

    Raises:
        ExportError: If a gate fails, or models of this kind do not run in browsers; nothing is
            written.
    """
    kind = KINDS[read_trained(checkpoint)[1].kind].file
    if kind not in GATES:
        raise ExportError(
            f"{checkpoint}: a {kind} model, which cannot run in browsers; omit --to web"
        )
    with tempfile.TemporaryDirectory() as folder:
        int8 = Path(folder) / "int8" / f"{name}.onnx"
        web = Path(folder) / "web" / f"{name}.onnx"
        arguments = (data_root, cache, None, scheme_name)
        export_trained(checkpoint, int8.parent, name, True, *arguments)
        card = export_web_file(int8, web.parent, name)
        compared = GATES[kind](checkpoint, int8, web, data_root, cache, scheme_name)
        card["gate"] = compared
        write_model(out, name, web.read_bytes(), card)
    return card


def gate_landmarks(
    checkpoint: Path,
    int8: Path,
    web: Path,
    data_root: Path,
    cache: Path,
    scheme_name: str,
) -> dict[str, float]:
    """Compare two landmark models on the validation crops; return entries for the card.

    Raises:
        ExportError: If the landmarks or the NME change by more than the int8 bounds.
    """
    model, recipe = load_any(checkpoint, scheme_name)
    crop = (model.size, recipe.model.padding)
    mixture = read_mixture(recipe.data, recipe.scheme, data_root, cache, crop=crop)
    faces = choose_gate_faces(recipe, model.size, *mixture)
    landmarks = run_plain(Model(int8, 1), faces.faces).landmarks_crop
    predicted = run_plain(Model(web, 1), faces.faces).landmarks_crop
    gate = faces.compare(predicted, landmarks.astype(np.float64))
    gate.check(int8=True)
    return {
        "median_move_px": round(gate.median_move_px, 4),
        "validation_nme_int8": round(gate.nme_torch, 6),
        "validation_nme_onnx": round(gate.nme_onnx, 6),
    }


def gate_detector(
    checkpoint: Path,
    int8: Path,
    web: Path,
    data_root: Path,
    cache: Path,
    scheme_name: str,
) -> dict[str, float]:
    """Compare two face detectors on training photos; return entries for the card.

    Raises:
        ExportError: If scores or boxes change by more than the int8 bounds.
    """
    recipe = load_detector(checkpoint)[1]
    assert recipe.detector is not None
    photos = read_detector_photos(data_root, recipe.detector.sampling_weights)
    session = open_session(int8, 1)
    return check_moves(
        lambda image: session.run(None, {"image": image}),
        web,
        calibration_images(photos),
    )


GATES: dict[str, Callable[[Path, Path, Path, Path, Path, str], dict[str, float]]] = {
    "landmarks": gate_landmarks,
    "detector": gate_detector,
}
"""Gates by the kind of file in models/registry.py."""
