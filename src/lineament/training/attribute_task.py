"""Training of landmarks together with attributes, or with one output per cluster of features.

Depends on torch.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.crop_cache import CropCache, plain_crops
from ..data.partners import Partners
from ..data.training_crops import TrainingCrops
from ..errors import RecipeError
from ..geometry import Array
from ..models.heads.output import STRIDE, HeadOutput
from ..models.shared_features import SharedFeatureNet
from ..recipe import Recipe
from ..recipe.model import SharedFeatureSettings
from .attributes import stop_criterion, task_counts, task_errors, task_losses
from .batch import Batch
from .build import read_initial_weights
from .clusters import gaussian_mixture, k_means
from .landmark_task import LandmarkTask
from .losses import total_loss
from .parallel import ProcessGroup
from .task import Context, Samples
from .validate import crop_size

BATCH = 64
"""Faces per forward pass without gradients."""


class AttributeTask(LandmarkTask):
    """Train landmarks together with the tasks of [tasks], each of which may stop early."""

    learns_attributes = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        names = [] if recipe.tasks is None else list(recipe.tasks.groups)
        self.running = names
        self.training_errors: dict[str, list[float]] = {name: [] for name in names}
        self.validation_errors: dict[str, list[float]] = {name: [] for name in names}
        self.sums = torch.zeros(len(names) + 1)
        """Sums of the tasks' training losses since the last validation, and number of batches."""
        self.clusters = np.zeros(0, np.intp)
        """(M,): cluster of each training face, ordered by source."""

    def samples(self, context: Context) -> Samples:
        samples = super().samples(context)
        assert isinstance(samples, TrainingCrops)
        self.crops = samples
        self._check_validation()
        self.sums = self.sums.to(context.device)
        if context.resume_from is None:
            self._find_clusters(context.note)
        return samples

    def _check_validation(self) -> None:
        """Check that the validation faces have the attributes of all tasks.

        Raises:
            RecipeError: If no validation face has one of the attributes.
        """
        tasks = self.recipe.tasks
        known: set[str] = set()
        for cache in self.validation_faces.values():
            known.update(cache.attributes)
        for name in [] if tasks is None else tasks.attributes():
            if name not in known:
                raise RecipeError(
                    f"no validation face has the attribute {name!r} of [tasks]; add the data "
                    "set mtfl without validation = false, or remove the task"
                )

    def new_network(self, context: Context) -> nn.Module:
        self.network = model = super().new_network(context)
        if context.resume_from is not None or not isinstance(model, SharedFeatureNet):
            return model
        if model.clusters > 1:
            _repeat_output(model, self.recipe)
        return model

    def _find_clusters(self, note: Callable[[str], None]) -> None:
        """Compute the clusters of a shared-features network, and each face's partners for swaps."""
        settings, model = self.recipe.model, self.network
        if not isinstance(settings, SharedFeatureSettings):
            return
        assert isinstance(model, SharedFeatureNet)
        faces = [source.cache for source in self.sources]
        clusters = np.zeros(sum(map(len, faces)), np.intp)
        if settings.clusters > 1:
            rows = [features_of(model, cache, settings.padding) for cache in faces]
            joined = np.concatenate(rows)
            rng = np.random.default_rng(self.recipe.train.seed)
            mixture = k_means(joined, settings.clusters, rng)
            if settings.mixture:
                mixture = gaussian_mixture(joined, mixture)
            model.set_clusters(mixture.centers, mixture.precisions, mixture.offsets)
            clusters = mixture.assign(joined)
            sizes = np.bincount(clusters, minlength=settings.clusters)
            note(
                f"{settings.clusters} clusters of {sizes.min()} to {sizes.max()} faces"
            )
        self._pair(clusters)

    def _pair(self, clusters: NDArray[np.intp]) -> None:
        """Allow faces of the same cluster to be swapped; `clusters` (M,) are ordered by source."""
        settings = self.recipe.model
        assert isinstance(settings, SharedFeatureSettings)
        self.clusters = clusters
        if settings.partner_prob:
            faces = [source.cache for source in self.sources]
            boundaries = np.cumsum([len(cache) for cache in faces])[:-1]
            parts = np.split(clusters, boundaries)
            options = settings.size, settings.padding, settings.partner_prob
            self.crops.partners = Partners(faces, parts, *options)

    def graph_key(self, step: int) -> object:
        return tuple(self.running)

    def count(self, batch: Batch) -> Tensor:
        """Return the counts of the landmark losses, followed by those of the tasks."""
        counts = super().count(batch)
        tasks = self.recipe.tasks
        if tasks is None:
            return counts
        return torch.cat([counts, task_counts(batch.attributes, tasks).to(counts)])

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        recipe = self.recipe
        if recipe.tasks is None:
            return super().losses(model, batch, count)
        assert batch.landmarks is not None
        with self.autocast(batch):
            raw = model(batch.crops)
        parts = total_loss(
            raw, batch.landmarks, recipe.losses, STRIDE, recipe.sigma, count
        )
        attribute_losses = task_losses(raw, batch.attributes, recipe.tasks)
        values = torch.stack(
            [*attribute_losses.values(), torch.ones_like(self.sums[0])]
        )
        self.sums.add_(values.detach())
        # means over the faces of this part become parts of the mean over the global batch
        own = task_counts(batch.attributes, recipe.tasks)
        fractions = own / count[-len(own) :].clamp(min=1)
        by_name = dict(zip(recipe.tasks.groups, fractions, strict=True))
        for name in self.running:
            weight = recipe.tasks.weight(name) * by_name[name]
            weighted = weight * attribute_losses[name]
            parts[name] = weighted
            parts["total"] = parts["total"] + weighted
        return parts

    def before_validation(self, processes: ProcessGroup) -> None:
        processes.all_reduce(self.sums)

    def after_validation(self, processes: ProcessGroup) -> None:
        """Stop the same tasks in all processes, which would add up different losses otherwise."""
        self.running = processes.broadcast(self.running)
        self.sums.zero_()

    def validate(self, model: nn.Module) -> dict[str, float]:
        results = super().validate(model)
        tasks = self.recipe.tasks
        if tasks is None:
            return results
        losses, error_rates = self._validate_tasks(model)
        *sums, count = self.sums.tolist()
        self.sums.zero_()
        for name, total in zip(tasks.groups, sums, strict=True):
            self.training_errors[name].append(total / max(count, 1))
            self.validation_errors[name].append(losses[name])
            results[f"{name}:wrong"] = error_rates[name]
            if self._should_stop(name):
                self.running = [task for task in self.running if task != name]
        return results

    def _should_stop(self, name: str) -> bool:
        """Return whether to stop a task now; False without a threshold or a weight."""
        tasks = self.recipe.tasks
        assert tasks is not None  # a task has a name only if the recipe has [tasks]
        weight = tasks.weight(name)
        if not tasks.stop_threshold or not weight:
            return False
        errors = self.training_errors[name], self.validation_errors[name]
        return stop_criterion(*errors, weight, tasks.stop_window) > tasks.stop_threshold

    @torch.no_grad()
    def _validate_tasks(
        self, model: nn.Module
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the mean loss and the classification error rate of each task."""
        tasks = self.recipe.tasks
        assert tasks is not None
        caches = [cache for cache in self.validation_faces.values() if cache.attributes]
        padding = self.recipe.model.padding
        logits, attributes = [], {}
        for cache in caches:
            for crops, _ in plain_crops(cache, crop_size(model), padding, BATCH):
                output = model(torch.from_numpy(crops).to(self.sums.device))
                logits.append(output.class_logits.cpu())
        for name in {name for cache in caches for name in cache.attributes}:
            parts = []
            for cache in caches:
                unknown = np.full(len(cache), np.nan, np.float32)
                parts.append(cache.attributes.get(name, unknown))
            attributes[name] = torch.from_numpy(np.concatenate(parts))
        joined = torch.cat(logits)
        empty = torch.zeros(len(joined), 0)
        raw = HeadOutput(empty, empty, class_logits=joined)
        losses = task_losses(raw, attributes, tasks)
        error_rates = task_errors(joined, attributes, tasks)
        return {name: float(value) for name, value in losses.items()}, error_rates

    def state(self) -> dict[str, Any]:
        """Return the task's part of a checkpoint."""
        return super().state() | {
            "running": list(self.running),
            "training_errors": self.training_errors,
            "validation_errors": self.validation_errors,
            "sums": self.sums.cpu(),
            "clusters": torch.from_numpy(self.clusters),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        super().load_state(state)
        if not state:
            return
        self.running = list(state["running"])
        self.training_errors = dict(state["training_errors"])
        self.validation_errors = dict(state["validation_errors"])
        self.sums = state["sums"].to(self.sums.device)
        if isinstance(self.network, SharedFeatureNet):
            self._pair(state["clusters"].numpy())


def _repeat_output(model: SharedFeatureNet, recipe: Recipe) -> None:
    """Initialize each cluster's output layer from that of the initial network.

    Raises:
        RecipeError: If there is no initial network, or it already has clusters.
    """
    if not recipe.init_from:
        raise RecipeError(
            f"model.clusters is {model.clusters} without init_from; clusters need a "
            "trained network: train one with clusters = 1, then set init_from to its "
            "checkpoint"
        )
    weights, state = read_initial_weights(Path(recipe.init_from))[0], model.state_dict()
    for name in ("landmarks.weight", "landmarks.bias"):
        if len(state[name]) != model.clusters * len(weights[name]):
            raise RecipeError(
                f"{recipe.init_from} already has clusters; start from a network "
                "without clusters"
            )
        state[name] = weights[name].repeat(
            model.clusters, *[1] * (weights[name].dim() - 1)
        )
    model.load_state_dict(state)


@torch.no_grad()
def features_of(model: SharedFeatureNet, faces: CropCache, padding: float) -> Array:
    """Return the shared features (M, L) of plain crops."""
    training = model.training
    model.eval()
    device, batches = model.mean.device, []
    for crops, _ in plain_crops(faces, model.size, padding, BATCH):
        pixels = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float()
        features = model.shared_features((pixels - model.mean) / model.std)
        batches.append(features.double().cpu().numpy())
    model.train(training)
    return np.concatenate(batches)
