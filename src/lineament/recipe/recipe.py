"""Recipe: all settings of a training run."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ..errors import RecipeError
from .data import Augmentation, DataPart, PresenceSettings, TaskSettings
from .detector import DetectorSettings
from .model import LandmarkNetSettings, parse_model_settings
from .renamed_keys import with_renamed_keys
from .settings import NAME, ModelSettings, Settings
from .training import DistillSettings, RefineSettings, SlimSettings, TrainSettings


class Recipe(Settings):
    """All settings of a training run."""

    name: str = Field(pattern=NAME, description="name of the run and its files")
    scheme: str = Field(
        "ibug68",
        description="scheme of the predicted landmarks: a name, or the path of a .toml file",
    )
    own_schemes: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="user-defined schemes by name, copied from the files named by "
        "scheme, so that a checkpoint needs no other file",
    )
    init_from: str = Field(
        "",
        description="checkpoint or .safetensors file to start from, or the name of "
        "one in teachers/; empty: none",
    )
    init_parts: dict[str, str] = Field(
        default_factory=dict,
        description="parts of the network that start from other files, after init_from: "
        'head = "runs/other/checkpoint.pt"',
    )
    detector: DetectorSettings | None = Field(
        None,
        description=(
            "a face detector to train instead of a landmark model: its network and "
            "scenes"
        ),
    )
    model: Annotated[
        SerializeAsAny[ModelSettings], BeforeValidator(parse_model_settings)
    ] = Field(default=LandmarkNetSettings.model_validate({}), description="the network")
    data: tuple[DataPart, ...] = Field(
        (),
        validate_default=True,
        description="data sets to train on; not used by a face detector or a "
        "classifier",
    )
    augment: Augmentation = Field(
        default=Augmentation.model_validate({}), description="the augmentation"
    )
    presence: PresenceSettings | None = Field(
        None, description="for model.presence: the crops without a face"
    )
    tasks: TaskSettings | None = Field(
        None, description="attributes learned together with the landmarks"
    )
    losses: dict[str, float] = Field(
        default_factory=lambda: {"cross_entropy": 1.0, "smooth_l1": 1.0},
        description="weight of each loss by name",
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
        1.2,
        gt=0,
        description="standard deviation of the target Gaussian, in pixels of a "
        "heatmap with stride 4",
    )
    train: TrainSettings = Field(description="steps, optimizer, schedule and device")

    @property
    def kind(self) -> str:
        """Kind of model, a key of KINDS in models/registry.py."""
        return "face-detector" if self.detector else self.model.kind

    @property
    def landmark_net(self) -> LandmarkNetSettings:
        """Settings of a landmark network.

        Raises:
            RecipeError: If the model is of another kind.
        """
        if not isinstance(self.model, LandmarkNetSettings):
            raise RecipeError(
                f"the recipe {self.name!r} has a model of kind {self.model.kind!r}; "
                "expected a landmark-net"
            )
        return self.model

    def with_model(self, **changes: Any) -> "Recipe":
        """Return the recipe with some settings of [model] changed."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        return with_renamed_keys(values) if isinstance(values, Mapping) else values

    @field_validator("data")
    @classmethod
    def _some_data(
        cls, data: tuple[DataPart, ...], info: ValidationInfo
    ) -> tuple[DataPart, ...]:
        model = info.data.get("model")
        reads_faces = model is None or model.reads_faces
        if not data and reads_faces and not info.data.get("detector"):
            raise ValueError(
                "no data set; add at least one [[data]] part, or [detector]"
            )
        return data
