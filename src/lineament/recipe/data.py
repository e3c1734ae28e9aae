"""The data of a recipe: its mixture and its augmentation."""

from pydantic import Field

from .settings import Settings


class DataPart(Settings):
    """One data set of the mixture."""

    reader: str = Field(
        description="a reader by name, e.g. 300w; folder: images, each with a .pts file"
    )
    part: str = Field(
        "", description="the part of the data set; empty: the one to train on"
    )
    folder: str = Field(
        "",
        description="folder of the data set: absolute, or relative to the recipe, the current "
        "directory or the data root; empty: the reader's usual one",
    )
    repeat: int = Field(1, ge=1, description="times that each face occurs in an epoch")
    exclude: tuple[str, ...] = Field(
        (),
        description="faces to leave out, by name below the set's folder; suffixes do not count",
    )
    use_until: float = Field(
        1.0,
        gt=0,
        le=1,
        description="fraction of the training during which the set is used",
    )
    annotated: bool = Field(
        True,
        description="false: use only the boxes of its points; a teacher predicts the points",
    )


class Augmentation(Settings):
    """Random changes of a training crop. Probabilities are per sample."""

    flip: float = Field(0.5, ge=0, le=1, description="probability of mirroring")
    rotation_deg: float = Field(
        18.0, ge=0, description="standard deviation of the small rotations"
    )
    wild_rotation: float = Field(
        0.2, ge=0, le=1, description="probability of a uniformly drawn rotation instead"
    )
    wild_rotation_deg: float = Field(
        60.0, ge=0, le=180, description="largest of the uniformly drawn rotations"
    )
    scale: float = Field(
        0.09,
        ge=0,
        description="standard deviation of the log of the scale, clipped at 2.5 deviations",
    )
    shift: float = Field(
        0.05,
        ge=0,
        description="standard deviation of the shift, in box sides, clipped at 2.5 deviations",
    )
    color: float = Field(
        0.8,
        ge=0,
        le=1,
        description="probability of changed brightness, contrast, gamma and tint",
    )
    grey: float = Field(0.1, ge=0, le=1, description="probability of a gray image")
    blur: float = Field(
        0.15, ge=0, le=1, description="probability of Gaussian or motion blur"
    )
    low_resolution: float = Field(
        0.15, ge=0, le=1, description="probability of a lower resolution"
    )
    jpeg: float = Field(
        0.1, ge=0, le=1, description="probability of strong JPEG artefacts"
    )
    noise: float = Field(0.12, ge=0, le=1, description="probability of sensor noise")
    dark: float = Field(
        0.08,
        ge=0,
        le=1,
        description="probability of a very dark image or a hard shadow",
    )
    occlusion: float = Field(
        0.35, ge=0, le=1, description="probability of one to three occluders"
    )
