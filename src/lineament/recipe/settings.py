"""Frozen settings, and types that several parts of a recipe share."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[float, Field(gt=0, le=1)]


class Settings(BaseModel):
    """Frozen settings that reject unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


NAME = r"^\w[\w.+-]*$"
"""Names of runs, also used for files and folders; names in checkpoints are untrusted."""


class ModelSettings(Settings):
    """Settings common to all kinds of landmark models: crops and initial weights."""

    reads_faces: ClassVar[bool] = True
    """False for a model that is not trained on faces, whose recipe has no [[data]]."""

    kind: str = Field(description="kind of model")
    size: int = Field(
        128, ge=32, description="side of the crop in pixels, a multiple of 32"
    )
    padding: float = Field(
        1.3,
        gt=1,
        description="side of the crop as a multiple of the longer side of the landmark box",
    )
    imagenet: bool = Field(True, description="start the backbone from ImageNet weights")
    pruned_from: str = Field(
        "",
        description=(
            "pruned checkpoint, written by lineament slim, whose channel counts the "
            "network gets"
        ),
    )
