"""Model settings of a recipe, by kind. models/registry.py builds the networks."""

from typing import ClassVar, Literal

from pydantic import Field

from ..errors import did_you_mean
from .classic import (
    ActiveAppearanceSettings,
    ActiveShapeSettings,
    CascadeSettings,
    MeanShapeSettings,
)
from .settings import ModelSettings, NonNegative, Probability


class LandmarkNetSettings(ModelSettings):
    """A network with a backbone, a feature pyramid and a head."""

    kind: Literal["landmark-net", "refined-net"] = Field(
        "landmark-net",
        description=(
            "kind of model; refined-net refines its heatmaps with earlier frames, see "
            "[refine]"
        ),
    )
    backbone: str = Field("mobilenetv2", description="name of the backbone")
    architecture: str = Field(
        "",
        description="blocks of a pruned hr-supernet, as written by lineament slim; "
        "empty: all",
    )
    head: Literal[
        "heatmap2d", "gaussian2d", "coordinates", "attentive1d", "attentive1d-gaussian"
    ] = Field("heatmap2d", description="kind of head")
    length: float | None = Field(
        None,
        description="heatmap cells per crop pixel: 0.25, 0.5, 1, 2 or, for 1D "
        "heatmaps, 3; unset: 0.25 for 2D heatmaps, 1 for 1D",
    )
    attention: NonNegative = Field(
        0.3,
        description=(
            "in attentive1d heads, the weight with which each axis uses the features "
            "of the other axis"
        ),
    )
    decoder: Literal["expectation", "argmax", "quarter", "dark"] = Field(
        "expectation",
        description="how heatmaps are decoded to landmarks, except in training",
    )
    channels: int = Field(96, ge=8, description="channels of the feature pyramid")
    presence: bool = Field(
        False,
        description="also predict whether the crop shows a face and which points are "
        "visible; see [presence]",
    )


class SharedFeatureSettings(ModelSettings):
    """A small network of shared features: landmarks, attributes ([tasks]) and clusters.

    Clusters are found when a run starts from the checkpoint of a network without them (init_from).
    """

    kind: Literal["shared-features"] = Field(
        "shared-features", description="kind of model"
    )
    imagenet: bool = Field(False, description="not used")
    size: int = Field(40, ge=36, description="side of the crop")
    width: float = Field(
        1.0,
        gt=0,
        description=(
            "number of feature maps and shared units, as a multiple of the papers'"
        ),
    )
    clusters: int = Field(
        1,
        ge=1,
        description=("clusters of the shared features, each with its own output layer"),
    )
    mixture: bool = Field(
        True,
        description=("refine the clusters of k-means with a Gaussian mixture"),
    )
    partner_prob: Probability = Field(
        0.0,
        description="probability that the face in a training crop is moved to the "
        "position of another face of its cluster, instead of the flip, "
        "rotation, scale and shift of [augment]",
    )


class DeepAlignmentSettings(ModelSettings):
    """A deep alignment network: each stage takes the entire face, aligned by the previous stage.

    Stages are trained one after the other: a recipe with one more stage starts from the checkpoint
    of the previous one (init_from) and freezes its stages (train.freeze). The new stage starts with
    the previous one's weights, except in its last layer. With [tasks], such as emotions, the last
    stage also classifies the face.
    """

    kind: Literal["deep-alignment"] = Field(
        "deep-alignment", description="kind of model"
    )
    imagenet: bool = Field(False, description="not used")
    size: int = Field(112, ge=32, description="side of the crop, a multiple of 16")
    stages: int = Field(2, ge=1, description="number of stages")
    width: float = Field(
        1.0,
        gt=0,
        le=1,
        description="channels of the convolutions, as a fraction of the paper's",
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate of the input of the dense layers"
    )


class ConvCascadeSettings(ModelSettings):
    """Sun's cascade of convolutional networks for five points.

    Levels are trained one after the other: a recipe with one more level starts from the checkpoint
    of the previous one (init_from) and freezes its levels.
    """

    kind: Literal["conv-cascade"] = Field("conv-cascade", description="kind of model")
    imagenet: bool = Field(False, description="not used")
    size: int = Field(160, ge=32, description="side of the crop")
    levels: int = Field(3, ge=1, le=3, description="number of levels")


class CoarseToFineSettings(ModelSettings):
    """Face++'s cascade for 68 points: boxes, points, parts, rotated parts.

    Levels are trained one after the other, as in a conv-cascade.
    """

    kind: Literal["coarse-to-fine"] = Field(
        "coarse-to-fine", description="kind of model"
    )
    imagenet: bool = Field(False, description="not used")
    size: int = Field(160, ge=32, description="side of the crop")
    levels: int = Field(4, ge=1, le=4, description="number of levels")


