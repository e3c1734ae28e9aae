"""Train the weights and the importance factors of a supernet alternately.

An L1 penalty drives the factors to 0. Depends on torch.
Source: Lin et al. 2023 (SD-HRNet), section 3.1, eq. 2.
"""

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ...models.backbones.hr_supernet import FusionBlock
from ...recipe import LandmarkNetSettings, Recipe, SlimSettings
from ..batch import Batch
from ..landmark_task import LandmarkTask

SUPERNET = "hr-supernet"


def slim_settings(recipe: Recipe) -> SlimSettings:
    """Return the [slim] part of `recipe`.

    Raises:
        RecipeError: If it has none.
    """
    if recipe.slim is None:
        raise RecipeError(
            f"the recipe {recipe.name!r} has no [slim]; add it, or use lineament train"
        )
    return recipe.slim


def prune_task(recipe: Recipe) -> LandmarkTask:
    """Return the task for a network to be pruned: only a supernet has factors to train.

    Other networks are trained as usual; their channels are removed afterwards.

    Raises:
        RecipeError: If the recipe has no [slim], or a kind of model that cannot be pruned.
    """
    slim_settings(recipe)
    if not isinstance(recipe.model, LandmarkNetSettings):
        raise RecipeError(
            f"the recipe {recipe.name!r} has a {recipe.kind}, which cannot be slimmed; "
            "expected a landmark-net or a part-cascade"
        )
    if recipe.model.backbone == SUPERNET:
        return PruneTask(recipe)
    return LandmarkTask(recipe)


class PruneTask(LandmarkTask):
    """Train the weights of a supernet and the importance factors of its transforms."""

    def __init__(self, recipe: Recipe) -> None:
        if recipe.landmark_net.backbone != SUPERNET:
            raise RecipeError(
                f"the backbone {recipe.landmark_net.backbone!r} has no importance factors; "
                f"set model.backbone = {SUPERNET!r}"
            )
        self.settings = slim_settings(recipe)
        super().__init__(recipe)

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the usual optimizer; factors have their own learning rate and no decay."""
        optimizer = super().make_optimizer(model)
        factors = importance_factors(model)
        factor_ids = {id(factor) for factor in factors}
        for group in optimizer.param_groups:
            group["params"] = [
                weight for weight in group["params"] if id(weight) not in factor_ids
            ]
        rate_factor = self.settings.factor_lr / self.recipe.train.lr
        optimizer.add_param_group(
            {"params": factors, "factor": rate_factor, "weight_decay": 0.0}
        )
        return optimizer

    def updates_factors(self, step: int) -> bool:
        """Return whether `step` updates the factors; other steps update the weights."""
        return step % self.settings.factor_interval == self.settings.factor_interval - 1

    def graph_key(self, step: int) -> object:
        return self.updates_factors(step)

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of the recipe and "sparsity", the penalty on the factors."""
        losses = super().losses(model, batch, count)
        # scaled by the share of the batch, so that the penalty counts once per step
        batch_fraction = len(batch) / self.recipe.train.batch
        factors = torch.cat([*importance_factors(model)])
        penalty = self.settings.sparsity * batch_fraction * factors.abs().sum()
        return losses | {"sparsity": penalty, "total": losses["total"] + penalty}

    def before_step(self, model: nn.Module, step: int) -> None:
        """Clear the gradients of parameters that this step does not update."""
        factor_ids = {id(factor) for factor in importance_factors(model)}
        for parameter in model.parameters():
            if (id(parameter) in factor_ids) != self.updates_factors(step):
                parameter.grad = None


def importance_factors(model: nn.Module) -> list[nn.Parameter]:
    """Return the importance factors of `model`, a vector per block."""
    return [
        block.factors for block in model.modules() if isinstance(block, FusionBlock)
    ]
