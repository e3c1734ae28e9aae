"""ONNX file -> the callable that Predictor takes: crops -> CropLandmarks. No torch.

Files are read with ONNX Runtime alone; nothing is unpickled. What a file predicts is written in its own metadata.
"""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, ShapeError, did_you_mean
from ..estimator import CropLandmarks
from ..schemes import check_scheme

METADATA_KEY = "lineament"
DETECTOR = "detector"
"""What the face detector of the package is called; no landmark model is."""
CHUNK = 64  # crops a call: more would only take memory


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_session(path: Path, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU.    threads: 0 leaves the number to ONNX Runtime.

    Raises: ModelError where the file is missing or no ONNX model.
    """
    import onnxruntime

    if not path.is_file():
        raise ModelError(f"no model file at {path}; wanted an ONNX file: see `lineament models`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ModelError(
            f"{path}: not an ONNX model that can be run ({reason}); export it again"
        ) from error


def read_metadata(session: Any, path: Path, kind: str) -> dict[str, Any]:
    """What the file at `path` says of itself.    Raises: ModelError where it is of another `kind` or foreign."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path}: an ONNX model, but not one that `lineament export` wrote; export it with lineament"
        )
    metadata: dict[str, Any] = json.loads(text)
    if metadata.get("kind") != kind:
        raise ModelError(f"{path}: a {metadata.get('kind')} model; wanted a {kind} model")
    return metadata


class Model:
    """A landmark model. One object may be used from many threads.

    threads: of ONNX Runtime; 0 leaves it the choice.    workers: so many shares of a call's crops are seen side by
    side, each with `threads`; 0: one for each core. Small networks gain more from workers than from threads.
    """

    def __init__(self, path: Path, threads: int = 0, workers: int = 1) -> None:
        """Raises: ModelError where the file is missing, foreign or of another kind."""
        self.path = path
        self.workers = workers or usable_cores()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0
        self.session = open_session(path, threads)
        metadata = read_metadata(self.session, path, "landmarks")
        self.name: str = metadata["name"]
        self.scheme: str = check_scheme(metadata["scheme"])
        self.size: int = metadata["size"]
        """Side of the crop in pixels."""
        self.padding: float = metadata["padding"]
        """Side of the crop in longer sides of the landmark box."""
        self.points: int = metadata["points"]
        self.memory: tuple[int, ...] | None = (
            tuple(metadata["memory"]) if "memory" in metadata else None
        )
        """(2, W, L): what it remembers of a face from frame to frame; None: nothing."""

    @property
    def card(self) -> dict[str, Any]:
        """What is known of the file: data, licences, figures, limits; empty where no card lies beside it."""
        return read_card(self.path)

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None
    ) -> CropLandmarks:
        """CropLandmarks of uint8 RGB `crops` (F, S, S, 3).

        memory: (F, 2, W, L), what the model gave for the frame before of each face's video; None: these are the first.
        Raises: ShapeError where a shape or type differs, or the model remembers nothing.
        """
        wanted = (self.size, self.size, 3)
        if crops.ndim != 4 or crops.shape[1:] != wanted or crops.dtype != np.uint8:
            raise ShapeError(
                f"crops are {crops.dtype} {crops.shape}; wanted uint8 (F, {', '.join(map(str, wanted))})"
            )
        inputs: dict[str, NDArray[Any]] = {"crops": crops}
        if self.memory is not None:
            inputs["memory"] = (
                np.zeros((len(crops), *self.memory), np.float32) if memory is None else memory
            )
        elif memory is not None:
            raise ShapeError(
                f"a memory is given, and the model {self.name!r} keeps none; leave it out"
            )
        if self.memory is not None and inputs["memory"].shape != (len(crops), *self.memory):
            raise ShapeError(
                f"memory is {inputs['memory'].shape}; wanted {(len(crops), *self.memory)}"
            )
        if not len(crops):
            empty = np.zeros((0, self.points), np.float32)
            return CropLandmarks(
                np.zeros((0, self.points, 2), np.float32), empty, empty, inputs.get("memory")
            )
        count = max(min(self.workers, len(crops)), math.ceil(len(crops) / CHUNK))
        shares = zip(*(np.array_split(part, count) for part in inputs.values()), strict=True)
        calls = [dict(zip(inputs, share, strict=True)) for share in shares]
        run = partial(self.session.run, None)
        rest = (self._helpers().map if self.workers > 1 else map)(
            run, calls[1:]
        )  # helpers begin at once
        parts = [run(calls[0]), *rest]
        return CropLandmarks(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    __call__ = predict

    def _helpers(self) -> ThreadPoolExecutor:
        """The threads for all shares but one; they stay from call to call."""
        if (
            self._pool is None or self._process != os.getpid()
        ):  # a fork has the threads of its parent no longer
            self._pool, self._process = (
                ThreadPoolExecutor(self.workers - 1, "landmarks"),
                os.getpid(),
            )
        return self._pool


def read_card(path: Path) -> dict[str, Any]:
    """The card beside the model file at `path`; empty where there is none.

    Raises: ModelError where it is not JSON.
    """
    card = path.with_suffix(".json")
    if not card.is_file():
        return {}
    try:
        return dict(json.loads(card.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{card}: not a card ({error}); wanted the JSON file written with the model"
        ) from error


def weights_folder() -> Path:
    """Where the models that come with the package lie."""
    return Path(str(files("lineament").joinpath("weights")))


def list_models() -> list[dict[str, Any]]:
    """The cards of the models that come with the package, by name."""
    return [read_card(path) for path in sorted(weights_folder().glob("*.onnx"))]


def find_model(name: str) -> Path:
    """The file of a model that comes with the package, or of a path.    Raises: ModelError for neither."""
    path = Path(name)
    if path.suffix == ".onnx":
        return path
    known = sorted(p.stem for p in weights_folder().glob("*.onnx"))
    if name == DETECTOR and name in known:
        return weights_folder() / f"{name}.onnx"
    known = [other for other in known if other != DETECTOR]
    if name not in known:
        raise ModelError(
            f"no model is called {name!r}; {did_you_mean(name, known)}, or give the path of an .onnx file"
        )
    return weights_folder() / f"{name}.onnx"


@cache
def _shared(path: Path, threads: int, workers: int) -> Model:
    return Model(path, threads, workers)


def load_model(name: str | Path, threads: int = 0, workers: int = 1) -> Model:
    """The landmark model called `name`, or in the file `name`; the same object for the same file, threads and workers.

    Raises: ModelError where there is none.
    """
    if str(name) == DETECTOR:
        raise ModelError(
            f"{DETECTOR!r} is the face detector and finds no landmarks; choose accurate or fast"
        )
    return _shared(find_model(str(name)).resolve(), threads, workers)
