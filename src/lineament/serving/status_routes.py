"""Routes that describe the server: health, models, metrics, Open Inference Protocol."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from .. import __version__
from ..errors import InputError
from ..estimator import LandmarkModel
from ..inference.tensors import input_tensors, output_tensors
from .refusals import Refusal, draining
from .responses import (
    ErrorResponse,
    LiveResponse,
    ModelMetadataResponse,
    ModelReadyResponse,
    ModelsResponse,
    ReadyResponse,
    ServerResponse,
    StatusResponse,
)
from .service import get_service

router = APIRouter()
NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ErrorResponse}}
UNAUTHORIZED_RESPONSE: dict[int | str, dict[str, Any]] = {401: {"model": ErrorResponse}}
# the default keeps FastAPI from adding an error with another type
UNKNOWN = {
    **UNAUTHORIZED_RESPONSE,
    404: {"model": ErrorResponse},
    "default": {"model": ErrorResponse},
}


@router.get(
    "/v1/models",
    response_model=ModelsResponse,
    responses={**UNAUTHORIZED_RESPONSE, **NOT_READY},
)
async def models(request: Request) -> Any:
    """List the models that requests may name."""
    served = get_service(request).models
    return {"models": [served.describe(model) for model in served]}


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", response_model=StatusResponse)
async def live() -> Any:
    """Confirm that the process is running."""
    return {"status": "live"}


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", response_model=StatusResponse, responses=NOT_READY)
async def ready(request: Request) -> Any:
    """Respond with 200 if requests are accepted, 503 while warming up or draining."""
    lifecycle = get_service(request).lifecycle
    if lifecycle.draining.is_set():
        raise draining()
    if not lifecycle.is_ready:
        headers = {"Retry-After": "1"}
        raise Refusal(503, "the models are warming up", "warming_up", headers)
    return {"status": "ready"}


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return the Prometheus metrics of the server."""
    figures = get_service(request).metrics
    return Response(figures.text(), media_type=figures.media_type)


@router.get("/v2", response_model=ServerResponse)
async def server_metadata() -> Any:
    """Describe the server by the Open Inference Protocol."""
    return {"name": "lineament", "version": __version__, "extensions": []}


@router.head("/v2/health/live", include_in_schema=False)
@router.get("/v2/health/live", response_model=LiveResponse)
async def protocol_live() -> Any:
    """Confirm that the process is running."""
    return {"live": True}


@router.head("/v2/health/ready", include_in_schema=False)
@router.get(
    "/v2/health/ready",
    response_model=ReadyResponse,
    responses={503: {"model": ReadyResponse}},
)
async def protocol_ready(request: Request) -> Any:
    """Respond with 200 if requests are accepted."""
    is_ready = get_service(request).lifecycle.is_ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get(
    "/v2/models/{name}", response_model=ModelMetadataResponse, responses=UNKNOWN
)
async def model_metadata(request: Request, name: str) -> Any:
    """Describe the network of a model: crops to landmarks."""
    model = _model(request, name)
    session = getattr(model, "session", None)
    described: dict[str, Any] = {"name": name, "versions": ["1"]}
    if session is None:  # a model without an ONNX network
        return described | {"platform": "lineament", "inputs": [], "outputs": []}
    described["platform"] = "onnxruntime_onnx"
    described["inputs"] = [asdict(tensor) for tensor in input_tensors(session)]
    described["outputs"] = [asdict(tensor) for tensor in output_tensors(session)]
    return described


@router.get(
    "/v2/models/{name}/ready",
    response_model=ModelReadyResponse,
    responses={**UNKNOWN, 503: {"model": ModelReadyResponse}},
)
async def model_ready(request: Request, name: str) -> Any:
    """Respond with 200 if a model accepts requests."""
    _model(request, name)
    is_ready = get_service(request).lifecycle.is_ready
    return JSONResponse({"name": name, "ready": is_ready}, 200 if is_ready else 503)


def _model(request: Request, name: str) -> LandmarkModel:
    try:
        return get_service(request).models.get(name)
    except InputError as error:
        raise Refusal(404, str(error)) from error
