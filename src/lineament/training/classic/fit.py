"""Interface of fits of models without a network."""

from abc import ABC, abstractmethod

from ...classic.numpy_model import NumpyModel
from ...recipe import Recipe
from .faces import GrayFaces


class Fit(ABC):
    """Stepwise fit of one kind of model; methods are called in the order listed here."""

    def __init__(self, recipe: Recipe, faces: GrayFaces) -> None:
        """Store the recipe and the training faces, which include mirror images."""
        self.recipe, self.faces = recipe, faces

    @abstractmethod
    def first(self) -> NumpyModel:
        """Return the model before the first step."""

    @abstractmethod
    def resume_from_model(self, model: NumpyModel) -> None:
        """Prepare to continue from a `model` that was read from a file."""

    @abstractmethod
    def step(self, model: NumpyModel) -> NumpyModel:
        """Return the model after one more step."""

    @abstractmethod
    def training_error(self) -> float:
        """Return the mean training error after the last step, relative to the box side."""
