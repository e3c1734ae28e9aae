"""The contract of fits of models without a network."""

from abc import ABC, abstractmethod

from ...classic.numpy_model import NumpyModel
from ...recipe import Recipe
from .faces import GrayFaces


class Fit(ABC):
    """One kind of fit, step by step; methods are called in the order in which they are listed."""

    def __init__(self, recipe: Recipe, faces: GrayFaces) -> None:
        """Take the recipe, and the training faces, each also mirrored."""
        self.recipe, self.faces = recipe, faces

    @abstractmethod
    def first(self) -> NumpyModel:
        """Return the model before the first step."""

    @abstractmethod
    def catch_up(self, model: NumpyModel) -> None:
        """Continue from a `model` that was read from a file."""

    @abstractmethod
    def step(self, model: NumpyModel) -> NumpyModel:
        """Return the model after one more step."""

    @abstractmethod
    def training_error(self) -> float:
        """Return the mean error of the training faces after the last step, in box sides."""
