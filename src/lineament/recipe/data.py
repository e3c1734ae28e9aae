"""Data settings of a recipe: mixture and augmentation."""

from typing import Literal

from pydantic import Field, model_validator

from .settings import NonNegative, Probability, Settings


class DataPart(Settings):
    """One data set of the mixture."""

    reader: str = Field(
        description=(
            "name of the reader, such as 300w, or folder for images with .pts files"
        )
    )
    part: str = Field("", description="part of the data set; empty: the training part")
    folder: str = Field(
        "",
        description="folder of the data set: absolute, or relative to the recipe, the "
        "current directory or the data root; empty: the reader's default "
        "folder",
    )
    scheme: str = Field(
        "",
        description="scheme of the points, if the files do not state it: a name, or "
        "the path of a .toml file; empty: the recipe's scheme, if it has "
        "that number of points",
    )
    category: str = Field(
        "",
        description=("category or label of the faces; empty: the one whose points fit"),
    )
    pictures: str = Field(
        "",
        description="folder of the images, if they are not where the files say; "
        "resolved like folder",
    )
    first_pixel: float | None = Field(
        None,
        description="coordinate of the center of the first pixel in the files; unset: "
        "the convention of their format",
    )
    group: str = Field(
        "",
        description="rule that identifies the faces of one person, which are kept in "
        "one split: the name of a column, the number of a folder below "
        "the data set's (1: the first), or a pattern such as "
        "'(person[0-9]+)_'; empty: one group per photo",
    )
    validation: bool | None = Field(
        None,
        description="true: use all faces for validation; false: none; unset: one in ten",
    )
    repeat: int = Field(
        1, ge=1, description=("number of times each face occurs in an epoch")
    )
    exclude: tuple[str, ...] = Field(
        (),
        description=(
            "faces to leave out, by name relative to the data set's folder; suffixes "
            "are ignored"
        ),
    )
    use_until: float = Field(
        1.0,
        gt=0,
        le=1,
        description="fraction of training during which the data set is used",
    )
    annotated: bool = Field(
        True,
        description=(
            "false: use the points only to compute boxes; a teacher predicts the "
            "landmarks"
        ),
    )


class Augmentation(Settings):
    """Random changes to a training crop. Probabilities are per sample."""

    flip: Probability = Field(0.5, description="probability of mirroring")
    rotation_deg: NonNegative = Field(
        18.0, description="standard deviation of the small rotations, degrees"
    )
    large_rotation: Probability = Field(
        0.2, description="probability of drawing the rotation uniformly instead"
    )
    large_rotation_deg: float = Field(
        60.0, ge=0, le=180, description="largest uniformly drawn rotation, degrees"
    )
    scale: NonNegative = Field(
        0.09,
        description="standard deviation of the log of the scale, clipped at 2.5 deviations",
    )
    shift: NonNegative = Field(
        0.05,
        description="standard deviation of the shift, as a fraction of the box side, clipped "
        "at 2.5 deviations",
    )
    color: Probability = Field(
        0.8, description="probability of random brightness, contrast, gamma and tint"
    )
    gray: Probability = Field(0.1, description="probability of a gray image")
    blur: Probability = Field(
        0.15, description="probability of Gaussian or motion blur"
    )
    low_resolution: Probability = Field(
        0.15, description="probability of a reduced resolution"
    )
    jpeg: Probability = Field(0.1, description="probability of strong JPEG artifacts")
    noise: Probability = Field(0.12, description="probability of sensor noise")
    dark: Probability = Field(
        0.08, description="probability of a very dark image or a hard shadow"
    )
    occlusion: Probability = Field(
        0.35, description="probability of one to three occluders"
    )
    border: Probability = Field(
        0.0, description="probability of black sides, as in a crop at the image border"
    )


class PresenceSettings(Settings):
    """Crops without a face and faces without landmarks, for training presence."""

    negative_fraction: float = Field(
        0.15,
        gt=0,
        lt=1,
        description=("fraction of an epoch's crops that show no face"),
    )
    photos: tuple[Literal["objects", "pets", "background"], ...] = Field(
        ("objects", "pets", "background"),
        description="kinds of photos without a face: folders in detection/",
    )
    hard_negatives: str = Field(
        "",
        description="file written by `lineament mine-negatives`, in the cache folder: "
        "boxes in these photos that the face detector mistakes for faces; "
        "empty: none",
    )
    hard_negative_prob: Probability = Field(
        0.5,
        description=(
            "probability of cropping a hard negative instead of a random region, in a "
            "photo with hard negatives"
        ),
    )
    region_fraction: Probability = Field(
        0.35,
        description=(
            "fraction of the crops without a face that show a region of a face, such "
            "as hair, an ear or one eye"
        ),
    )
    box_only: tuple[Literal["wider", "masks", "mtfl"], ...] = Field(
        (),
        description="kinds of photos whose faces, given by boxes, train only presence",
    )
    box_only_fraction: float = Field(
        0.05,
        gt=0,
        lt=1,
        description=("fraction of an epoch's crops that show such faces"),
    )
    box_only_min_px: float = Field(
        20.0,
        gt=0,
        description=("smallest box side of such faces, in pixels of the photo"),
    )

    @model_validator(mode="after")
    def _leaves_faces(self) -> "PresenceSettings":
        if self.negative_fraction + self.box_only_fraction >= 1:
            raise ValueError(
                f"negative_fraction and box_only_fraction are {self.negative_fraction} "
                f"and {self.box_only_fraction}; expected a sum below 1"
            )
        return self


class TaskSettings(Settings):
    """Attributes that a network learns together with landmarks."""

    groups: dict[str, tuple[str, ...]] = Field(
        default_factory=lambda: {
            "male": ("male",),
            "smiling": ("smiling",),
            "glasses": ("glasses",),
            "pose": ("left_profile", "left", "frontal", "right", "right_profile"),
        },
        description="attributes of each task: a single one, true or false, or several "
        "mutually exclusive ones",
    )
    weights: dict[str, NonNegative] = Field(
        default_factory=dict,
        description=(
            "weight of each task's loss relative to the landmark loss; unset: 1"
        ),
    )
    stop_threshold: NonNegative = Field(
        0.0,
        description=(
            "stop a task when its early-stopping criterion exceeds this; 0: never"
        ),
    )
    stop_window: int = Field(
        5,
        ge=2,
        description=(
            "number of validations over which the decrease of the training error is "
            "measured"
        ),
    )

    @model_validator(mode="after")
    def _weights_are_of_tasks(self) -> "TaskSettings":
        for name in self.weights:
            if name not in self.groups:
                raise ValueError(
                    f"weights names {name!r}; expected one of {', '.join(self.groups)}"
                )
        return self

    def attributes(self) -> list[str]:
        """Return the attributes of all tasks, in logit order."""
        names: list[str] = []
        for group in self.groups.values():
            names.extend(group)
        return names

    def weight(self, task: str) -> float:
        """Return the weight of a task."""
        return self.weights.get(task, 1.0)
