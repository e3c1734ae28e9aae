"""Training: a recipe -> a run folder with checkpoints, a log, curves and the averaged weights.

Stands on torch. The order of the faces and their augmentation depend on seed and step alone, so a killed run that is
resumed from a checkpoint gives the unbroken run's result. Several processes: start it with torch's own launcher.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Sampler

from ..data.batch import CropCache, Source, TrainingCrops, cache_crops, plain_crops
from ..data.mixture import read_part
from ..errors import TrainError
from ..geometry import apply_affine
from ..models.landmark_net import LandmarkNet
from ..schemes import scheme
from ..score.metrics import nme, norm_length
from .checkpoint import load_checkpoint, save_checkpoint
from .log import TrainLog
from .losses import check_losses, total_loss
from .recipe import Recipe, TrainSettings
from .schedule import learning_rate

STRIDE = 4.0


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    step: int
    steps: int
    loss: float
    """The mean of the total loss since the last report."""
    faces_per_second: float
    seconds_left: float
    validation: dict[str, float] | None = None
    """NME by data set, as fractions, where a validation was just done."""


class _Crops(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, crops: TrainingCrops) -> None:
        self.crops = crops

    def __getitem__(self, index: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
        crop, landmarks_crop = self.crops.make(*index)
        return torch.from_numpy(crop), torch.from_numpy(landmarks_crop)


class _Batches(Sampler[list[tuple[int, int, int, int]]]):
    """The batches of one process from step `start` on; the global batch is dealt out in turn."""

    def __init__(self, crops: TrainingCrops, train: TrainSettings, start: int, rank: int, world: int) -> None:
        self.crops, self.train, self.start, self.rank, self.world = crops, train, start, rank, world

    def __iter__(self) -> Iterator[list[tuple[int, int, int, int]]]:
        step, epoch, rest = 0, 0, np.zeros((0, 4), np.int64)
        batch = self.train.batch
        while step < self.train.steps:
            order = self.crops.order(epoch, step / self.train.steps)
            numbered = np.column_stack([np.full(len(order), epoch), np.arange(len(order)), order])
            rest = np.concatenate([rest, numbered])
            epoch += 1
            while len(rest) >= batch and step < self.train.steps:
                chosen, rest = rest[:batch], rest[batch:]
                if step >= self.start:
                    mine = chosen[self.rank :: self.world]
                    for part in np.array_split(mine, self.train.accumulate):
                        yield [tuple(int(v) for v in row) for row in part]  # type: ignore[misc]
                step += 1


class Average:
    """Exponentially averaged weights, the norms' statistics included."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Moves the average towards `model`; faster in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for key, value in model.state_dict().items():
                if value.dtype.is_floating_point:
                    self.state[key].lerp_(value, 1 - decay)
                else:
                    self.state[key].copy_(value)


def build_model(recipe: Recipe) -> LandmarkNet:
    """The network of `recipe`, its new layers drawn from the recipe's seed."""
    torch.manual_seed(recipe.train.seed)
    m = recipe.model
    imagenet = m.imagenet and not recipe.start
    return LandmarkNet(m.backbone, len(scheme(recipe.scheme)), m.head, m.size, m.channels, imagenet)


def make_optimizer(model: nn.Module, train: TrainSettings) -> torch.optim.Optimizer:
    """AdamW or Adam; the backbone at its own rate, norms and biases without decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    listed = [
        {
            "params": parameters,
            "factor": train.backbone_lr if backbone else 1.0,
            "weight_decay": train.weight_decay * decays,
        }
        for (backbone, decays), parameters in sorted(groups.items())
    ]
    kind = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    return kind(listed, lr=train.lr, foreach=True)


def read_mixture(recipe: Recipe, root: Path, cache: Path) -> tuple[list[Source], dict[str, CropCache]]:
    """The training sources, without the validation tenth, and the validation faces by data set."""
    sources: list[Source] = []
    held_back: dict[str, CropCache] = {}
    for part in recipe.data:
        samples = read_part(part.reader, root / part.folder if part.folder else root, part.part, recipe.scheme)
        training = [s for s in samples if not s.is_validation()]
        sources.append(Source(cache_crops(training, cache), part.repeat, part.until))
        validation = [s for s in samples if s.is_validation()]
        if validation:
            held_back[part.reader] = cache_crops(validation, cache)
    return sources, held_back


@torch.no_grad()
def predict_plain(model: LandmarkNet, cache: CropCache, padding: float) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (M, N, 2) and variances (M, N) in pixels of the crop, and of the crop squared, without augmentation."""
    landmarks, variances = [], []
    for crops, _ in plain_crops(cache, model.size, padding, 32):
        raw = model(torch.from_numpy(crops))
        landmarks.append(raw.landmarks.numpy())
        variances.append(raw.variance.numpy())
    return np.concatenate(landmarks), np.concatenate(variances)


def validate(model: LandmarkNet, held_back: dict[str, CropCache], recipe: Recipe) -> dict[str, float]:
    """Interocular NME by data set, a fraction, of the faces held back."""
    model.eval()
    results = {}
    for name, cache in held_back.items():
        predicted, _ = predict_plain(model, cache, recipe.model.padding)
        affines = np.concatenate([a for _, a in plain_crops(cache, model.size, recipe.model.padding, 32)])
        truth = np.stack([apply_affine(a, points) for a, points in zip(affines, cache.landmarks, strict=True)])
        eyes = scheme(recipe.scheme).norm_points["interocular"]
        norms = [norm_length("interocular", points, eyes) for points in truth]
        results[name] = float(np.mean([nme(p, t, d) for p, t, d in zip(predicted, truth, norms, strict=True)]))
    model.train()
    return results


