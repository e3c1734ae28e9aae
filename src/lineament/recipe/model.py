"""The model of a recipe: settings by kind. models/registry.py builds the networks."""

from typing import ClassVar, Literal

from pydantic import Field

from ..errors import did_you_mean
from .settings import NonNegative, Probability, Settings


class ModelSettings(Settings):
    """Settings of every kind of landmark model: how crops are made for it, and how it starts."""

    reads_faces: ClassVar[bool] = True
    """False for a model that is not trained on faces, whose recipe has no [[data]]."""

    kind: str = Field(description="the kind of model")
    size: int = Field(
        128, ge=32, description="side of the crop in pixels, a multiple of 32"
    )
    padding: float = Field(
        1.3, gt=1, description="side of the crop in longer sides of the landmark box"
    )
    imagenet: bool = Field(True, description="start the backbone from ImageNet weights")
    pruned_from: str = Field(
        "",
        description="a checkpoint of lineament slim whose numbers of channels the network has",
    )


class LandmarkNetSettings(ModelSettings):
    """A network of a backbone, a feature pyramid and a head."""

    kind: Literal["landmark-net", "refined-net"] = Field(
        "landmark-net",
        description="refined-net: its heatmaps are refined by earlier frames, see [refine]; of",
    )
    backbone: str = Field("mobilenetv2", description="a backbone by name")
    architecture: str = Field(
        "",
        description="the blocks of a slimmed hr-supernet, as lineament slim writes them; empty: "
        "all",
    )
    head: Literal[
        "heatmap2d", "gaussian2d", "coordinates", "attentive1d", "attentive1d-gaussian"
    ] = Field("heatmap2d", description="the kind of head")
    length: float | None = Field(
        None,
        description="cells of a heatmap per pixel of the crop: 0.25, 0.5, 1, 2 or, in one "
        "dimension, 3; unset: 0.25 in two dimensions, 1 in one",
    )
    attention: NonNegative = Field(
        0.3, description="what an axis takes from the other, in attentive1d heads"
    )
    decoder: Literal["expectation", "argmax", "quarter", "dark"] = Field(
        "expectation",
        description="how landmarks are read from heatmaps, except in training",
    )
    channels: int = Field(96, ge=8, description="width of the feature pyramid")
    presence: bool = Field(
        False,
        description="predict also whether the crop shows a face, and which points are visible; "
        "see [presence]",
    )


class SharedFeatureSettings(ModelSettings):
    """A small network of shared features: landmarks, attributes ([tasks]) and clusters.

    Clusters are found when a run starts from the checkpoint of a network without them (init_from).
    """

    kind: Literal["shared-features"] = Field("shared-features", description="of")
    imagenet: bool = Field(False, description="not used")
    size: int = Field(40, ge=36, description="side of the crop")
    width: float = Field(
        1.0, gt=0, description="maps and shared units, as a multiple of the papers'"
    )
    clusters: int = Field(
        1, ge=1, description="of the shared features, each with its own output layer"
    )
    mixture: bool = Field(
        True,
        description="cluster by a Gaussian mixture after k-means, not by k-means alone",
    )
    partner_prob: Probability = Field(
        0.0,
        description="probability that a training crop shows its face where another face of its "
        "cluster lies, instead of the flip, rotation, scale and shift of [augment]",
    )


class DeepAlignmentSettings(ModelSettings):
    """A deep alignment network: stages that see the whole face, turned by the stage before.

    Stages are trained one after the other: a recipe with one more stage starts from the checkpoint
    of the one before (init_from) and freezes its stages (train.freeze). With [tasks], such as
    emotions, the last stage also classifies the face.
    """

    kind: Literal["deep-alignment"] = Field("deep-alignment", description="of")
    imagenet: bool = Field(False, description="not used")
    size: int = Field(112, ge=32, description="side of the crop, a multiple of 16")
    stages: int = Field(2, ge=1, description="number of stages")
    width: float = Field(
        1.0,
        gt=0,
        le=1,
        description="channels of the convolutions, as a part of the paper's",
    )


class ConvCascadeSettings(ModelSettings):
    """Sun's cascade of convolutional networks for five points.

    Levels are trained one after the other: a recipe with one more level starts from the checkpoint
    of the one before (init_from) and freezes what that had.
    """

    kind: Literal["conv-cascade"] = Field("conv-cascade", description="of")
    imagenet: bool = Field(False, description="not used")
    size: int = Field(160, ge=32, description="side of the crop")
    levels: int = Field(3, ge=1, le=3, description="number of levels")


class CoarseToFineSettings(ModelSettings):
    """Face++'s cascade for 68 points: boxes, points, parts, turned parts.

    Levels are trained one after the other, as those of a conv-cascade.
    """

    kind: Literal["coarse-to-fine"] = Field("coarse-to-fine", description="of")
    imagenet: bool = Field(False, description="not used")
    size: int = Field(160, ge=32, description="side of the crop")
    levels: int = Field(4, ge=1, le=4, description="number of levels")


