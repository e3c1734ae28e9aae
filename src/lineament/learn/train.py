"""Training: a recipe -> a run folder with checkpoints, a log, curves and the averaged weights.

Stands on torch. The order of the faces and their augmentation depend on seed and step alone, so a killed run that is
resumed from a checkpoint gives the unbroken run's result. Several processes: start it with torch's own launcher.
"""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from ..data.batch import TrainingCrops
from ..data.mixture import read_mixture
from ..errors import ExtraError, RecipeError, TrainError
from ..models.heads import STRIDE
from .build import as_its_start, build_model, start_from
from .checkpoint import load_checkpoint, save_checkpoint
from .curves import draw_curves
from .log import TrainLog
from .losses import check_losses, present, total_loss
from .memory import keep_freed_memory
from .parallel import Processes, join, leave, use_global_norms
from .recipe import Recipe, TrainSettings
from .schedule import learning_rate
from .validate import validate

FREE_ON_RESUME = (
    "device",
    "threads",
    "loader",
    "checkpoint_minutes",
    "validate_every",
)  # settings that change no result


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


Index = tuple[int, int, int, int]  # epoch, position, source, face


class Crops(Protocol):
    """What batches are made of: TrainingCrops, or TrainingWindows, whose crops and landmarks have an axis of time."""

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]: ...
    def make(
        self, epoch: int, position: int, source: int, face: int, /
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]: ...


class _Crops(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, crops: Crops) -> None:
        self.crops = crops

    def __getitem__(self, index: Index) -> tuple[Tensor, Tensor]:
        crop, landmarks_crop = self.crops.make(*index)
        return torch.from_numpy(crop), torch.from_numpy(landmarks_crop)


class _Batches(Sampler[list[Index]]):
    """The batches of one process from step `start` on; the global batch is dealt out in turn."""

    def __init__(self, crops: Crops, train: TrainSettings, start: int, processes: Processes) -> None:
        self.crops, self.train, self.start, self.processes = crops, train, start, processes

    def __iter__(self) -> Iterator[list[Index]]:
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
                    mine = chosen[self.processes.rank :: self.processes.world]
                    for part in np.array_split(mine, self.train.accumulate):
                        yield [tuple(row) for row in part.tolist()]
                step += 1


def make_loader(crops: Crops, train: TrainSettings, start: int, processes: Processes) -> DataLoader[Any]:
    """The batches from step `start` on: crops (B, S, S, 3) uint8 and landmarks (B, N, 2), for one of the processes."""
    forks = "fork" in multiprocessing.get_all_start_methods()
    # here and not in the loader's processes: OpenCV's threads do not live on in a fork, where it would wait for them
    cv2.setNumThreads(1)
    return DataLoader(
        _Crops(crops),
        batch_sampler=_Batches(crops, train, start, processes),
        num_workers=train.loader,
        prefetch_factor=8 if train.loader else None,
        # a fork shares the mapped crops, which another start would copy
        multiprocessing_context="fork" if train.loader and forks else None,
    )


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