class MtcnnSettings(ModelSettings):
    """MTCNN: proposal, refine and output networks for faces with five points.

    They are trained one after the other: a recipe with one more stage starts from the checkpoint of
    the previous one (init_from). They are trained on `photos`; the faces of [[data]] are for
    validation and calibration. augment.scale, augment.shift, losses and train.bf16 are not used.
    """

    kind: Literal["mtcnn"] = Field("mtcnn", description="kind of model")
    imagenet: bool = Field(False, description="not used")
    size: Literal[48] = Field(48, description="side of the crop")
    padding: float = Field(
        1.1,
        gt=1,
        description="side of the crop as a multiple of the longer side of the landmark box",
    )
    stages: int = Field(
        3,
        ge=1,
        le=3,
        description="number of networks: 1: proposal; 2: also refine; 3: also output",
    )
    photos: tuple[str, ...] = Field(
        ("wider", "masks", "background", "objects", "pets", "mtfl"),
        min_length=1,
        description="kinds of photos to train on, as in detector.sampling_weights",
    )
    hard_fraction: float = Field(
        0.7,
        gt=0,
        le=1,
        description=(
            "fraction of a batch's windows, those with the largest losses, that train "
            "the score"
        ),
    )
    min_scores: tuple[Probability, Probability] = Field(
        (0.6, 0.7),
        description=(
            "score thresholds of the proposal and refine networks: windows below them "
            "do not reach the next network"
        ),
    )


class ClassifierSettings(ModelSettings):
    """A classifier of the small images of CIFAR-10, for comparing networks.

    It is trained with cross-entropy, without [[data]], augmentation and `losses`.
    """

    reads_faces: ClassVar[bool] = False

    kind: Literal["classifier"] = Field("classifier", description="kind of model")
    imagenet: bool = Field(False, description="not used")
    size: Literal[32] = Field(32, description="side of the images")
    network: Literal["vgg16", "light-vggnet"] = Field(
        "light-vggnet", description="the network"
    )
    width: float = Field(
        1.0, gt=0, le=1, description="channels and units, as a fraction of the paper's"
    )
    images: int = Field(
        0, ge=0, description="number of training images, equal per class; 0: all"
    )


class PartCascadeSettings(ModelSettings):
    """A cascade with parts: DPM-CNN, then an outer and an inner branch, from coarse to fine.

    Levels are trained one after the other, as in a conv-cascade. The errors of corners
    and points, divided by the width of the face (equation 2 of Sun et al. 2020), are
    always part of the loss; `losses` are added to them.
    """

    kind: Literal["part-cascade"] = Field("part-cascade", description="kind of model")
    imagenet: bool = Field(False, description="not used")
    size: int = Field(160, ge=32, description="side of the crop")
    padding: float = Field(
        1.6,
        gt=1,
        description="side of the crop as a multiple of the longer side of the landmark box",
    )
    levels: int = Field(
        3,
        ge=1,
        le=3,
        description="number of levels: 1: face box; 2: also the branches; 3: also "
        "points",
    )
    width: float = Field(
        1.0, gt=0, le=1, description="channels, as a fraction of the paper's"
    )
    contour_width: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "channels of Light-VGGNet, which finds the contour, as a fraction of the "
            "paper's"
        ),
    )
    pool_first: bool = Field(
        False,
        description=(
            "max pooling before PReLU, not after: faster, and the same function unless a "
            "slope is negative"
        ),
    )
    part_weight: NonNegative = Field(
        1.0, description="weight lambda of the 12 points of parts in equation 2"
    )


class DpmCnnSettings(ModelSettings):
    """DPM-CNN as a face detector: box, 12 points of parts, and a score with their deformation cost.

    [presence] supplies the crops without a face; augment.scale and augment.shift set
    how far the training windows deviate from the face. Equation 2 is used as in a
    part-cascade.
    """

    kind: Literal["dpm-cnn"] = Field("dpm-cnn", description="kind of model")
    imagenet: bool = Field(False, description="not used")
    size: Literal[112] = Field(112, description="side of the window")
    padding: float = Field(
        1.6,
        gt=1,
        description="side of the window as a multiple of the longer side of the landmark box",
    )
    width: float = Field(
        1.0, gt=0, le=1, description="channels, as a fraction of the paper's"
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
"""Settings of the [model] part of a recipe by kind; models/registry.py builds the models."""


def parse_model_settings(values: object) -> object:
    """Read the [model] part with the settings of its kind; landmark-net if none is named."""
    if not isinstance(values, dict):
        return values
    kind = values.get("kind", "landmark-net")
    if kind not in MODEL_KINDS:
        raise ValueError(
            f"unknown model kind {kind!r}; {did_you_mean(kind, MODEL_KINDS)}"
        )
    return MODEL_KINDS[kind].model_validate(values)
