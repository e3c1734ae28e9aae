"""Landmark models in ONNX files, run by ONNX Runtime: no code is unpickled.

The metadata of a file contains its scheme, crop and kind.
"""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, ShapeError
from ..estimator import CropLandmarks, ValidationLimits, check_crops, check_no_memory
from ..schemes import load_stored_scheme
from .device import CPU, DEVICES, check_device, check_provider, execution_providers
from .int8_sums import EXACT_INT8, int8_sums_overflow
from .model_files import (
    missing_data_remedy,
    path_here,
    portable_path,
    read_card,
    weights_folder,
)
from .processors import container_limit, usable_cores
from .runtime import load_runtime

METADATA_KEY = "lineament"
DETECTOR_OUTPUTS = (
    ["scores", "boxes", "directions"],
    ["scores", "boxes", "landmarks"],
)
"""Output names of face detectors, whose files have no metadata."""
FIELDS = {
    "landmarks_crop": "landmarks_crop",
    "scores": "scores",
    "sigma_px": "sigma_px",
    "presence": "presence",
    "visible": "visible",
    "attributes": "attributes",
    "memory_after": "memory",
}
"""Field of CropLandmarks by output name; a file may lack the last four outputs."""
CHUNK = 64  # crops per call of the runtime: more would only need memory


class OnnxSession:
    """An ONNX Runtime session. Thread-safe.

    It is pickled as path, number of threads and device; unpickling opens the file again.

    Args:
        path: The .onnx file.
        threads: Number of threads; 0: ONNX Runtime's default.
        device: A key of DEVICES, or "auto".

    Raises:
        ModelError: If the file is missing or not an ONNX model, or the device is not available.
    """

    def __init__(self, path: Path, threads: int = 0, device: str = CPU) -> None:
        self.path, self.threads = path, threads
        self.device = check_device(device)
        self._portable = portable_path(
            path
        )  # resolved now, as the current directory may change
        self._session = _runtime_session(path, threads, self.device)
        self._lock = _lock_of(self.device)
        self._process = os.getpid()

    def run(
        self, outputs: list[str] | None, inputs: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Run the model on `inputs`, given by name; return the named outputs, or all for None."""
        # a fork lacks the threads of its parent, and would wait for them forever
        if self.threads != 1 and self._process != os.getpid():
            _inherited.append(self._session)
            self._session = _runtime_session(self.path, self.threads, self.device)
            self._process = os.getpid()
        with self._lock:
            return list(self._session.run(outputs, inputs))

    def get_inputs(self) -> list[Any]:
        """Return the inputs of the file, in order."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> list[Any]:
        """Return the outputs of the file, in order."""
        return list(self._session.get_outputs())

    def get_modelmeta(self) -> Any:
        """Return ONNX Runtime's metadata of the file."""
        return self._session.get_modelmeta()

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared_session, (self._portable, self.threads, self.device)


_inherited: list[Any] = []
"""Sessions of the parent process, which must not be closed after a fork."""


@lru_cache(maxsize=16)
def _shared_session(path: str, threads: int, device: str = CPU) -> OnnxSession:
    """Return the session for a pickle; copies in one process share it."""
    return OnnxSession(path_here(path), threads, device)


def _lock_of(device: str) -> AbstractContextManager[Any]:
    """Return the context that calls of a session on a device must hold."""
    return Lock() if DEVICES[device].one_at_a_time else nullcontext()


def _runtime_session(path: Path, threads: int, device: str) -> Any:
    onnxruntime = load_runtime()
    if not path.is_file():
        raise ModelError(
            f"no model file at {path}; expected an ONNX file: see `lineament models`"
        )
    if not path.stat().st_size:
        raise ModelError(f"{path}: an empty file, not a model; {_remedy(path)}")
    options = onnxruntime.SessionOptions()
    # ONNX Runtime's default does not take into account the limit of a container
    limited = not threads and container_limit() is not None
    options.intra_op_num_threads = usable_cores() if limited else threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if int8_sums_overflow():
        options.add_session_config_entry(*EXACT_INT8)
    # some providers do not support memory patterns
    options.enable_mem_pattern = not DEVICES[device].one_at_a_time
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=execution_providers(device)
        )
    except Exception as error:
        reason = (
            str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        )
        raise ModelError(
            f"{path}: not an ONNX model that can be run ({reason}); {_remedy(path)}"
        ) from error
    check_provider(device, session.get_providers())
    return session


def _remedy(path: Path) -> str:
    is_packaged = path.absolute().parent == weights_folder()
    return missing_data_remedy() if is_packaged else "export it again"


def open_session(path: Path, threads: int = 0, device: str = CPU) -> OnnxSession:
    """Open an ONNX Runtime session; see `OnnxSession`."""
    return OnnxSession(path, threads, device)


def read_metadata(session: Any, path: Path, kind: str) -> dict[str, Any]:
    """Return the metadata of the file at `path`.

    Raises:
        ModelError: If it was not written by lineament, or is of another `kind`.
    """
    if [output.name for output in session.get_outputs()] in DETECTOR_OUTPUTS:
        raise ModelError(
            f"{path}: a face detector, not a landmark model; give it to FaceDetector "
            "or --detector, and choose a landmark model here"
        )
    metadata = session_metadata(session)
    if not metadata:
        raise ModelError(
            f"{path}: an ONNX model, but not one that `lineament export` wrote; export it with "
            f"lineament, or describe it in {path.stem}.toml next to it: see docs/foreign-models.md"
        )
    if metadata.get("kind") != kind:
        raise ModelError(
            f"{path}: a {metadata.get('kind')} model; expected a {kind} model"
        )
    return metadata