class MtcnnSettings(ModelSettings):
    """MTCNN: networks that propose, refine and output faces with five points.

    They are trained one after the other: a recipe with one more stage starts from the checkpoint of
    the one before (init_from). They learn from `photos`; the faces of [[data]] validate and
    calibrate. Of [augment], scale and shift are not used, nor are losses and train.bf16.
    """

    kind: Literal["mtcnn"] = Field("mtcnn", description="of")
    imagenet: bool = Field(False, description="not used")
    size: Literal[48] = Field(48, description="side of the crop")
    padding: float = Field(
        1.1, gt=1, description="side of the crop in longer sides of the landmark box"
    )
    stages: int = Field(
        3, ge=1, le=3, description="networks: proposal, refine and output"
    )
    photos: tuple[str, ...] = Field(
        ("wider", "masks", "background", "objects", "pets", "mtfl"),
        min_length=1,
        description="kinds of photos to train on, as in detector.shares",
    )
    hard_share: float = Field(
        0.7,
        gt=0,
        le=1,
        description="windows of a batch, those with the largest losses, that train the score",
    )
    min_scores: tuple[Probability, Probability] = Field(
        (0.6, 0.7),
        description="lowest scores that proposal and refine pass on to the next network",
    )


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
    noise: float = Field(0.0, ge=0, description="error of a match, pixels of a level")
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


class ClassifierSettings(ModelSettings):
    """A classifier of the small images of CIFAR-10, to compare networks by.

    It is trained without [[data]], augmentation and `losses`: by cross-entropy.
    """

    reads_faces: ClassVar[bool] = False

    kind: Literal["classifier"] = Field("classifier", description="of")
    imagenet: bool = Field(False, description="not used")
    size: Literal[32] = Field(32, description="side of the images")
    network: Literal["vgg16", "light-vggnet"] = Field(
        "light-vggnet", description="the network"
    )
    width: float = Field(
        1.0, gt=0, le=1, description="channels and units, as a part of the paper's"
    )
    images: int = Field(
        0, ge=0, description="training images, equally many per class; 0: all"
    )


class PartCascadeSettings(ModelSettings):
    """A cascade with parts: DPM-CNN, then an outer and an inner branch, from coarse to fine.

    Levels are trained one after the other, as those of a conv-cascade. Distances of corners and
    points count in widths of the face (equation 2); `losses` are added.
    """

    kind: Literal["part-cascade"] = Field("part-cascade", description="of")
    imagenet: bool = Field(False, description="not used")
    size: int = Field(160, ge=32, description="side of the crop")
    padding: float = Field(
        1.6, gt=1, description="side of the crop in longer sides of the landmark box"
    )
    levels: int = Field(
        3, ge=1, le=3, description="number of levels: face, branches, points"
    )
    width: float = Field(
        1.0, gt=0, le=1, description="channels, as a part of the paper's"
    )
    contour_width: float = Field(
        1.0,
        gt=0,
        le=1,
        description="channels of Light-VGGNet, which finds the contour, as a part of the paper's",
    )
    part_weight: NonNegative = Field(
        1.0, description="weight lambda of the 12 points of parts in equation 2"
    )


class DpmCnnSettings(ModelSettings):
    """DPM-CNN as a face detector: box, 12 points of parts, and a score with their deformation cost.

    [presence] gives the crops without a face, augment.scale and augment.shift the windows that
    a face is found from. Equation 2 is as in a part-cascade.
    """

    kind: Literal["dpm-cnn"] = Field("dpm-cnn", description="of")
    imagenet: bool = Field(False, description="not used")
    size: Literal[112] = Field(112, description="side of the window")
    padding: float = Field(
        1.6, gt=1, description="side of the window in longer sides of the landmark box"
    )
    width: float = Field(
        1.0, gt=0, le=1, description="channels, as a part of the paper's"
    )
    part_weight: NonNegative = Field(
        1.0, description="weight lambda of the 12 points of parts in equation 2"
    )


MODEL_KINDS: dict[str, type[ModelSettings]] = {
    "landmark-net": LandmarkNetSettings,
    "refined-net": LandmarkNetSettings,
    "active-appearance": ActiveAppearanceSettings,
    "active-shape": ActiveShapeSettings,
    "cascade": CascadeSettings,
    "mean-shape": MeanShapeSettings,
    "coarse-to-fine": CoarseToFineSettings,
    "shared-features": SharedFeatureSettings,
    "conv-cascade": ConvCascadeSettings,
    "deep-alignment": DeepAlignmentSettings,
    "mtcnn": MtcnnSettings,
    "classifier": ClassifierSettings,
    "part-cascade": PartCascadeSettings,
    "dpm-cnn": DpmCnnSettings,
}
"""The [model] part of a recipe by its kind; models/registry.py builds them."""


def settings_of_kind(values: object) -> object:
    """Read the [model] part by the settings of its kind, landmark-net if it names none."""
    if not isinstance(values, dict):
        return values
    kind = values.get("kind", "landmark-net")
    if kind not in MODEL_KINDS:
        raise ValueError(
            f"no kind of model is called {kind!r}; {did_you_mean(kind, MODEL_KINDS)}"
        )
    return MODEL_KINDS[kind].model_validate(values)
