"""Face detector settings of a recipe: the network and its training scenes."""

from typing import Annotated

from pydantic import Field

from .settings import NonNegative, Settings


class DetectorSettings(Settings):
    """A face detector, and the scenes it is trained on."""

    widths: tuple[int, int, int, int, int] = Field(
        (16, 32, 64, 128, 192), description="channels at strides 2, 4, 8, 16, 32"
    )
    depths: tuple[int, int, int, int] = Field(
        (0, 2, 4, 2), description="additional blocks at strides 4, 8, 16, 32"
    )
    pyramid: int = Field(48, ge=8, description="channels of the feature pyramid")
    size: int = Field(
        256, ge=64, multiple_of=64, description="side of a training scene, pixels"
    )
    sampling_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
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
        description="relative frequencies of the kinds of photos in scenes: folders "
        "in detection/, clips, unlabelled, mtfl, landmarks (300w), "
        "infants (infanface), profiles (cfp30)",
    )
    teacher: str = Field(
        "",
        description="ONNX file of YuNet, relative to the current directory, which "
        "labels the unannotated faces; empty: none",
    )
    mimic: str = Field(
        "",
        description="network with ImageNet weights whose features the detector's "
        "backbone learns to match; empty: none",
    )
    mimic_weight: NonNegative = Field(1.0, description=("weight of the mimic loss"))
    mine_from: str = Field(
        "",
        description="checkpoint of a detector, or the name of one in teachers/, whose "
        "false positives in photos without faces are sampled more often; "
        "empty: none",
    )
    validation_scenes: int = Field(
        400, ge=1, description="number of scenes made from validation photos"
    )