def session_metadata(session: Any) -> dict[str, Any]:
    """Return the metadata of an open file; empty if lineament did not write it."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return {} if text is None else dict(json.loads(text))


class Model:
    """A landmark model in an ONNX file. Thread-safe; can be pickled and copied."""

    def __init__(
        self, path: Path, threads: int = 0, workers: int = 1, session: Any = None
    ) -> None:
        """Open the file at `path`.

        Args:
            threads: Threads of ONNX Runtime; 0: its default.
            workers: Parts of a call's crops that run in parallel, each with `threads`; 0: one
                per core. Small networks benefit more from workers than from threads.
            session: Open session of the file, if there is one.

        Raises:
            ModelError: If the file is missing, not written by lineament or of another kind.
        """
        self.workers = workers or usable_cores()
        self.chunk = CHUNK
        """Crops per call of the runtime; its memory grows with it."""
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0
        self.session: OnnxSession = session or open_session(path, threads)
        # files of later versions may have unknown outputs
        names = [output.name for output in self.session.get_outputs()]
        self.outputs = [name for name in names if name in FIELDS]
        metadata = read_metadata(self.session, path, "landmarks")
        self.name: str = metadata["name"]
        self.scheme: str = load_stored_scheme(metadata)
        self.size: int = metadata["size"]
        """Side of the crop in pixels."""
        self.padding: float = metadata["padding"]
        """Side of the crop as a multiple of the longer side of the landmark box."""
        self.points: int = metadata["points"]
        self.memory: tuple[int, ...] | None = (
            tuple(metadata["memory"]) if "memory" in metadata else None
        )
        """(2, W, L): shape of a face's recurrent state; None: the model is not
        recurrent."""
        self.attributes: list[str] = metadata.get("attributes", [])
        """Attributes whose probability the model predicts."""
        self.never_learned: tuple[int, ...] = tuple(metadata.get("never_learned", ()))
        """Indices of the points that were not annotated in the training data."""
        self.validation_limits = ValidationLimits.read(metadata)
        """When a crop counts as wrong; the defaults if the file does not state it."""
        self.predicts_presence = "presence" in self.outputs
        """True if the model predicts the presence of a face."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.session.path

    @property
    def card(self) -> dict[str, Any]:
        """The card next to the file: data, licenses, figures; empty without one."""
        return read_card(self.path)

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None
    ) -> CropLandmarks:
        """Predict uint8 RGB crops (F, S, S, 3).

        Args:
            memory: (F, 2, W, L), returned by the model for the previous frame of each face;
                None: these are the first frames.

        Raises:
            ShapeError: If a shape or type differs, or the model is not recurrent.
        """
        check_crops(crops, self.size)
        inputs: dict[str, NDArray[Any]] = {"crops": crops}
        if self.memory is None:
            check_no_memory(memory, self.name)
        else:
            shape = (len(crops), *self.memory)
            if memory is None:
                memory = np.zeros(shape, np.float32)
            if memory.shape != shape:
                raise ShapeError(f"memory is {memory.shape}; expected {shape}")
            inputs["memory"] = memory
        if not len(crops):
            return self._no_landmarks(inputs.get("memory"))
        count = max(min(self.workers, len(crops)), math.ceil(len(crops) / self.chunk))
        shares = zip(
            *(np.array_split(part, count) for part in inputs.values()), strict=True
        )
        calls = [dict(zip(inputs, share, strict=True)) for share in shares]
        run = partial(self.session.run, self.outputs)
        # submitted first, so that helpers run in parallel with this thread
        rest = (self._helpers().map if self.workers > 1 else map)(run, calls[1:])
        parts = [run(calls[0]), *rest]
        fields: dict[str, Any] = {}
        for output, arrays in zip(self.outputs, zip(*parts, strict=True), strict=True):
            fields[FIELDS[output]] = np.concatenate(arrays)
        if "attributes" in fields:
            columns = fields["attributes"].T
            fields["attributes"] = dict(zip(self.attributes, columns, strict=True))
        return CropLandmarks(**fields)

    __call__ = predict

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None}  # threads cannot be pickled

    def _no_landmarks(self, memory: NDArray[np.float32] | None) -> CropLandmarks:
        """Return the outputs for an empty batch."""
        of_points = np.zeros((0, self.points), np.float32)
        return CropLandmarks(
            np.zeros((0, self.points, 2), np.float32),
            of_points,
            of_points,
            memory,
            np.zeros(0, np.float32) if self.predicts_presence else None,
            of_points if "visible" in self.outputs else None,
            dict.fromkeys(self.attributes, np.zeros(0, np.float32)),
        )

    def _helpers(self) -> ThreadPoolExecutor:
        """Return the thread pool for all parts except one; it is kept between calls."""
        # a fork lacks the threads of its parent
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.workers - 1, "landmarks")
            self._process = os.getpid()
        return self._pool
