"""The training loop, which writes a checkpoint with averaged weights, a log and curves.

Depends on torch. Data depend only on seed and step, so a killed and resumed run
gives exactly the result of an uninterrupted one. For several processes, use torch's launcher.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..data.mixture import Mixture, read_mixture
from ..errors import ExtraError, TrainError
from .batch import Batch
from .checkpoint import load_checkpoint, save_checkpoint
from .curves import draw_curves
from .device import CapturedStep, TrainingDevice, has_bfloat16
from .ema import EMA
from .freeze import freeze
from .loader import make_loader
from .log import Meter, Progress, TrainLog
from .memory import keep_freed_memory
from .optimizer import keep_rates_on, set_rates
from .parallel import convert_sync_batchnorm, destroy_process_group, init_process_group
from .resume import CHECKPOINT, changed_keys, check_digests, check_folder, digests
from .schedule import learning_rate
from .task import Context, Task

Results = TypeVar("Results")

LOG_EVERY = 50
"""Steps between rows of the log; each validation adds one, too."""


class Trainer:
    """One run of a task: `Trainer(task, folder, data_root, cache).run()`."""

    def __init__(
        self,
        task: Task,
        folder: Path,
        data_root: Path,
        cache: Path,
        resume: bool = False,
        note: Callable[[str], None] = lambda line: None,
        read: Callable[..., Mixture] = read_mixture,
    ) -> None:
        """Build the network and read the data.

        Args:
            resume: Continue from the checkpoint in `folder`.
            data_root, cache, note, read: As in Context.

        Raises:
            TrainError: If `folder` contains a run and `resume` is False, or none and it is True.
            RecipeError, DataError, ModelError: If recipe, data or initial weights do not fit.
        """
        self.task, self.folder, self.resumed = task, folder, resume
        self.path = folder / CHECKPOINT
        train = task.recipe.train
        check_folder(self.path, resume)
        self.input_digests = digests(task.input_files())
        if train.threads:
            torch.set_num_threads(train.threads)
        self.processes = init_process_group()
        self.processes.check_batch(train)
        self.note = note if self.processes.is_main else lambda line: None
        self.training_device = TrainingDevice(train.device)
        self.device = self.training_device.device
        self._note_precision()
        # a graph cannot include several passes per step or communication with other processes
        alone = self.processes.world_size == 1 and train.accumulate == 1
        self.captured = (
            CapturedStep(self._step, self.device)
            if self.training_device.on_gpu and alone
            else None
        )
        self.loss_names: tuple[str, ...] = ()
        self.step = 0
        resume_from = self.path if resume else None
        context = Context(data_root, cache, self.device, read, resume_from, self.note)
        with self.training_device.on_stream():
            self.model = task.build(context)
            self.evaluated = freeze(self.model, train.freeze)
            self.model.to(device=self.device)
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with self.processes.main_process_first():
                self.samples = task.samples(context)
            self.recipe = task.recipe
            keep_freed_memory()
            if self.processes.world_size > 1:
                convert_sync_batchnorm(self.model)
            self.average = EMA(self.model, train.ema)
            self.optimizer = task.make_optimizer(self.model)
            keep_rates_on(self.device, self.optimizer)
            if resume:
                self._restore()

    def _note_precision(self) -> None:
        if self.task.recipe.train.bf16 and not has_bfloat16(self.device.type):
            name = "GPU" if self.training_device.on_gpu else "CPU"
            self.note(f"this {name} has no bfloat16 instructions; training in float32")

    @property
    def ended(self) -> bool:
        """True after the last step."""
        return self.step >= self.recipe.train.steps

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> Path:
        """Train to the end; write checkpoint, log.csv, a TensorBoard file and curves.png.

        Args:
            report: Called about every 50 steps.

        Returns:
            Path of the checkpoint.

        Raises:
            TrainError: If the loss is not finite.
        """
        try:
            if self.processes.is_main and not self.resumed:
                with self.training_device.on_stream():
                    self.task.before_run(self.model, self.note)
            for _ in self.steps(report):
                pass
            self.processes.barrier()  # until the first one has validated and saved
        finally:
            destroy_process_group()
        if self.processes.is_main:
            try:
                draw_curves(self.folder, self.task.metric)
            except ExtraError as error:
                self.note(f"no curves.png: {error}")
        return self.path

    def batches(self) -> Iterable[Batch]:
        """Return the remaining batches."""
        train, on_gpu = self.recipe.train, self.training_device.on_gpu
        return make_loader(self.samples, train, self.step, self.processes, on_gpu)

    def steps(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        batches: Iterable[Batch] | None = None,
    ) -> Iterator[int]:
        """Yield the number of each step after it is done; the last one writes the checkpoint.

        Args:
            report: Called about every 50 steps.
            batches: Result of `batches()` shared with other runs; None: the run's own.

        Raises:
            TrainError: If the loss is not finite.
        """
        remaining = iter(self.batches() if batches is None else batches)
        self._to_training_mode()
        with self._open_log() as log:
            meter, saved = Meter(self.step), time.monotonic()
            while not self.ended:
                train = self.recipe.train  # `steps` may be lowered during the run
                # one stream, so that reads of tensors wait for their writes
                with self.training_device.on_stream():
                    meter.add(self.update(remaining))
                    self.step += 1
                    self.average.update(self.step)
                    last = self.step == train.steps
                    validates = last or self.step % train.validate_every == 0
                    if validates:
                        self.task.before_validation(self.processes)
                    if validates or self.step % LOG_EVERY == 0:
                        if log:
                            report(self._log(log, meter, validates))
                        # in every process, since a validation may change the number of losses
                        meter.restart(self.step)
                    if validates:
                        self.task.after_validation(self.processes)
                    overdue = time.monotonic() - saved > 60 * train.checkpoint_minutes
                    if log and (overdue or last):
                        if meter.losses is not None:
                            self._by_name(meter.losses)
                        self.save()
                        saved = time.monotonic()
                yield self.step

    def _open_log(self) -> AbstractContextManager[TrainLog | None]:
        """Return a context that closes the log; None in all processes but the first."""
        if not self.processes.is_main:
            return nullcontext()
        return closing(TrainLog(self.folder, self.step, self.task.metric))

    def update(self, batches: Iterator[Batch]) -> Tensor:
        """Run one optimizer step; return the losses in the order of `loss_names`, on the device."""
        train = self.recipe.train
        set_rates(self.optimizer, learning_rate(train, self.step))
        parts = [self.task.prepare(next(batches)) for _ in range(train.accumulate)]
        # divided by the count of the global batch, so losses do not depend on how it is split
        count = torch.stack([self.task.count(part) for part in parts]).sum(0)
        count = self.processes.all_reduce(count)
        if self.captured is not None:
            return self.captured(self.task.graph_key(self.step), count, parts[0])
        return self._step(
            count.to(self.device), *(part.to(self.device) for part in parts)
        )

    def _step(self, count: Tensor, *parts: Batch) -> Tensor:
        self.optimizer.zero_grad()
        sums: Tensor | None = None
        for part in parts:
            losses = self.task.losses(self.model, part, count)
            losses["total"].backward()  # type: ignore[no-untyped-call]
            values = torch.stack([value.detach() for value in losses.values()])
            sums = values if sums is None else sums + values
            self.loss_names = tuple(losses)
        assert sums is not None
        self.processes.all_reduce_gradients(self.model)
        sums = self.processes.all_reduce(sums)
        # on a GPU this would synchronize, so losses are checked when they are logged
        if not self.training_device.on_gpu:
            self._by_name(sums)
        self.task.before_step(self.model, self.step)
        nn.utils.clip_grad_norm_(
            self.model.parameters(), self.recipe.train.max_grad_norm
        )
        self.optimizer.step()
        return sums

    def _by_name(self, losses: Tensor) -> dict[str, float]:
        mean = dict(zip(self.loss_names, losses.tolist(), strict=True))
        if not math.isfinite(mean["total"]):
            raise TrainError(
                f"the loss is {mean['total']} at step {self.step}; lower train.lr or "
                "train.max_grad_norm"
            )
        return mean

    def _log(self, log: TrainLog, meter: Meter, validates: bool) -> Progress:
        train = self.recipe.train
        speed, seconds_left = meter.speed(self.step, train)
        losses = self._by_name(meter.mean(self.step))
        validation = self._validate_average() if validates else None
        log.write(
            self.step, losses, learning_rate(train, self.step - 1), speed, validation
        )
        return Progress(
            self.step,
            train.steps,
            losses["total"],
            speed,
            seconds_left,
            validation,
            self.task.metric,
        )

    def face_errors(self) -> dict[str, list[float]]:
        """Return the errors of validation faces by set with the averaged weights."""
        with self.training_device.on_stream():
            return self._with_average(self.task.face_errors)

    def _validate_average(self) -> dict[str, float]:
        return self._with_average(self.task.validate)

    def _with_average(self, measure: Callable[[nn.Module], Results]) -> Results:
        """Return the result of `measure` for the network with its averaged weights."""
        current = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.state)
        self.model.eval()
        results = measure(self.model)
        self._to_training_mode()
        self.model.load_state_dict(current)
        return results

    def _to_training_mode(self) -> None:
        self.model.train()
        for module in self.evaluated:
            module.eval()

    def save(self) -> None:
        """Write the checkpoint atomically. Call it within `training_device.on_stream()`."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
            **self.training_device.random_state(),
            "step": self.step,
            "scheme": str(self.recipe.scheme),
            "recipe": self.recipe.model_dump_json(),
            "input_digests": self.input_digests,
            "task": self.task.state(),
        }
        save_checkpoint(self.path, state)

    def _restore(self) -> None:
        state = load_checkpoint(self.path)
        if "optimizer" not in state:
            raise TrainError(
                f"{self.path} contains only weights, which cannot be resumed; start "
                "over with another --out"
            )
        changed = changed_keys(json.loads(state["recipe"]), self.recipe)
        if changed:
            raise TrainError(
                f"{self.path} was written with another recipe ({', '.join(changed)} "
                "differ); resume with that recipe, or start over with another --out"
            )
        before = state.get("input_digests", self.input_digests)
        check_digests(before, self.input_digests, self.folder)
        self.input_digests = before
        self.model.load_state_dict(state["model"])
        average = {
            key: value.to(self.device) for key, value in state["average"].items()
        }
        self.average.load(average, self.model)
        self.optimizer.load_state_dict(state["optimizer"])
        keep_rates_on(self.device, self.optimizer)
        self.training_device.set_random_state(state)
        self.task.load_state(state.get("task", {}))
        self.step = state["step"]
