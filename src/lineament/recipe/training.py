"""Training settings of a recipe: schedule, distillation, slimming, temporal refinement."""

from typing import Literal

from pydantic import Field, field_validator

from .settings import NonNegative, Probability, Settings, Side


class TrainSettings(Settings):
    """The schedule."""

    steps: int = Field(ge=1, description="total number of optimizer steps")
    batch: int = Field(
        32,
        ge=1,
        description="faces per step, over all processes and accumulated batches",
    )
    accumulate: int = Field(1, ge=1, description="backward passes per step")
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="the optimizer")
    lr: float = Field(1.5e-3, gt=0, description="peak learning rate")
    backbone_lr: float = Field(
        1.0, gt=0, description="learning rate of the backbone, as a multiple of lr"
    )
    weight_decay: NonNegative = Field(
        0.01, description="weight decay; not applied to normalization layers and biases"
    )
    schedule: Literal["cosine", "steps"] = Field(
        "cosine", description="decay of the learning rate"
    )
    milestones: tuple[float, ...] = Field(
        (0.625, 0.875),
        description=(
            "fractions of training at which the steps schedule divides the "
            "learning rate by 10"
        ),
    )
    warmup: int = Field(
        200, ge=0, description="steps over which the learning rate rises to its peak"
    )
    max_grad_norm: float = Field(5.0, gt=0, description="maximum gradient norm")
    ema: float = Field(
        0.999,
        ge=0,
        lt=1,
        description=(
            "decay of the moving average of the weights, used for validation and export"
        ),
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="parts of the network to freeze, including their normalization statistics, "
        'given as prefixes of parameter names, such as "backbone" or "head.out"; in a '
        "distillation, those of every student",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="device; auto is a GPU if torch finds one"
    )
    bf16: bool = Field(
        True,
        description="bfloat16 autocast, if the device has instructions for it",
    )
    threads: int = Field(0, ge=0, description="torch threads; 0: torch's default")
    num_workers: int = Field(
        1,
        ge=0,
        description=("processes that make crops; 0: the training process makes them"),
    )
    checkpoint_minutes: NonNegative = Field(
        3.0, description="minutes between checkpoints"
    )
    validate_every: int = Field(1000, ge=1, description="steps between validations")
    seed: int = Field(
        1, ge=0, description=("seed of sample order, augmentation and new layers")
    )


class DistillSettings(Settings):
    """Losses of the students in addition to `losses`; a weight of 0 disables a loss."""

    teacher: str = Field(
        "",
        description="checkpoint, or the name of weights in teachers/; for landmarks "
        "only, also an .onnx file or a .toml file that describes a "
        "third-party one; empty: none",
    )
    cached: bool = Field(
        False,
        description="run the teacher once per face and cache its landmarks on disk",
    )
    pixel_wise: NonNegative = Field(
        0.0,
        description="weight of the squared difference of heatmaps (Light-ResNet50, eq. 3)",
    )
    pair_wise: NonNegative = Field(
        0.0,
        description="weight of the differences of self-similarities (Light-ResNet50, eq. 4-6)",
    )
    heatmap_kl: NonNegative = Field(
        0.0,
        description="weight of the KL divergence from the teacher's heatmaps (SD-HRNet, eq. 3)",
    )
    mimicry: NonNegative = Field(
        0.0, description="weight of the squared difference of features at stride 4"
    )
    landmarks: NonNegative = Field(
        0.0, description="weight of the smooth L1 distance to the teacher's landmarks"
    )
    peer_kl: NonNegative = Field(
        0.0,
        description=(
            "weight of the KL divergence from the mean of all students (SD-HRNet, eq. 4)"
        ),
    )
    temperature: float = Field(
        1.0,
        gt=0,
        description=(
            "temperature that divides the logits of both distributions of a divergence"
        ),
    )
    students: int = Field(
        1, ge=1, description="students trained together; the first one is exported"
    )
    random_init_peers: bool = Field(
        False,
        description=(
            "initialize all students except the first randomly, not from `init_from`"
        ),
    )
    mask_prob: Probability = Field(
        0.0, description="fraction of crops that are partly masked for a student"
    )
    mask_size: tuple[Side, Side] = Field(
        (0.15, 0.6),
        description="shortest and longest side of a mask, as fractions of the crop side",
    )

    @field_validator("mask_size")
    @classmethod
    def _rising(cls, sides: tuple[float, float]) -> tuple[float, float]:
        if sides[0] > sides[1]:
            raise ValueError(
                f"the sides are {list(sides)}; expected the shorter one first"
            )
        return sides


class SlimSettings(Settings):
    """Training of a network to be slimmed, and the amounts to remove."""

    sparsity: float = Field(
        5e-5,
        ge=0,
        description="weight of the sum of the importance factors (SD-HRNet, eq. 2)",
    )
    factor_lr: float = Field(
        1.8e-4, gt=0, description="peak learning rate of the importance factors"
    )
    factor_interval: int = Field(
        2,
        ge=2,
        description=(
            "every N-th step updates the importance factors, all others the weights"
        ),
    )
    thresholds: tuple[float, ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5),
        description=(
            "for a supernet: thresholds below which factors are removed, one pruned "
            "network each"
        ),
    )
    relative: bool = Field(
        False,
        description=(
            "for a supernet: compare each factor with the largest one of its block"
        ),
    )
    pruning_ratios: tuple[float, ...] = Field(
        (0.2, 0.4, 0.6),
        description=(
            "for other networks: fractions of channels to remove, one pruned network "
            "each"
        ),
    )


class RefineSettings(Settings):
    """Refinement of a frame's heatmaps with earlier frames, and the clips to train on."""

    decay: float = Field(
        0.3,
        gt=0,
        lt=1,
        description=(
            "factor by which the weight of a frame decreases with each later frame "
            "(Yin et al., eq. 13)"
        ),
    )
    window: int = Field(
        8, ge=2, description="consecutive frames per sample; train.batch counts windows"
    )
    clips: int = Field(
        160, ge=0, description="synthetic clips made from the data's images"
    )
    frames: int = Field(40, ge=2, description="frames of a synthetic clip")
    occluders: int = Field(
        1,
        ge=0,
        description="objects that pass in front of the face in a synthetic clip",
    )
    videos: tuple[str, ...] = Field(
        (),
        description=(
            "paths of unlabeled videos or folders of videos, also relative to the "
            "data root"
        ),
    )
    labels: str = Field(
        "accurate", description="model used by the tracker that labels the videos"
    )
    video_frames: int = Field(
        240, ge=2, description="number of frames to use from the start of each video"
    )
