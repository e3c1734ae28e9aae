"""The model of a recipe: settings by kind. models/registry.py builds the networks."""

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
