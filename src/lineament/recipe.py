"""Recipe: everything a training needs, read from TOML; a file lists only what differs from these settings, and why."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from .errors import RecipeError, did_you_mean

Side = Annotated[float, Field(gt=0, le=1)]


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataPart(Settings):
    """One data set of the mixture."""

    reader: str = Field(
        description="a reader by name, e.g. 300w; folder: images, each with a .pts file"
    )
    part: str = Field("", description="the part of the data set; empty: the one to train on")
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
        1.0, gt=0, le=1, description="fraction of the training during which the set is used"
    )
    annotated: bool = Field(
        True,
        description="false: use only the boxes of its points; a teacher predicts the points",
    )


class Augmentation(Settings):
    """Random changes of a training crop. Probabilities are per sample."""

    flip: float = Field(0.5, ge=0, le=1, description="probability of mirroring")
    rotation_deg: float = Field(18.0, ge=0, description="standard deviation of the small rotations")
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
        0.8, ge=0, le=1, description="probability of changed brightness, contrast, gamma and tint"
    )
    grey: float = Field(0.1, ge=0, le=1, description="probability of a gray image")
    blur: float = Field(0.15, ge=0, le=1, description="probability of Gaussian or motion blur")
    low_resolution: float = Field(0.15, ge=0, le=1, description="probability of a lower resolution")
    jpeg: float = Field(0.1, ge=0, le=1, description="probability of strong JPEG artefacts")
    noise: float = Field(0.12, ge=0, le=1, description="probability of sensor noise")
    dark: float = Field(
        0.08, ge=0, le=1, description="probability of a very dark image or a hard shadow"
    )
    occlusion: float = Field(0.35, ge=0, le=1, description="probability of one to three occluders")


class ModelSettings(Settings):
    """Settings of every kind of landmark model: how crops are made for it, and how it starts."""

    kind: str = Field(description="the kind of model")
    size: int = Field(128, ge=32, description="side of the crop in pixels, a multiple of 32")
    padding: float = Field(
        1.3, gt=1, description="side of the crop in longer sides of the landmark box"
    )
    imagenet: bool = Field(True, description="start the backbone from ImageNet weights")
    pruned_from: str = Field(
        "", description="a checkpoint of lineament slim whose numbers of channels the network has"
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
    attention: float = Field(
        0.3, ge=0, description="what an axis takes from the other, in attentive1d heads"
    )
    decoder: Literal["expectation", "argmax", "quarter", "dark"] = Field(
        "expectation", description="how landmarks are read from heatmaps, except in training"
    )
    channels: int = Field(96, ge=8, description="width of the feature pyramid")


MODEL_KINDS: dict[str, type[ModelSettings]] = {
    "landmark-net": LandmarkNetSettings,
    "refined-net": LandmarkNetSettings,
}
"""The [model] part of a recipe by its kind; models/registry.py builds them."""


def _of_its_kind(values: object) -> object:
    """Read the [model] part by the settings of its kind, landmark-net if it names none."""
    if not isinstance(values, dict):
        return values
    kind = values.get("kind", "landmark-net")
    if kind not in MODEL_KINDS:
        raise ValueError(f"no kind of model is called {kind!r}; {did_you_mean(kind, MODEL_KINDS)}")
    return MODEL_KINDS[kind].model_validate(values)


class TrainSettings(Settings):
    """The schedule."""

    steps: int = Field(ge=1, description="optimizer steps in all")
    batch: int = Field(
        32, ge=1, description="faces per step, over all processes and accumulated batches"
    )
    accumulate: int = Field(1, ge=1, description="backward passes per step")
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="the optimizer")
    lr: float = Field(1.5e-3, gt=0, description="highest learning rate")
    backbone_lr: float = Field(
        1.0, gt=0, description="the backbone's learning rate as a factor of lr"
    )
    weight_decay: float = Field(0.01, ge=0, description="weight decay, not on norms and biases")
    schedule: Literal["cosine", "steps"] = Field("cosine", description="decay of the learning rate")
    milestones: tuple[float, ...] = Field(
        (0.625, 0.875),
        description="fractions of the training at which steps divides the rate by 10",
    )
    warmup: int = Field(200, ge=0, description="steps over which the learning rate rises")
    clip: float = Field(5.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="decay of the averaged weights, which are validated and exported",
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="parts of the network whose weights and norm statistics stay as they are, by "
        'the beginnings of their names: "backbone", "head.out"',
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU if torch finds one"
    )
    bf16: bool = Field(True, description="bfloat16 autocast")
    threads: int = Field(0, ge=0, description="torch threads; 0: torch's own choice")
    num_workers: int = Field(
        1, ge=0, description="processes that make crops; 0: in the training process"
    )
    checkpoint_minutes: float = Field(3.0, ge=0, description="minutes between checkpoints")
    validate_every: int = Field(1000, ge=1, description="steps between validations")
    seed: int = Field(1, ge=0, description="seed of order, augmentation and new layers")


class DistillSettings(Settings):
    """Losses of the students in addition to `losses`; a weight of 0 leaves a loss out."""

    teacher: str = Field(
        "", description="a checkpoint, or an .onnx file, which gives landmarks only; empty: none"
    )
    cached: bool = Field(
        False,
        description="run the teacher once per face and keep its landmarks on disk",
    )
    pixel_wise: float = Field(
        0.0,
        ge=0,
        description="weight of the squared difference of heatmaps (Light-ResNet50, eq. 3)",
    )
    pair_wise: float = Field(
        0.0,
        ge=0,
        description="weight of the differences of self-similarities (Light-ResNet50, eq. 4-6)",
    )
    heatmap_kl: float = Field(
        0.0,
        ge=0,
        description="weight of the divergence from the teacher's heatmaps (SD-HRNet, eq. 3)",
    )
    mimicry: float = Field(
        0.0, ge=0, description="weight of the squared difference of features at stride 4"
    )
    landmarks: float = Field(
        0.0, ge=0, description="weight of the smooth L1 distance to the teacher's landmarks"
    )
    peer_kl: float = Field(
        0.0,
        ge=0,
        description="weight of the divergence from the mean of the students (SD-HRNet, eq. 4)",
    )
    temperature: float = Field(
        1.0, gt=0, description="divides the logits of both sides of a divergence"
    )
    students: int = Field(
        1, ge=1, description="students that learn together; the first one is exported"
    )
    random_init_peers: bool = Field(
        False,
        description="students after the first start from random weights, not from `init_from`",
    )
    mask_prob: float = Field(
        0.0, ge=0, le=1, description="share of crops that are partly masked for a student"
    )
    mask_size: tuple[Side, Side] = Field(
        (0.15, 0.6),
        description="shortest and longest side of a mask, as fractions of the crop's",
    )

    @field_validator("mask_size")
    @classmethod
    def _rising(cls, sides: tuple[float, float]) -> tuple[float, float]:
        if sides[0] > sides[1]:
            raise ValueError(f"the sides are {list(sides)}; wanted the shorter first")
        return sides


class DetectorSettings(Settings):
    """A face detector, and the scenes it is trained on."""

    widths: tuple[int, int, int, int, int] = Field(
        (16, 32, 64, 96, 160), description="channels at strides 2, 4, 8, 16, 32"
    )
    depths: tuple[int, int, int, int] = Field(
        (1, 3, 4, 3), description="further blocks at strides 4, 8, 16, 32"
    )
    pyramid: int = Field(48, ge=8, description="channels of the feature pyramid")
    size: int = Field(256, ge=64, multiple_of=64, description="side of a training scene in pixels")
    shares: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: {
            "wider": 0.3,
            "masks": 0.22,
            "landmarks": 0.3,
            "background": 0.18,
        },
        description="relative frequencies of the kinds of photos in scenes: folders of detection/, "
        "and landmarks for faces of 300w and infanface",
    )
    validation_scenes: int = Field(400, ge=1, description="scenes made of validation photos")


class SlimSettings(Settings):
    """Training of a network to be slimmed, and how much of it is removed."""

    sparsity: float = Field(
        5e-5, ge=0, description="weight of the sum of the importance factors (SD-HRNet, eq. 2)"
    )
    factor_lr: float = Field(
        1.8e-4, gt=0, description="highest learning rate of the importance factors"
    )
    every: int = Field(
        2, ge=2, description="every N-th step moves the factors, the others the weights"
    )
    thresholds: tuple[float, ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5),
        description="for a supernet: factors below are removed; one slimmed network each",
    )
    relative: bool = Field(
        False,
        description="for a supernet: compare each factor with the largest of its block",
    )
    shares: tuple[float, ...] = Field(
        (0.2, 0.4, 0.6),
        description="for other networks: shares of channels to remove; one slimmed network each",
    )


class RefineSettings(Settings):
    """Refinement of a frame's heatmaps by those of earlier frames, and the clips to learn from."""

    decay: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="weight of a frame one frame later (Yin et al., eq. 13)",
    )
    window: int = Field(
        8, ge=2, description="consecutive frames per sample; train.batch counts windows"
    )
    clips: int = Field(160, ge=0, description="synthetic clips made of the data's images")
    frames: int = Field(40, ge=2, description="frames of a synthetic clip")
    occluders: int = Field(
        1, ge=0, description="objects that pass in front of the face in a synthetic clip"
    )
    videos: tuple[str, ...] = Field(
        (), description="unlabeled videos, or folders of them: paths, or below the data root"
    )
    labels: str = Field("accurate", description="the model with which a tracker labels the videos")
    video_frames: int = Field(240, ge=2, description="first frames of each video that are used")


