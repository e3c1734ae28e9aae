"""[model] settings of models without a network."""

from typing import Literal

from pydantic import Field

from .settings import ModelSettings, NonNegative


class CascadeSettings(ModelSettings):
    """Cascaded shape regression without a network; each step of [train] fits one stage.

    Initial shapes in training get the noise of [augment]: rotation_deg, scale and shift.
    """

    kind: Literal["cascade"] = Field("cascade", description="kind of model")
    imagenet: bool = Field(False, description="not used")
    regressor: Literal["ferns", "trees", "ridge"] = Field(
        "trees",
        description="regressor of each stage, either ferns or trees over pixel "
        "differences, or ridge regression on histograms of oriented "
        "gradients",
    )
    initial_shapes: int = Field(
        5,
        ge=1,
        description=(
            "initial shapes per face; the result is the median of their predictions"
        ),
    )
    initial_shapes_per_face: int = Field(
        10,
        ge=1,
        description="initial shapes per face in training, drawn from other faces",
    )
    trees: int = Field(500, ge=1, description="ferns or trees per stage")
    depth: int = Field(5, ge=1, le=8, description="levels of a fern or tree")
    pixels: int = Field(400, ge=2, description="pixels read by each stage")
    reach: float = Field(
        0.12,
        gt=0,
        description="largest distance of a pixel from its landmark, as a fraction of the box side",
    )
    basis_variance: float = Field(
        0.99,
        gt=0,
        lt=1,
        description=(
            "fraction of the variance of a stage's updates that its trees predict; it "
            "sets the number of principal directions"
        ),
    )
    fern_prior: NonNegative = Field(
        1000.0,
        description=(
            "number of zero-error samples added to each fern leaf, to shrink its output"
        ),
    )
    learning_rate: float = Field(
        0.1,
        gt=0,
        le=1,
        description=("fraction of a leaf's mean error that a tree corrects"),
    )
    candidates: int = Field(40, ge=1, description="splits tried per level of a tree")
    cells: tuple[float, ...] = Field(
        (0.08, 0.06, 0.05, 0.04, 0.035),
        min_length=1,
        description=(
            "cell side of the histograms per stage, as a fraction of the box side; later "
            "stages use the last value"
        ),
    )
    ridge: NonNegative = Field(
        0.01,
        description=(
            "regularization of the regression, relative to the mean power of the "
            "features"
        ),
    )


class ActiveShapeSettings(ModelSettings):
    """An active shape model without a network; each step of [train] fits one level.

    The coarsest level comes first.
    """

    kind: Literal["active-shape"] = Field("active-shape", description="kind of model")
    imagenet: bool = Field(False, description="not used")
    profile: Literal["line", "patch"] = Field(
        "patch",
        description="appearance model of a landmark, either derivatives along its "
        "normal with a Mahalanobis distance, or oriented gradients around "
        "it with a linear discriminant",
    )
    levels: int = Field(
        3, ge=1, le=6, description="levels of the pyramid, each at half the scale"
    )
    rounds: int = Field(
        10, ge=1, description="maximum number of search iterations per level"
    )
    reach: int = Field(
        6,
        ge=1,
        description="for lines: length of the profile to each side of the landmark, "
        "pixels",
    )
    cell: int = Field(
        2, ge=1, description="for patches: side of each of the 3 x 3 cells, pixels"
    )
    search: int = Field(
        3, ge=1, description="search range to each side of the landmark, pixels"
    )
    limit: float = Field(
        3.0, gt=0, description="limit of shape coefficients, in standard deviations"
    )
    noise: float = Field(
        0.0,
        ge=0,
        description=(
            "expected error of a match, in pixels of a level; shape coefficients are "
            "shrunk accordingly"
        ),
    )
    shape_variance: float = Field(
        0.98,
        gt=0,
        lt=1,
        description="fraction of the shape variance that the shape model keeps",
    )
    profile_variance: float = Field(
        0.95,
        gt=0,
        lt=1,
        description=(
            "fraction of the profile variance that the Mahalanobis distance uses"
        ),
    )


class ActiveAppearanceSettings(ModelSettings):
    """An active appearance model without a network; each step of [train] fits one level."""

    kind: Literal["active-appearance"] = Field(
        "active-appearance", description="kind of model"
    )
    imagenet: bool = Field(False, description="not used")
    features: Literal["pixels", "hog"] = Field(
        "hog",
        description=(
            "features of the appearance, either gray pixels or oriented gradients"
        ),
    )
    levels: int = Field(
        2, ge=1, le=6, description="levels of the pyramid, each at half the scale"
    )
    initial_shapes: int = Field(
        1,
        ge=1,
        description="initial shapes on the coarsest level; the best fit is refined",
    )
    rounds: int = Field(20, ge=1, description="maximum number of steps per level")
    limit: float = Field(
        3.0, gt=0, description="limit of shape coefficients, in standard deviations"
    )
    noise: float = Field(
        0.0,
        ge=0,
        description=(
            "expected error of a step, in pixels of the mean shape; shape coefficients "
            "are shrunk accordingly"
        ),
    )
    shape_variance: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="fraction of the shape variance that the shape model keeps",
    )
    appearance_variance: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="fraction of the appearance variance that is projected out",
    )
    faces: int = Field(
        1500, ge=2, description=("training faces used for the appearance model")
    )


class MeanShapeSettings(ModelSettings):
    """The mean shape, regardless of the image; trained in one step."""

    kind: Literal["mean-shape"] = Field("mean-shape", description="kind of model")
    imagenet: bool = Field(False, description="not used")
