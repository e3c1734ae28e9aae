"""Training: a recipe -> a run folder with checkpoints, a log, curves and the averaged weights.

Stands on torch. The order of the faces and their augmentation depend on seed and step alone, so a killed run that is
resumed from a checkpoint gives the unbroken run's result. Several processes: start it with torch's own launcher.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.crop_cache import TrainingCrops
from ..data.mixture import Mixture, read_mixture
from ..errors import ExtraError, RecipeError, TrainError
from ..models.heads.output import STRIDE
from ..recipe import Recipe
from .build import as_its_start, build_model, start_from
from .checkpoint import load_checkpoint, save_checkpoint
from .curves import draw_curves
from .device import Captured, Place
from .loader import Crops, make_loader
from .log import TrainLog
from .losses import check_losses, present, total_loss
from .memory import keep_freed_memory
from .optimizer import EMA, keep_rates_on, make_optimizer, set_rates
from .parallel import join, leave, use_global_norms
from .schedule import learning_rate
from .validate import validate

FREE_ON_RESUME = (
    "device",
    "threads",
    "num_workers",
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


class Trainer:
    """One run: `Trainer(recipe, folder, data_root, cache).run()`.

    folder: the run's own folder.    cache: where crop caches live.    resume: go on from the folder's checkpoint.
    note: takes plain lines, e.g. on data that are missing.    read: read_mixture, or what stands for it.
    Raises: TrainError where the folder holds a run and `resume` was not asked for, or the other way round; RecipeError,
    DataError, ModelError.
    """

    LEARNS_FROM_TEACHERS = False

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        data_root: Path,
        cache: Path,
        resume: bool = False,
        note: Callable[[str], None] = lambda line: None,
        read: Callable[..., Mixture] = read_mixture,
    ) -> None:
        self.folder, self.path, self.resumed = folder, folder / "checkpoint.pt", resume
        check_losses(recipe.losses)
        check_annotated(recipe, self.LEARNS_FROM_TEACHERS)
        self._check(resume)
        self.recipe = recipe = as_its_start(recipe, self.begun)
        self.input_digests = digests(recipe)
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
        self.place = Place(train.device)
        self.device = self.place.device
        with self.place.here():
            model = self.build()
        crop = self.crop_size(), recipe.model.padding
        self.sources, self.validation_faces = read(
            recipe.data, recipe.scheme, data_root, cache, self.note, crop
        )
        if self.processes.first:
            self.processes.wait()
        keep_freed_memory()
        with self.place.here():
            self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.prepare_sources()
        self.crops = self.training_crops()
        if self.processes.world > 1:
            use_global_norms(self.model)
        with self.place.here():
            self.average = EMA(self.model, train.ema)
            self.optimizer = self.make_optimizer()
            keep_rates_on(self.device, self.optimizer)
        # several passes a step, or gradients that go through other processes, are no graph
        alone = self.processes.world == 1 and train.accumulate == 1
        self.captured = Captured(self._pass, self.device) if self.place.on_gpu and alone else None
        self.names: tuple[str, ...] = ()
        """Of the losses, in the order in which a step gives them."""
        self.step = 0
        if resume:
            with self.place.here():
                self._restore()

    @property
    def begun(self) -> Path | None:
        """The checkpoint that a resumed run goes on from."""
        return self.path if self.resumed else None

    def build(self) -> nn.Module:
        """What is trained; a recipe's `start` is in it already, unless a checkpoint will take its place."""
        model = build_model(self.recipe, self.begun)
        if self.recipe.init_from and not self.resumed:
            start_from(model, self.recipe)
        return model

    def prepare_sources(self) -> None:
        """Called when model and data are there, before batches are made of them."""

    def training_crops(self) -> Crops:
        """What batches are made of."""
        recipe = self.recipe
        return TrainingCrops(
            self.sources,
            recipe.scheme,
            self.crop_size(),
            recipe.model.padding,
            recipe.augment,
            recipe.train.seed,
        )

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of all that is trained."""
        return make_optimizer(self.model, self.recipe.train)

    def before_step(self) -> None:
        """Called when the gradients are whole, before the optimizer uses them."""

    def graph_key(self) -> object:
        """What tells steps apart that do not do the same with other numbers."""
        return None

    def beside(self, crops: Tensor) -> tuple[Tensor, ...]:
        """What `losses` takes beside crops (B, S, S, 3) and points, made of crops that are not on the device yet."""
        return ()

    def crop_size(self) -> int:
        """Side of the crops that are cut for training, in pixels."""
        return self.recipe.model.size

    def validate(self) -> dict[str, float]:
        """The NME by data set, fractions, of the model as it is."""
        return validate(
            self.model, self.validation_faces, self.recipe.scheme, self.recipe.model.padding
        )

    def annotated(self, landmarks_crop: Tensor) -> Tensor:
        """Of the points (B, N, 2) that come with a batch, those that people annotated."""
        return landmarks_crop

    def losses(
        self, crops: Tensor, landmarks_crop: Tensor, count: int | Tensor
    ) -> dict[str, Tensor]:
        """The weighted losses by name and their sum as "total", of a part of a batch of `count` annotated points.

        crops: (B, S, S, 3) uint8.    landmarks_crop: (B, N, 2), pixels of the crop, nan where not annotated.
        Nothing in it may wait for the device, or bring numbers there: on a GPU it becomes a graph.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.train.bf16):
            raw = self.model(crops)
        return total_loss(raw, landmarks_crop, self.recipe.losses, STRIDE, self.recipe.sigma, count)

    def _check(self, resume: bool) -> None:
        if self.path.exists() and not resume:
            raise TrainError(
                f"{self.folder} holds a run already; give --resume to go on with it, or another --out"
            )
        if resume and not self.path.exists():
            raise TrainError(
                f"{self.folder} holds no checkpoint to resume from; start without --resume"
            )

    def _restore(self) -> None:
        state = load_checkpoint(self.path)
        if "optimizer" not in state:
            raise TrainError(
                f"{self.path} holds weights alone, nothing to go on with; start anew with another --out"
            )
        changed = changed_keys(json.loads(state["recipe"]), self.recipe)
        if changed:
            raise TrainError(
                f"{self.path} was written by another recipe ({', '.join(changed)} differ); "
                "resume with that recipe, or start anew with another --out"
            )
        begun_with = state.get("input_digests", self.input_digests)
        for path in begun_with.keys() & self.input_digests.keys():
            if begun_with[path] != self.input_digests[path]:
                raise TrainError(
                    f"{path} is not the file that {self.folder} was begun with; bring that back, or start anew with "
                    "another --out"
                )
        self.input_digests = begun_with
        self.model.load_state_dict(state["model"])
        self.average.load(
            {key: value.to(self.device) for key, value in state["average"].items()}, self.model
        )
        self.optimizer.load_state_dict(state["optimizer"])
        keep_rates_on(self.device, self.optimizer)
        torch.set_rng_state(state["rng"])
        self.step = state["step"]

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all.    Call it within `place.here()`."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
            "scheme": self.recipe.scheme,
            "recipe": self.recipe.model_dump_json(),
            "input_digests": self.input_digests,
        }
        save_checkpoint(self.path, state)

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> Path:
        """Trains to the end and gives the path of the checkpoint; `report` is called about every 50 steps.

        Beside the checkpoint lie log.csv, a TensorBoard file and, at the end, curves.png.    Raises: TrainError.
        """
        try:
            for _ in self.steps(report):
                pass
            self.processes.wait()  # for the first one, which validates and writes
        finally:
            leave()
        if self.processes.first:
            try:
                draw_curves(self.folder)
            except ExtraError as error:
                self.note(f"no curves.png: {error}")
        return self.path

    def batches(self) -> Iterable[list[Tensor]]:
        """The batches from here to the end."""
        return make_loader(
            self.crops, self.recipe.train, self.step, self.processes, self.place.on_gpu
        )

    def steps(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        batches: Iterable[list[Tensor]] | None = None,
    ) -> Iterator[int]:
        """Trains to the end, a step whenever the next number is asked for; the last one writes the checkpoint.

        batches: those of `batches()`, where several trainings share them.    Raises: TrainError.
        """
        rest = iter(self.batches() if batches is None else batches)
        log = TrainLog(self.folder, self.step) if self.processes.first else None
        self.model.train()
        losses: Tensor | None = None
        saved = reported = started = time.monotonic()
        first, last = self.step, self.step
        while not self.ended:
            train = self.recipe.train  # whose steps may become fewer on the way
            with self.place.here():  # what reads tensors waits for what writes them
                now_lost = self._update(rest).double()
                losses = now_lost if losses is None else losses + now_lost
                self.step += 1
                self.average.update(self.step)
                validates = self.step % train.validate_every == 0 or self.step == train.steps
                now = time.monotonic()
                if log and (validates or self.step % 50 == 0):
                    mean = self._mean_losses(losses / (self.step - last))
                    validation = self._validate_average() if validates else None
                    speed = train.batch * (self.step - last) / max(now - reported, 1e-9)
                    left = (train.steps - self.step) * (now - started) / (self.step - first)
                    log.write(
                        self.step, mean, learning_rate(train, self.step - 1), speed, validation
                    )
                    report(Progress(self.step, train.steps, mean["total"], speed, left, validation))
                    losses, reported, last = None, time.monotonic(), self.step
                if log and (
                    now - saved > 60 * train.checkpoint_minutes or self.step == train.steps
                ):
                    if losses is not None:
                        self._mean_losses(losses)
                    self.save()
                    saved = time.monotonic()
            yield self.step
        if log:
            log.close()

    @property
    def ended(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.recipe.train.steps

    def _mean_losses(self, values: Tensor) -> dict[str, float]:
        """The losses by name.    Raises: TrainError where they are no numbers."""
        mean = dict(zip(self.names, values.tolist(), strict=True))
        if not math.isfinite(mean["total"]):
            raise TrainError(
                f"the loss is {mean['total']} at step {self.step}; lower train.lr or train.clip"
            )
        return mean

    def _update(self, batches: Iterator[list[Tensor]]) -> Tensor:
        """One optimizer step; gives the losses in the order of `names`, on the device."""
        train = self.recipe.train
        set_rates(self.optimizer, learning_rate(train, self.step))
        parts = [next(batches) for _ in range(train.accumulate)]
        # every part counts by its annotated points, so that the split over parts and processes changes nothing
        points = torch.stack(
            [present(self.annotated(landmarks_crop)).sum() for _, landmarks_crop in parts]
        ).sum()
        count = self.processes.total(points)
        inputs = [
            tensor for crops, points in parts for tensor in (crops, points, *self.beside(crops))
        ]
        if self.captured is not None:
            return self.captured(self.graph_key(), [count, *inputs])
        return self._pass(count.to(self.device), *(given.to(self.device) for given in inputs))

    def _pass(self, count: Tensor, *inputs: Tensor) -> Tensor:
        """One step on tensors that are on the device; gives the losses."""
        self.optimizer.zero_grad()
        each, sums = len(inputs) // self.recipe.train.accumulate, None
        for start in range(0, len(inputs), each):
            crops, landmarks_crop, *beside = inputs[start : start + each]
            losses = self.losses(crops, landmarks_crop, count, *beside)
            losses["total"].backward()  # type: ignore[no-untyped-call]
            lost = torch.stack([value.detach() for value in losses.values()])
            sums = lost if sums is None else sums + lost
            self.names = tuple(losses)
        assert sums is not None
        self.processes.sum_gradients(self.model)
        sums = self.processes.total(sums)
        if (
            not self.place.on_gpu
        ):  # where asking for it costs nothing; else it is asked for when losses are reported
            self._mean_losses(sums)
        self.before_step()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.train.clip)
        self.optimizer.step()
        return sums

    def _validate_average(self) -> dict[str, float]:
        current = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.state)
        results = self.validate()
        self.model.load_state_dict(current)
        return results