def make_optimizer(model: nn.Module, train: TrainSettings) -> torch.optim.Optimizer:
    """AdamW or Adam; the backbone at its own rate, norms and biases without decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(("backbone." in name, parameter.ndim > 1), []).append(parameter)
    listed = [
        {
            "params": parameters,
            "factor": train.backbone_lr if backbone else 1.0,
            "weight_decay": train.weight_decay * decays,
        }
        for (backbone, decays), parameters in sorted(groups.items())
    ]
    kind = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    return kind(listed, lr=train.lr, fused=True)


def find_device(wanted: str) -> torch.device:
    """The device that train.device means here.    Raises: RecipeError for a GPU that is not there."""
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise RecipeError("train.device is 'cuda', and torch finds no GPU; set it to 'auto' or 'cpu'")
    return torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")


class Trainer:
    """One run: `Trainer(recipe, folder, data_root, cache).run()`.

    folder: the run's own folder.    cache: where crop caches live.    resume: go on from the folder's checkpoint.
    note: takes plain lines, e.g. on data that are missing.
    Raises: TrainError where the folder holds a run and `resume` was not asked for, or the other way round; RecipeError,
    DataError, ModelError.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        data_root: Path,
        cache: Path,
        resume: bool = False,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder, self.path, self.resumed = folder, folder / "checkpoint.pt", resume
        check_losses(recipe.losses)
        self._check(resume)
        self.recipe = recipe = as_its_start(recipe, self.path if resume else None)
        self.stands_on = digests(recipe)
        train = recipe.train
        if train.threads:
            torch.set_num_threads(train.threads)
        self.processes = join()
        if train.batch < self.processes.world * train.accumulate:
            raise RecipeError(
                f"train.batch is {train.batch}, less than {self.processes.world} processes x {train.accumulate} "
                "accumulated batches; wanted at least one face in each: raise train.batch"
            )
        self.data_root, self.cache = data_root, cache
        self.note = note if self.processes.first else lambda line: None
        if not self.processes.first:
            self.processes.wait()  # the first process makes the crop cache, the others find it made
        self.sources, self.held_back = read_mixture(recipe.data, recipe.scheme, data_root, cache, self.note)
        if self.processes.first:
            self.processes.wait()
        keep_freed_memory()
        self.device = find_device(train.device)
        self.model = self.build().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.crops = self.training_crops()
        if self.processes.world > 1:
            use_global_norms(self.model)
        self.average = Average(self.model, train.ema)
        self.optimizer = self.make_optimizer()
        self.step = 0
        if resume:
            self._restore()

    def build(self) -> nn.Module:
        """What is trained; a recipe's `start` is in it already, unless a checkpoint will take its place."""
        model = build_model(self.recipe)
        if self.recipe.start and not self.resumed:
            start_from(model, self.recipe)
        return model

    def training_crops(self) -> Crops:
        """What batches are made of."""
        recipe = self.recipe
        return TrainingCrops(
            self.sources, recipe.scheme, self.crop_size(), recipe.model.padding, recipe.augment, recipe.train.seed
        )

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of all that is trained."""
        return make_optimizer(self.model, self.recipe.train)

    def before_step(self) -> None:
        """Called when the gradients are whole, before the optimizer uses them."""

    def crop_size(self) -> int:
        """Side of the crops that are cut for training, in pixels."""
        return self.recipe.model.size

    def validate(self) -> dict[str, float]:
        """The NME by data set, fractions, of the model as it is."""
        return validate(self.model, self.held_back, self.recipe.scheme, self.recipe.model.padding)

    def annotated(self, landmarks_crop: Tensor) -> Tensor:
        """Of the points (B, N, 2) that come with a batch, those that people annotated."""
        return landmarks_crop

    def losses(self, crops: Tensor, landmarks_crop: Tensor, count: int) -> dict[str, Tensor]:
        """The weighted losses by name and their sum as "total", of a part of a batch of `count` annotated points."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.train.bf16):
            raw = self.model(crops)
        return total_loss(raw, landmarks_crop, self.recipe.losses, STRIDE, self.recipe.sigma, count)

    def _check(self, resume: bool) -> None:
        if self.path.exists() and not resume:
            raise TrainError(f"{self.folder} holds a run already; give --resume to go on with it, or another --out")
        if resume and not self.path.exists():
            raise TrainError(f"{self.folder} holds no checkpoint to resume from; start without --resume")

    def _restore(self) -> None:
        state = load_checkpoint(self.path)
        changed = _changed(json.loads(state["recipe"]), self.recipe)
        if changed:
            raise TrainError(
                f"{self.path} was written by another recipe ({', '.join(changed)} differ); "
                "resume with that recipe, or start anew with another --out"
            )
        begun_with = state.get("stands_on", self.stands_on)
        for path in begun_with.keys() & self.stands_on.keys():
            if begun_with[path] != self.stands_on[path]:
                raise TrainError(
                    f"{path} is not the file that {self.folder} was begun with; bring that back, or start anew with "
                    "another --out"
                )
        self.stands_on = begun_with
        self.model.load_state_dict(state["model"])
        self.average.state = {key: value.to(self.device) for key, value in state["average"].items()}
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
            "stands_on": self.stands_on,
        }
        save_checkpoint(self.path, state)

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> Path:
        """Trains to the end and gives the path of the checkpoint; `report` is called about every 50 steps.

        Beside the checkpoint lie log.csv, a TensorBoard file and, at the end, curves.png.    Raises: TrainError.
        """
        try:
            self._loop(report)
            self.processes.wait()  # for the first one, which validates and writes
        finally:
            leave()
        if self.processes.first:
            try:
                draw_curves(self.folder)
            except ExtraError as error:
                self.note(f"no curves.png: {error}")
        return self.path

    def _loop(self, report: Callable[[Progress], None]) -> None:
        train = self.recipe.train
        batches = iter(make_loader(self.crops, train, self.step, self.processes))
        log = TrainLog(self.folder, self.step) if self.processes.first else None
        self.model.train()
        losses: list[dict[str, float]] = []
        saved = reported = started = time.monotonic()
        first, last = self.step, self.step
        while self.step < train.steps:
            losses.append(self._update(batches))
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

    def _update(self, batches: Iterator[list[Tensor]]) -> dict[str, float]:
        """One optimizer step; gives the losses by name."""
        train = self.recipe.train
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(train, self.step)
        self.optimizer.zero_grad()
        parts = [next(batches) for _ in range(train.accumulate)]
        # every part counts by its annotated points, so that the split over parts and processes changes nothing
        points = torch.stack([present(self.annotated(landmarks_crop)).sum() for _, landmarks_crop in parts]).sum()
        count = int(self.processes.total(points))
        sums: dict[str, float] = {}
        for crops, landmarks_crop in parts:
            losses = self.losses(crops.to(self.device), landmarks_crop.to(self.device), count)
            losses["total"].backward()  # type: ignore[no-untyped-call]
            sums = {name: sums.get(name, 0.0) + value.item() for name, value in losses.items()}
        self.processes.sum_gradients(self.model)
        sums = dict(zip(sums, self.processes.total(torch.tensor(list(sums.values()))).tolist(), strict=True))
        if not np.isfinite(sums["total"]):
            raise TrainError(f"the loss is {sums['total']} at step {self.step}; lower train.lr or train.clip")
        self.before_step()
        nn.utils.clip_grad_norm_(self.model.parameters(), train.clip)
        self.optimizer.step()
        return sums

    def _validate_average(self) -> dict[str, float]:
        current = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.state)
        results = self.validate()
        self.model.load_state_dict(current)
        return results


def digests(recipe: Recipe) -> dict[str, str]:
    """The SHA-256 of the start and the teacher of `recipe`, by path, as far as they are there."""
    named = {recipe.start, recipe.distill.teacher if recipe.distill else ""} - {""}
    return {name: sha256(Path(name).read_bytes()).hexdigest() for name in sorted(named) if Path(name).is_file()}


def _changed(stored: dict[str, Any], recipe: Recipe) -> list[str]:
    """The keys in which the `stored` recipe, its absent keys taken as today's defaults, differs from `recipe`."""
    try:
        old = Recipe.model_validate(stored).model_dump()
    except ValueError:
        return ["keys that are no longer known"]
    new = recipe.model_dump()
    for settings in (old["train"], new["train"]):
        for key in FREE_ON_RESUME:
            del settings[key]
    for cuts in filter(None, (old["slim"], new["slim"])):
        del cuts["thresholds"], cuts["shares"]
    nested = {key for key in ("model", "augment", "train") if old[key] != new[key]}
    names = [key for key in old if key not in nested and old[key] != new[key]]
    return names + [f"{key}.{name}" for key in sorted(nested) for name in old[key] if old[key][name] != new[key][name]]
