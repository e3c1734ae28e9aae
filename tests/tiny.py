"""A backbone of four convolutions and short training runs of it."""

from torch import nn

from lineament.models.backbones.registry import BACKBONES
from lineament.recipe.file import make_recipe
from lineament.training.checkpoint import load_checkpoint
from lineament.training.registry import task_for
from lineament.training.trainer import Trainer


class Tiny(nn.Module):
    """(B, 3, H, W) -> feature maps at strides 4, 8, 16 and 32."""

    strides = (4, 8, 16, 32)
    channels = (16, 16, 16, 16)
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self):
        super().__init__()
        sides = (
            (3, 5, 4),
            (16, 3, 2),
            (16, 3, 2),
            (16, 3, 2),
        )  # channels in, kernel, stride
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(c, 16, k, s, k // 2, bias=False),
                nn.BatchNorm2d(16),
                nn.ReLU(),
            )
            for c, k, s in sides
        )

    def forward(self, x):
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps


def register():
    """Register the backbone "tiny"."""
    BACKBONES["tiny"] = Tiny


def small(faces, **changes):
    """Return a recipe for a tiny network on drawn faces in fp32; "train.steps" changes one key."""
    folders = faces if isinstance(faces, tuple) else (faces,)
    values = {
        "name": "small",
        "data": [{"reader": "folder", "folder": str(folder)} for folder in folders],
        "model": {"backbone": "tiny", "imagenet": False, "channels": 16, "size": 64},
        "train": {
            "steps": 10,
            "batch": 4,
            "warmup": 2,
            "bf16": False,
            "threads": 1,
            "num_workers": 0,
            "validate_every": 2,
        },
    }
    for key, value in changes.items():
        place, _, last = key.rpartition(".")
        (values.setdefault(place, {}) if place else values)[last] = value
    return make_recipe(values)


def trainer(recipe, folder, resume=False, kind="train", **more):
    """Return the trainer of the task called `kind`, in `folder`."""
    return Trainer(
        task_for(recipe, kind), folder, folder, folder.parent / "cache", resume, **more
    )


def trained(recipe, folder, resume=False, kind="train", **more):
    """Train with `recipe` and return the last checkpoint."""
    return load_checkpoint(trainer(recipe, folder, resume, kind, **more).run())


def killed(run, saved, dies):
    """Train until the run is killed at step `dies`; the last checkpoint is from step `saved`."""
    for step in run.steps():
        if step == saved:
            run.save()
        if step == dies:
            return
