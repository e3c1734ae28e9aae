"""The model of a recipe: settings by kind. models/registry.py builds the networks."""

from typing import Annotated, Literal

from pydantic import Field

from ..errors import did_you_mean
from .settings import NonNegative, Settings


class ModelSettings(Settings):
    """Settings of every kind of landmark model: how crops are made for it, and how it starts."""

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


MODEL_KINDS: dict[str, type[ModelSettings]] = {
    "landmark-net": LandmarkNetSettings,
    "refined-net": LandmarkNetSettings,
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


class DetectorSettings(Settings):
    """A face detector, and the scenes it is trained on."""

    widths: tuple[int, int, int, int, int] = Field(
        (16, 32, 64, 128, 192), description="channels at strides 2, 4, 8, 16, 32"
    )
    depths: tuple[int, int, int, int] = Field(
        (0, 2, 4, 2), description="further blocks at strides 4, 8, 16, 32"
    )
    pyramid: int = Field(48, ge=8, description="channels of the feature pyramid")
    size: int = Field(
        256, ge=64, multiple_of=64, description="side of a training scene in pixels"
    )
    shares: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: {
            "wider": 0.22,
            "masks": 0.13,
            "landmarks": 0.14,
            "infants": 0.02,
            "profiles": 0.08,
            "unlabelled": 0.08,
            "mtfl": 0.07,
            "people": 0.04,
            "clips": 0.03,
            "objects": 0.06,
            "pets": 0.08,
            "background": 0.06,
        },
        description="relative frequencies of the kinds of photos in scenes: folders of detection/, "
        "clips, unlabelled, mtfl, landmarks (300w), infants (infanface), profiles (cfp30)",
    )
    teacher: str = Field(
        "",
        description="the ONNX file of YuNet, which labels faces that nobody annotated, by a path "
        "relative to the current directory; empty: none",
    )
    mimic: str = Field(
        "",
        description="a backbone with ImageNet weights whose features the trunk imitates while it "
        "is trained; empty: none",
    )
    mimic_weight: NonNegative = Field(1.0, description="weight of that loss")
    mine_from: str = Field(
        "",
        description="a checkpoint of a detector, or the name of one in teachers/, whose false "
        "positives in photos without faces are shown more often; empty: none",
    )
    validation_scenes: int = Field(
        400, ge=1, description="scenes made of validation photos"
    )
