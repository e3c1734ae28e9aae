"""The web page: static files that find faces in the browser, and their models.

Nothing leaves the browser, which the page's Content-Security-Policy enforces.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.draw import part_colors
from ..atomic import write_bytes
from ..errors import InputError, ModelError
from ..export.web import write_web
from ..geometry import Array
from ..inference.box_shape import BoxShape, learned_points
from ..inference.detector_file import DetectorFile, mean_five
from ..inference.model_files import DETECTOR, find_model
from ..inference.onnx_model import Model, session_metadata
from ..schemes import scheme, scheme_entries
from .runtime import FILES, PACKAGE, VERSION, find_runtime

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self' blob:; form-action 'none'; base-uri 'none'"
)
"""Content-Security-Policy of the page, also stated in its HTML: no other hosts."""
MODULE, LOADER, WASM = (name.replace(".mjs", ".js") for name in FILES)
"""File names of the runtime in the page: some hosts serve .mjs with a wrong MIME type."""
DEFAULT_MODELS = ("fast",)


@dataclass(frozen=True)
class WrittenPage:
    """Summary of a written page."""

    folder: Path
    size: int
    """Total size of all files, bytes."""
    converted: bool
    """True if models were converted for browsers, which requires the onnx package."""


def write_page(
    out: Path,
    models: Sequence[str] = DEFAULT_MODELS,
    detector: str = DETECTOR,
    runtime: Path | None = None,
) -> WrittenPage:
    """Write the page and the module lineament.js into the folder `out`.

    int8 models are converted for browsers if onnx is installed, and otherwise copied.

    Args:
        models: Names of packaged landmark models, or .onnx files; the first one is the page's
            default.
        detector: The packaged detector, or an .onnx file.
        runtime: Folder of the npm package onnxruntime-web; None: downloaded once with npm.

    Raises:
        InputError: If the runtime is missing or another version, or model names are not unique.
        ModelError: If a model is missing or cannot run in a browser.
    """
    source = find_runtime(runtime)
    opened = [open_model(name) for name in models]
    names = [model.name for model in opened]
    if len(set(names)) < len(names):
        raise InputError(
            f"two models have the same name: {', '.join(names)}; give models with "
            "different names"
        )
    opened_detector = open_detector(find_model(detector))
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(STATIC.iterdir()):
        text = path.read_text(encoding="utf-8").replace("{{policy}}", POLICY)
        write_bytes(out / path.name, text.encode())
    for name, target in zip(FILES, (MODULE, LOADER, WASM), strict=True):
        write_bytes(out / target, (source / name).read_bytes())
    entries = {}
    for model in opened:
        precision = str(session_metadata(model.session).get("precision"))
        written = place_model(model.path, out / f"{model.name}.onnx", precision)
        entries[model.name] = model_entry(model) | written
    detector_path = out / f"{DETECTOR}.onnx"
    precision = str(opened_detector.card.get("precision"))
    detector_json = detector_entry(opened_detector) | place_model(
        opened_detector.session.path, detector_path, precision
    )
    described = {
        "runtime": runtime_entry(out),
        "detector": detector_json,
        "models": entries,
    }
    text = json.dumps(described, allow_nan=False)
    write_bytes(out / "models.json", text.encode())
    size = sum(path.stat().st_size for path in out.iterdir())
    return WrittenPage(out, size, has_onnx())


def has_onnx() -> bool:
    """Return True if models can be converted for browsers."""
    return find_spec("onnx") is not None


def open_model(name: str) -> Model:
    """Open a landmark model that can run in a browser.

    Raises:
        ModelError: If it is missing, broken, recurrent, or not an ONNX network.
    """
    path = find_model(name)
    if path.suffix != ".onnx":
        raise ModelError(f"{path}: not an ONNX file; a page runs only ONNX models")
    model = Model(path, 1)
    if model.memory is not None:
        raise ModelError(
            f"{path}: a recurrent model, which a page cannot run; choose another"
        )
    return model


def open_detector(path: Path) -> DetectorFile:
    """Open a face detector that can run in a browser.

    Raises:
        ModelError: If it is missing, broken, or does not predict five points.
    """
    found = DetectorFile(path, 1)
    if found.kind.scheme is None:
        raise ModelError(
            f"{path}: a detector without five points, which a page cannot run; train "
            "one with this version"
        )
    return found


def place_model(source: Path, target: Path, precision: str) -> dict[str, Any]:
    """Write a model into the page, converted for browsers if possible; return its file entry."""
    if precision == "int8" and has_onnx():
        write_web(source, target)
    else:
        write_bytes(target, source.read_bytes())
    return {"file": target.name, "bytes": target.stat().st_size}


def model_entry(model: Model) -> dict[str, Any]:
    """Return the properties of a landmark model that lineament.js needs."""
    landmark_scheme = scheme(model.scheme)
    shape = BoxShape(model.scheme, model.never_learned)
    learned = learned_points(len(landmark_scheme), model.never_learned)
    colors = []
    for red, green, blue in part_colors(landmark_scheme):
        colors.append(f"rgb({red} {green} {blue})")
    return {
        "name": model.name,
        "scheme_entries": scheme_entries(model.scheme),
        "points": model.points,
        "size": model.size,
        "padding": model.padding,
        "attributes": model.attributes,
        "predicts_presence": model.predicts_presence,
        "never_learned": np.flatnonzero(~learned).tolist(),
        "mean_shape": _rows(shape.mean),
        "own": _rows(shape.own),
        **model.validation_limits.as_dict(),
        "contours": [list(contour) for contour in landmark_scheme.contours],
        "colors": colors,
        "license": model.card.get("license", ""),
        "limits": model.card.get("limits", ""),
    }


def _rows(points: Array | None) -> list[list[float] | None] | None:
    """Return points as JSON values, None for points that are nan."""
    if points is None:
        return None
    return [row.tolist() if np.isfinite(row).all() else None for row in points]


def detector_entry(found: DetectorFile) -> dict[str, Any]:
    """Return the properties of a face detector that lineament.js needs."""
    five = mean_five()
    return {
        "threshold": found.threshold,
        "proposal_threshold": found.proposal_threshold,
        "support": found.support,
        "coarse_sides": list(found.coarse_sides),
        "largest_px": found.largest_px,
        "largest_side": found.kind.largest_side,
        "mean_five": np.column_stack([five.real, five.imag]).tolist(),
    }


def runtime_entry(out: Path) -> dict[str, Any]:
    """Return the file names of the runtime."""
    return {
        "name": f"{PACKAGE} {VERSION}",
        "module": MODULE,
        "loader": LOADER,
        "file": WASM,
        "bytes": (out / WASM).stat().st_size,
    }
