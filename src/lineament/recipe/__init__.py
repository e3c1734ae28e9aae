"""Recipes: every setting of a training run, without torch. file.py reads them from TOML."""

from .data import Augmentation, DataPart, PresenceSettings, TaskSettings
from .detector import DetectorSettings
from .model import MODEL_KINDS, LandmarkNetSettings
from .recipe import Recipe
from .settings import NAME, ModelSettings, Settings
from .training import DistillSettings, RefineSettings, SlimSettings, TrainSettings

__all__ = [
    "MODEL_KINDS",
    "NAME",
    "Augmentation",
    "DataPart",
    "DetectorSettings",
    "DistillSettings",
    "LandmarkNetSettings",
    "ModelSettings",
    "PresenceSettings",
    "Recipe",
    "RefineSettings",
    "Settings",
    "SlimSettings",
    "TaskSettings",
    "TrainSettings",
]
