"""The [model] part of models without a network."""

from typing import Literal

from pydantic import Field

from .settings import ModelSettings, NonNegative


class CascadeSettings(ModelSettings):
    """Cascaded regression of the shape without a network: one stage per step of [train].

    First shapes in training have the noise of [augment]: rotation_deg, scale and shift.
    """

    kind: Literal["cascade"] = Field("cascade", description="of")
    imagenet: bool = Field(False, description="not used")
    regressor: Literal["ferns", "trees", "ridge"] = Field(
        "trees",
        description="of a stage: ferns or trees over differences of pixels, or ridge regression "
        "on histograms of oriented gradients",
    )
    starts: int = Field(
        5,
        ge=1,
        description="first shapes of a face, of whose results the median is taken",
    )
    starts_per_face: int = Field(
        10,
        ge=1,
        description="first shapes per face in training, drawn from other faces",
    )
    trees: int = Field(500, ge=1, description="ferns or trees per stage")
    depth: int = Field(5, ge=1, le=8, description="levels of a fern or tree")
    pixels: int = Field(400, ge=2, description="pixels that a stage reads")
    reach: float = Field(
        0.12,
        gt=0,
        description="largest distance of a pixel from its landmark, box sides",
    )
    basis_share: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="share of a stage's updates in the principal directions that its trees predict",
    )
    fern_prior: NonNegative = Field(
        1000.0,
        description="samples without an error that are added to each leaf of a fern",
    )
    learning_rate: float = Field(
        0.1, gt=0, le=1, description="share of a leaf's mean error that a tree corrects"
    )
    candidates: int = Field(40, ge=1, description="splits tried per level of a tree")
    cells: tuple[float, ...] = Field(
        (0.08, 0.06, 0.05, 0.04, 0.035),
        min_length=1,
        description="side of a cell of the histograms by stage, in box sides; the last one stays",
    )
    ridge: NonNegative = Field(
        0.01, description="damping of the regression, in mean powers of a feature"
    )


class ActiveShapeSettings(ModelSettings):
    """An active shape model without a network: one level per step of [train], coarsest first."""

    kind: Literal["active-shape"] = Field("active-shape", description="of")
    imagenet: bool = Field(False, description="not used")
    profile: Literal["line", "patch"] = Field(
        "patch",
        description="what a landmark is recognized by: derivatives along its normal and their "
        "Mahalanobis distance, or oriented gradients around it and their linear discriminant",
    )
    levels: int = Field(
        3, ge=1, le=6, description="of the pyramid, each at half the scale"
    )
    rounds: int = Field(10, ge=1, description="largest number of searches per level")
    reach: int = Field(6, ge=1, description="pixels of a line to each side")
    cell: int = Field(2, ge=1, description="side of a patch's 3 x 3 cells, pixels")
    search: int = Field(3, ge=1, description="pixels that are searched to each side")
    limit: float = Field(
        3.0, gt=0, description="largest coefficient of a shape, standard deviations"
    )
    noise: float = Field(
        0.0,
        ge=0,
        description="error of a match in pixels of a level, by which coefficients are shrunk",
    )
    share: float = Field(
        0.98,
        gt=0,
        lt=1,
        description="of the variance of shapes that the shape model has",
    )
    profile_share: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="of the variance of profiles that a distance counts",
    )


class ActiveAppearanceSettings(ModelSettings):
    """An active appearance model without a network: one level per step of [train]."""

    kind: Literal["active-appearance"] = Field("active-appearance", description="of")
    imagenet: bool = Field(False, description="not used")
    features: Literal["pixels", "hog"] = Field(
        "hog", description="of the appearance: gray pixels, or oriented gradients"
    )
    levels: int = Field(
        2, ge=1, le=6, description="of the pyramid, each at half the scale"
    )
    starts: int = Field(
        1,
        ge=1,
        description="first shapes on the coarsest level, of which the best fit is refined",
    )
    rounds: int = Field(20, ge=1, description="largest number of steps per level")
    limit: float = Field(
        3.0, gt=0, description="largest coefficient of a shape, standard deviations"
    )
    share: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="of the variance of shapes that the shape model has",
    )
    texture_share: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="of the variance of appearances that is projected out",
    )
    faces: int = Field(1500, ge=2, description="training faces of the appearance model")


class MeanShapeSettings(ModelSettings):
    """The mean shape, which does not read the image; trained in one step."""

    kind: Literal["mean-shape"] = Field("mean-shape", description="of")
    imagenet: bool = Field(False, description="not used")
