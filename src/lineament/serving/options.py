"""Request options: query parameters or form fields."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import did_you_mean
from .refusals import Refusal

TRACK = "/v1/track"
"""Path of the only WebSocket."""
Options = TypeVar("Options", bound=BaseModel)
Name = Annotated[str, Field(max_length=200)]


class ModelOptions(BaseModel):
    """Options of every request that finds faces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Name | None = Field(
        None,
        description="Name of a model of /v1/models; default: the first, or fast for /v1/track.",
    )
    scheme: Name | None = Field(
        None, description="Landmark scheme of the response; default: the model's own."
    )
    min_face: Name | None = Field(
        None,
        description="Smallest face to find, such as 40px or 0.05 of the longer side.",
    )
    head_pose: bool = Field(False, description="Add the head pose of each face.")


class DetectOptions(ModelOptions):
    """Options of /v1/detect and /v1/landmarks."""

    boxes: list[Name] | None = Field(
        None,
        description="Face boxes x0,y0,x1,y1 in pixels, repeatable; skips the detector.",
    )
    draw: bool = Field(
        False, description="Return the image with its landmarks drawn, as JPEG."
    )


class TrackOptions(ModelOptions):
    """Options of /v1/track."""

    max_faces: int | None = Field(None, ge=1, le=256, description="Maximum face count.")
    smooth: bool = Field(True, description="Smooth the landmarks over time.")
    token: str | None = Field(
        None, description="Bearer token, for browsers, which cannot set headers."
    )


DetectQuery = Annotated[DetectOptions, Query()]


def merge_form(options: DetectOptions, form: Mapping[str, list[str]]) -> DetectOptions:
    """Return the query options, overridden by the fields of a form.

    Raises:
        Refusal: If a field is unknown or its value is invalid.
    """
    given: dict[str, Any] = options.model_dump(exclude_unset=True)
    for name, values in form.items():
        given[name] = values if name == "boxes" else values[-1]
    return checked(DetectOptions, given)


def checked(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Validate options and return them as an instance of `kind`.

    Raises:
        Refusal: If a name is unknown or a value is invalid.
    """
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise invalid_options(error.errors(), kind) from error


def invalid_options(errors: Any, kind: type[BaseModel]) -> Refusal:
    """Return the refusal for pydantic errors; it contains option names but no values.

    Args:
        errors: The errors of pydantic.
        kind: The options that the request may have.
    """
    parts = []
    for error in list(errors)[:3]:
        place = ".".join(str(step) for step in error["loc"] if step != "query")
        text = error["msg"]
        if error["type"] == "extra_forbidden":
            text = f"unknown option; {did_you_mean(place[:50], kind.model_fields)}"
        parts.append(f"{place[:50]}: {text}")
    return Refusal(422, "; ".join(parts) or "the request is not valid")


def parse_boxes(texts: list[str], limit: int) -> list[list[float]]:
    """Parse boxes given as "x0,y0,x1,y1".

    Raises:
        Refusal: If a text does not contain four numbers, or there are too many boxes.
    """
    if len(texts) > limit:
        raise Refusal(422, f"{len(texts)} boxes; expected at most {limit}")
    boxes = []
    for text in texts:
        try:
            box = [float(number) for number in text.split(",")]
        except ValueError:
            box = []
        if len(box) != 4:
            raise Refusal(422, "boxes: expected four numbers x0,y0,x1,y1, in pixels")
        boxes.append(box)
    return boxes