NAME = r"^\w[\w.+-]*$"
"""Names of runs, which files and folders are called by; checkpoints bring names of others."""


class Recipe(Settings):
    """A training."""

    name: str = Field(pattern=NAME, description="name of the run and its files")
    scheme: str = Field("ibug68", description="scheme of the predicted landmarks")
    init_from: str = Field(
        "", description="a checkpoint or .safetensors file to start from; empty: none"
    )
    init_parts: dict[str, str] = Field(
        default_factory=dict,
        description="parts of the network that start from other files, after init_from: "
        'head = "runs/other/checkpoint.pt"',
    )
    detector: DetectorSettings | None = Field(
        None, description="a face detector in place of landmarks: its network and scenes"
    )
    data: tuple[DataPart, ...] = Field(
        (), validate_default=True, description="the mixture; not for a face detector"
    )
    model: Annotated[SerializeAsAny[ModelSettings], BeforeValidator(_of_its_kind)] = Field(
        default=LandmarkNetSettings.model_validate({}), description="the network"
    )
    augment: Augmentation = Field(
        default=Augmentation.model_validate({}), description="the augmentation"
    )
    losses: dict[str, float] = Field(
        default_factory=lambda: {"cross_entropy": 1.0, "smooth_l1": 1.0},
        description="weights of the losses by name",
    )
    distill: DistillSettings | None = Field(
        None, description="for lineament distill: what the students learn from"
    )
    slim: SlimSettings | None = Field(
        None, description="for lineament slim: how the network is trained and slimmed"
    )
    refine: RefineSettings | None = Field(
        None, description="for lineament refine: the refinement and its clips"
    )
    sigma: float = Field(
        1.2, gt=0, description="width of the target Gaussian, cells of a map of stride 4"
    )
    train: TrainSettings = Field(description="the schedule")

    @property
    def kind(self) -> str:
        """The kind of model, a key of KINDS in models/registry.py."""
        return "face-detector" if self.detector else self.model.kind

    @property
    def landmark_net(self) -> LandmarkNetSettings:
        """The settings of a landmark network. Raises: RecipeError for a model of another kind."""
        if not isinstance(self.model, LandmarkNetSettings):
            raise RecipeError(
                f"the recipe {self.name!r} has a model of kind {self.model.kind!r}; wanted a "
                "landmark-net"
            )
        return self.model

    def with_model(self, **changes: Any) -> "Recipe":
        """Return the recipe with some settings of [model] changed."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    @field_validator("data")
    @classmethod
    def _some_data(cls, data: tuple[DataPart, ...], info: ValidationInfo) -> tuple[DataPart, ...]:
        if not data and not info.data.get("detector"):
            raise ValueError("wanted at least one [[data]] part, or a [detector] part")
        return data


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in the TOML file at `path`, changed by `overrides` such as "train.steps=100".

    Raises: RecipeError where the file, a key or a value is not right.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(
            f"{path}: cannot be read as a recipe ({error}); wanted a TOML file"
        ) from error
    for override in overrides:
        _set(values, override)
    recipe = make_recipe(values, str(path))
    return recipe.model_copy(
        update={"data": tuple(_beside(part, path.parent) for part in recipe.data)}
    )


def _beside(part: DataPart, home: Path) -> DataPart:
    """`part`, its folder found from the recipe's own folder `home` where it is not found from the current directory."""
    if part.folder and not Path(part.folder).exists() and (home / part.folder).exists():
        return part.model_copy(update={"folder": str(home / part.folder)})
    return part


def make_recipe(values: dict[str, Any], source: str = "recipe") -> Recipe:
    """The recipe of `values`.    Raises: RecipeError that names the key and, for an unknown one, the nearest."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise RecipeError(
                f"{source}: unknown key {key!r}; {_nearest_key(first['loc'], values)}"
            ) from error
        given = "" if first["type"] == "missing" else f" (given {str(first['input'])[:60]})"
        raise RecipeError(f"{source}: {key}{given}: {first['msg']}; mend that key") from error


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override!r}; wanted key=value, e.g. train.steps=100")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    place: Any = values
    try:
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise RecipeError(
            f"--set {override!r}: no such place in the recipe; wanted a key as in train.steps=100 or data.0.repeat=2"
        ) from error


def _nearest_key(location: tuple[int | str, ...], values: dict[str, Any]) -> str:
    model: Any = Recipe
    for part in location[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            # of `DistillSettings | None`, the settings
            settings = next(
                (kind for kind in get_args(annotation) if kind is not type(None)), annotation
            )
            model = DataPart if part == "data" else settings
    if location[0] == "model":
        model = MODEL_KINDS[values["model"].get("kind", "landmark-net")]
    return did_you_mean(str(location[-1]), model.model_fields)