class Trainer:
    """One run: `Trainer(recipe, folder, data_root, cache).run()`.

    folder: the run's own folder.    cache: where crop caches live.    resume: go on from the folder's checkpoint.
    Raises: TrainError where the folder holds a run and `resume` was not asked for, or the other way round.
    """

    def __init__(self, recipe: Recipe, folder: Path, data_root: Path, cache: Path, resume: bool = False) -> None:
        check_losses(recipe.losses)
        self.recipe, self.folder = recipe, folder
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if recipe.train.threads:
            torch.set_num_threads(recipe.train.threads)
        self.path = folder / "checkpoint.pt"
        if self.path.exists() and not resume:
            raise TrainError(f"{folder} holds a run already; give --resume to go on with it, or another --out")
        if resume and not self.path.exists():
            raise TrainError(f"{folder} holds no checkpoint to resume from; start without --resume")
        self.sources, self.held_back = read_mixture(recipe, data_root, cache)
        m = recipe.model
        self.crops = TrainingCrops(self.sources, recipe.scheme, m.size, m.padding, recipe.augment, recipe.train.seed)
        self.model = build_model(recipe).to(memory_format=torch.channels_last)
        if recipe.start:
            self.model.load_state_dict(load_checkpoint(Path(recipe.start))["average"])
        self.average = Average(self.model, recipe.train.ema)
        self.optimizer = make_optimizer(self.model, recipe.train)
        self.step = 0
        if resume:
            self._restore()

    def _restore(self) -> None:
        state = load_checkpoint(self.path)
        if json.loads(state["recipe"]) != json.loads(self.recipe.model_dump_json()):
            raise TrainError(
                f"{self.path} was written by another recipe; resume with that one or start anew with --out"
            )
        self.model.load_state_dict(state["model"])
        self.average.state = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        self.step = state["step"]

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
            "scheme": self.recipe.scheme,
            "recipe": self.recipe.model_dump_json(),
        }
        save_checkpoint(self.path, state)

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> Path:
        """Trains to the end and gives the path of the checkpoint; `report` is called about every 50 steps."""
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("gloo")
        try:
            self._loop(report)
        finally:
            if self.world > 1:
                dist.destroy_process_group()
        return self.path

    def _loop(self, report: Callable[[Progress], None]) -> None:
        train = self.recipe.train
        forward: nn.Module = DistributedDataParallel(self.model) if self.world > 1 else self.model
        batches = iter(
            DataLoader(
                _Crops(self.crops),
                batch_sampler=_Batches(self.crops, train, self.step, self.rank, self.world),
                num_workers=train.loader,
                prefetch_factor=8 if train.loader else None,
                multiprocessing_context="fork" if train.loader else None,
            )
        )
        log = TrainLog(self.folder, self.step) if self.rank == 0 else None
        self.model.train()
        losses: list[dict[str, float]] = []
        saved = reported = started = time.monotonic()
        first, last = self.step, self.step
        while self.step < train.steps:
            losses.append(self._update(forward, batches))
            self.step += 1
            self.average.update(self.model, self.step)
            validates = self.step % train.validate_every == 0 or self.step == train.steps
            now = time.monotonic()
            if log and (validates or self.step % 50 == 0):
                validation = self._validate_average() if validates else None
                speed = train.batch * (self.step - last) / max(now - reported, 1e-9)
                left = (train.steps - self.step) * (now - started) / (self.step - first)
                mean = {key: float(np.mean([entry[key] for entry in losses])) for key in losses[0]}
                log.write(self.step, mean, self.optimizer.param_groups[0]["lr"], speed, validation)
                report(Progress(self.step, train.steps, mean["total"], speed, left, validation))
                losses, reported, last = [], time.monotonic(), self.step
            if log and (now - saved > 60 * train.checkpoint_minutes or self.step == train.steps):
                self.save()
                saved = time.monotonic()
        if log:
            log.close()

    def _update(self, forward: nn.Module, batches: Iterator[list[Tensor]]) -> dict[str, float]:
        """One optimizer step; gives the losses by name."""
        train = self.recipe.train
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(train, self.step)
        self.optimizer.zero_grad()
        sums: dict[str, float] = {}
        for _ in range(train.accumulate):
            crops, landmarks_crop = next(batches)
            with torch.autocast("cpu", torch.bfloat16, enabled=train.bf16):
                raw = forward(crops)
            losses = total_loss(raw, landmarks_crop, self.recipe.losses, STRIDE, self.recipe.sigma)
            (losses["total"] / train.accumulate).backward()  # type: ignore[no-untyped-call]
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() / train.accumulate
        if not np.isfinite(sums["total"]):
            raise TrainError(f"the loss is {sums['total']} at step {self.step}; lower train.lr or train.clip")
        nn.utils.clip_grad_norm_(self.model.parameters(), train.clip)
        self.optimizer.step()
        return sums

    def _validate_average(self) -> dict[str, float]:
        current = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.state)
        results = validate(self.model, self.held_back, self.recipe)
        self.model.load_state_dict(current)
        return results
