"""Third-party landmark models in ONNX files, each described by a TOML file.

Depends on ONNX Runtime.
"""

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ..errors import ModelError, SchemeError, did_you_mean
from ..estimator import CropLandmarks, ValidationLimits, check_crops, check_no_memory
from ..schemes import check_scheme, scheme
from .device import CPU
from .onnx_model import CHUNK, OnnxSession, open_session

SUFFIX = ".toml"
NEAR = 0.05
"""Error threshold of a score, in units of the face box side."""
MEAN_OF_RAYLEIGH = float(np.sqrt(np.pi / 2))
"""Mean error of a point whose coordinates have a standard deviation of 1."""
TYPES: dict[str, type[Any]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""NumPy types of inputs by their ONNX Runtime name."""
PerChannel = float | tuple[float, float, float]


class ForeignSettings(BaseModel):
    """Settings of a third-party model: its crops, landmarks and outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(
        "", description="the .onnx file next to this file; empty: same name"
    )
    scheme: str = Field(
        description="scheme of the landmarks: a name, or the path of a .toml file"
    )
    size: int = Field(gt=0, description="side of the crop, pixels")
    padding: float = Field(
        gt=0,
        description="side of the crop as a multiple of the longer side of the face's tight box",
    )
    layout: Literal["nchw", "nhwc"] = Field("nchw", description="order of the axes")
    color: Literal["rgb", "bgr", "gray"] = Field(
        "rgb", description="order of the channels"
    )
    mean: PerChannel = Field(
        0.0,
        description="mean subtracted from values of 0 to 255: one number, or one per channel",
    )
    std: PerChannel = Field(
        255.0, description="divisor applied after that: one number, or one per channel"
    )
    unit: Literal["fraction", "centered", "pixels"] = Field(
        "fraction",
        description="coordinates of the outputs: fraction, 0 to 1 from edge to edge of the crop; "
        "centered, -1 to 1; pixels of the crop, with the center of the first pixel at 0",
    )
    output: str = Field(
        "",
        description="name of the output; empty: the output with two numbers per landmark",
    )
    order: Literal["xyxy", "xxyy"] = Field(
        "xyxy",
        description="order of coordinates: x and y alternating, or all x before all y",
    )
    error: float = Field(
        0.03,
        gt=0,
        description="expected error of a landmark, as a fraction of the box side; scores and "
        "sigma_px are computed from it, since the model predicts none",
    )

    @field_validator("mean", "std")
    @classmethod
    def _check_numbers(cls, value: PerChannel, info: ValidationInfo) -> PerChannel:
        """Return finite numbers; a std is at least 1, unlike one for values from 0 to 1."""
        numbers = np.atleast_1d(value)
        if not np.isfinite(numbers).all():
            raise ValueError("expected finite numbers")
        if info.field_name == "std" and numbers.min() < 1:
            raise ValueError(
                "expected at least 1, because pixels are from 0 to 255; multiply a mean and "
                "std of pixels from 0 to 1 by 255"
            )
        return value


OTHER_FILES = (({"points"}, "a scheme"), ({"data"}, "a recipe"))
"""Keys of other TOML files, and what these files are."""


def read_settings(path: Path) -> ForeignSettings:
    """Read the description of a third-party model.

    Raises:
        ModelError: If the file cannot be read, or a key is unknown, absent or invalid.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        for keys, kind in OTHER_FILES:
            if keys <= table.keys():
                raise ModelError(
                    f"{path}: {kind}, not the description of a third-party model; give "
                    "the .onnx or .safetensors file of a model"
                )
        return ForeignSettings.model_validate(table)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(
            f"{path}: cannot be read as the description of a model ({error}); expected "
            "a TOML file with scheme, size and padding"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(key, ForeignSettings.model_fields)
            raise ModelError(f"{path}: unknown key {key!r}; {hint}") from error
        reason = first["msg"].removeprefix("Value error, ")
        if key in ("mean", "std") and first["type"] != "value_error":
            reason = "expected one number, or one per channel"
        raise ModelError(f"{path}: {key}: {reason}; correct that key") from error


def model_file_content(path: Path) -> bytes:
    """Return the content of a model file, followed by that of the .onnx file that it describes.

    Raises:
        ModelError: If it is not a description, or a file cannot be read.
    """
    try:
        content = path.read_bytes()
        return (
            content
            if path.suffix != SUFFIX
            else content + described_onnx_file(path).read_bytes()
        )
    except OSError as error:
        raise ModelError(
            f"{path}: this file, or the one it describes, cannot be read ({error}); "
            "check both"
        ) from error


def described_onnx_file(path: Path) -> Path:
    """Return the .onnx file that the .toml file at `path` describes."""
    return path.parent / (read_settings(path).file or f"{path.stem}.onnx")


class ForeignModel:
    """A landmark model in an ONNX file not written by Lineament. Thread-safe."""

    def __init__(self, path: Path, threads: int = 0, device: str = CPU) -> None:
        """Open the model that the .toml file at `path` describes.

        Args:
            threads: Threads of ONNX Runtime; 0: its default.
            device: Device of ONNX Runtime.

        Raises:
            ModelError: If a file is missing or broken, or the network does not match its
                description.
        """
        self.path, self.settings = path, read_settings(path)
        settings = self.settings
        self.name, self.size, self.padding = path.stem, settings.size, settings.padding
        near = path.parent / settings.scheme
        try:
            self.scheme = check_scheme(str(near) if near.is_file() else settings.scheme)
        except SchemeError as error:
            raise ModelError(f"{path}: {error}") from error
        self.points = len(scheme(self.scheme))
        file = described_onnx_file(path)
        self.session: OnnxSession = open_session(file, threads, device)
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in TYPES:
            listed = ", ".join(f"{each.name} {each.type}" for each in inputs)
            raise ModelError(
                f"{file}: its inputs are {listed}; "
                f"expected one input of crops, of type {', '.join(TYPES)}"
            )
        self._input, self._type = inputs[0].name, TYPES[inputs[0].type]
        # most third-party files have a fixed batch size of 1
        self._batch = inputs[0].shape[0] if isinstance(inputs[0].shape[0], int) else 0
        self._output = self._find_output(file)
        # no face has a lower score than others, so none is re-cropped or dropped by it
        self.validation_limits = ValidationLimits(math.floor(1e4 * self._score()) / 1e4)

    def _find_output(self, file: Path) -> str:
        """Return the name of the landmark output, determined by running a black crop."""
        names = [each.name for each in self.session.get_outputs()]
        crop = np.zeros((1, self.size, self.size, 3), np.uint8)
        count = self._batch or 1
        try:
            crops = self._prepared(np.repeat(crop, count, 0))
            outputs = self.session.run(names, {self._input: crops})
        except Exception as error:
            reason = str(error).splitlines()[0][:160]
            expected = self.session.get_inputs()[0].shape
            raise ModelError(
                f"{file}: does not run on crops of {self.size} pixels, {self.settings.layout}, "
                f"{self.settings.color}: its input is {expected} ({reason}); correct {self.path}"
            ) from error
        numbers = {}
        for name, array in zip(names, outputs, strict=True):
            numbers[name] = array.size // count
        fitting = [name for name in names if numbers[name] == 2 * self.points]
        chosen = self.settings.output
        if chosen:
            fitting = [name for name in fitting if name == chosen]
        if len(fitting) != 1:
            listed = ", ".join(f"{name} of {count}" for name, count in numbers.items())
            raise ModelError(
                f"{file}: its outputs have these numbers per crop: {listed}; expected "
                f"one output of {2 * self.points}, two per landmark of {self.scheme}: "
                f"correct scheme or output in {self.path}"
            )
        return str(fitting[0])

    def _prepared(self, crops: NDArray[np.uint8]) -> NDArray[Any]:
        """Convert RGB crops (F, S, S, 3) to the network's input."""
        settings = self.settings
        values = crops.astype(np.float32)
        if settings.color == "bgr":
            values = values[..., ::-1]
        elif settings.color == "gray":
            weights = np.array([0.299, 0.587, 0.114], np.float32)
            values = (values @ weights)[..., None]
        if self._type is not np.uint8:
            mean = np.asarray(settings.mean, np.float32)
            std = np.asarray(settings.std, np.float32)
            values = ((values - mean) / std).astype(np.float32)
        else:
            values = np.rint(values)  # grays are fractional, and a cast truncates
        if settings.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values.astype(self._type))

    def predict(
        self, crops: NDArray[np.uint8], memory: NDArray[np.float32] | None = None
    ) -> CropLandmarks:
        """Predict uint8 RGB crops (F, S, S, 3).

        Raises:
            ShapeError: If a shape or type differs, or a memory is passed.
        """
        check_crops(crops, self.size)
        check_no_memory(memory, self.name)
        step = self._batch or CHUNK
        parts = [np.zeros((0, 2 * self.points), np.float32)]
        for start in range(0, len(crops), step):
            part = crops[start : start + step]
            # pad to the fixed batch size
            missing = self._batch - len(part)
            if missing > 0:
                part = np.concatenate(
                    [part, np.zeros((missing, *part.shape[1:]), np.uint8)]
                )
            outputs = self.session.run(
                [self._output], {self._input: self._prepared(part)}
            )
            parts.append(outputs[0].reshape(len(part), -1))
        return self._read(np.concatenate(parts)[: len(crops)])

    __call__ = predict

    def _score(self) -> float:
        """Return the score of all landmarks."""
        deviation = self.settings.error / MEAN_OF_RAYLEIGH
        return 1 - math.exp(-(NEAR**2) / (2 * deviation**2))

    def _read(self, outputs: NDArray[Any]) -> CropLandmarks:
        """Decode outputs (F, 2 N) to landmarks."""
        landmarks: NDArray[np.float32]
        values = outputs.astype(np.float32)
        if self.settings.order == "xyxy":
            landmarks = values.reshape(-1, self.points, 2)
        else:
            landmarks = values.reshape(-1, 2, self.points).transpose(0, 2, 1)
        if self.settings.unit == "centered":
            landmarks = ((landmarks + 1) / 2).astype(np.float32)
        if self.settings.unit != "pixels":
            landmarks = (landmarks * self.size - 0.5).astype(np.float32)
        shape = landmarks.shape[:2]
        sigma_px = self.settings.error * self.size / self.padding
        return CropLandmarks(
            landmarks,
            np.full(shape, self._score(), np.float32),
            np.full(shape, sigma_px, np.float32),
        )