def check_annotated(recipe: Recipe, taught: bool) -> None:
    """Raises: RecipeError where faces without points have no teacher to learn from.    taught: by the recipe's."""
    if taught and recipe.distill is not None and recipe.distill.teacher:
        return
    for number, part in enumerate(recipe.data):
        if not part.annotated:
            raise RecipeError(
                f"data.{number} ({part.reader}) is not annotated, and there is no teacher to learn from; "
                "name one in [distill] and use lineament distill, or leave annotated out"
            )


def digests(recipe: Recipe) -> dict[str, str]:
    """The SHA-256 of the start and the teacher of `recipe`, by path, as far as they are there."""
    named = {recipe.init_from, recipe.distill.teacher if recipe.distill else ""} - {""}
    return {
        name: sha256(Path(name).read_bytes()).hexdigest()
        for name in sorted(named)
        if Path(name).is_file()
    }


def changed_keys(stored: dict[str, Any], recipe: Recipe) -> list[str]:
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
        del cuts["thresholds"], cuts["shares"], cuts["relative"]
    for distill in filter(None, (old["distill"], new["distill"])):
        if not distill["mask_prob"]:
            del distill["mask_size"]
        if distill["students"] == 1:
            del distill["random_init_peers"]
    nested = {key for key in ("model", "augment", "train") if old[key] != new[key]}
    names = [key for key in old if key not in nested and old[key] != new[key]]
    return names + [
        f"{key}.{name}"
        for key in sorted(nested)
        for name in old[key]
        if old[key][name] != new[key][name]
    ]
