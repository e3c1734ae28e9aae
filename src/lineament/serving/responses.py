"""Response models for /openapi.json: the JSON of `faces_to_json` and related responses."""

from typing import Any

from pydantic import BaseModel, Field

Point = tuple[float, float]


class ErrorDetail(BaseModel):
    """Reason for an error response."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="Human-readable message, one line.")


class ErrorResponse(BaseModel):
    """Body of every error response."""

    error: ErrorDetail


class HeadPoseResponse(BaseModel):
    """Head pose as `lineament.head_pose` returns it."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    rotation: list[list[float]]
    translation_mm: list[float]
    error: float


class FaceResponse(BaseModel):
    """One face."""

    box: list[float] = Field(description="x0, y0, x1, y1, pixels of the image.")
    score: float = Field(
        description="Score of the detector, 0 to 1; 1 for given boxes."
    )
    landmarks: list[Point] = Field(description="x, y per landmark, pixels.")
    scores: list[float] = Field(description="Confidence per landmark, 0 to 1.")
    sigma_px: list[float | None] = Field(
        description="Expected error per landmark, pixels."
    )
    presence: float | None = Field(None, description="Probability of a face.")
    visible: list[float | None] | None = Field(
        None, description="Probability that each landmark is visible."
    )
    attributes: dict[str, float] | None = None
    track_id: int | None = None
    head_pose: HeadPoseResponse | None = None


class FacesResponse(BaseModel):
    """The faces of one image."""

    image: str = Field(description="Name of the file, empty for a raw body.")
    faces: list[FaceResponse]
    scheme: str
    own_scheme: dict[str, Any] | None = Field(
        None, description="Definition of the scheme, if it is user-defined."
    )
    image_size: tuple[int, int] = Field(description="Width and height, pixels.")


class ModelResponse(BaseModel):
    """One model."""

    name: str
    default: bool
    scheme: str
    points: int
    crop_px: int
    license: str | None


class ModelsResponse(BaseModel):
    """The models that requests may name."""

    models: list[ModelResponse]


class StatusResponse(BaseModel):
    """Status of the server."""

    status: str


class LiveResponse(BaseModel):
    """Open Inference Protocol: the server is running."""

    live: bool


class ReadyResponse(BaseModel):
    """Open Inference Protocol: the server accepts requests."""

    ready: bool


class ServerResponse(BaseModel):
    """Open Inference Protocol: the server."""

    name: str
    version: str
    extensions: list[str]


class TensorResponse(BaseModel):
    """Open Inference Protocol: an input or output of a model."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadataResponse(BaseModel):
    """Open Inference Protocol: a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorResponse]
    outputs: list[TensorResponse]


class ModelReadyResponse(BaseModel):
    """Open Inference Protocol: a model accepts requests."""

    name: str
    ready: bool
