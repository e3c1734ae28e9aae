"""Training of a supernet's weights and importance factors in turn, with an L1 penalty that drives factors to 0.

Stands on train.py. Source: Lin et al. 2023 (SD-HRNet), section 3.1, eq. 2.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ...models.backbones.hr_supernet import FusionBlock
from ...recipe import Recipe, SlimSettings
from ..optimizer import make_optimizer
from ..trainer import Trainer

SUPERNET = "hr-supernet"


def slim_settings(recipe: Recipe) -> SlimSettings:
    """The [slim] part of `recipe`.    Raises: RecipeError where it has none."""
    if recipe.slim is None:
        raise RecipeError(
            f"the recipe {recipe.name!r} has no [slim]; add it, or use lineament train"
        )
    return recipe.slim


def trainer_for(recipe: Recipe, *arguments: Any, **more: Any) -> Trainer:
    """The Slimmer of a supernet's recipe; a plain Trainer of any other, whose channels are cut after training.

    Arguments as for Trainer.    Raises: RecipeError where the recipe has no [slim].
    """
    slim_settings(recipe)
    kind = Slimmer if recipe.model.backbone == SUPERNET else Trainer
    return kind(recipe, *arguments, **more)


class Slimmer(Trainer):
    """One training of a supernet: `Slimmer(recipe, folder, data_root, cache).run()`; arguments and errors as Trainer.

    Raises also: RecipeError where the recipe has no [slim] or another backbone.
    """

    @property
    def settings(self) -> SlimSettings:
        """The [slim] part of the recipe."""
        if self.recipe.model.backbone != SUPERNET:
            raise RecipeError(
                f"the backbone {self.recipe.model.backbone!r} has no importance factors; "
                f"set model.backbone = {SUPERNET!r}"
            )
        return slim_settings(self.recipe)

    def build(self) -> nn.Module:
        """The supernet of the recipe."""
        _ = self.settings
        return super().build()

    def factors(self) -> list[nn.Parameter]:
        """The importance factors, a vector for each block."""
        return [block.factors for block in self.model.modules() if isinstance(block, FusionBlock)]

    def make_optimizer(self) -> torch.optim.Optimizer:
        """As for any training; the factors have a learning rate of their own and no decay."""
        optimizer = make_optimizer(self.model, self.recipe.train)
        factors = self.factors()
        known = {id(factor) for factor in factors}
        for group in optimizer.param_groups:
            group["params"] = [
                parameter for parameter in group["params"] if id(parameter) not in known
            ]
        share = self.settings.factor_lr / self.recipe.train.lr
        optimizer.add_param_group({"params": factors, "factor": share, "weight_decay": 0.0})
        return optimizer

    def moves_factors(self) -> bool:
        """Whether this step moves the factors; the others move the weights."""
        return self.step % self.settings.every == self.settings.every - 1

    def graph_key(self) -> object:
        """Whether factors or weights move."""
        return self.moves_factors()

    def before_step(self) -> None:
        """Leaves the gradients of what this step moves."""
        known = {id(factor) for factor in self.factors()}
        for parameter in self.model.parameters():
            if (id(parameter) in known) != self.moves_factors():
                parameter.grad = None

    def losses(
        self, crops: Tensor, landmarks_crop: Tensor, count: int | Tensor
    ) -> dict[str, Tensor]:
        """Those of the recipe, and "sparsity": the penalty on the factors."""
        losses = super().losses(crops, landmarks_crop, count)
        # each part of the batch carries its share of the penalty, so that the whole step has it once
        share = len(crops) / self.recipe.train.batch
        penalty = self.settings.sparsity * share * torch.cat([*self.factors()]).abs().sum()
        return losses | {"sparsity": penalty, "total": losses["total"] + penalty}
