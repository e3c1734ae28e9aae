"""Train several runs in one process, interleaving their steps; on a GPU they overlap.

Each run writes the same checkpoint and log as if trained alone, but no curves. Global random
states and the thread count are exchanged between turns, see process_state.py.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.crop_cache import cached_size
from ..data.mixture import Mixture, read_mixture
from ..errors import TrainError
from ..recipe import DataPart
from .classic.trainer import ClassicTrainer
from .log import Progress
from .process_state import ProcessState
from .trainer import Trainer

AnyTrainer = Trainer | ClassicTrainer


@dataclass(frozen=True)
class Run:
    """One of several interleaved training runs."""

    name: str
    make: Callable[[Callable[..., Mixture]], AnyTrainer]
    """Builds the trainer; its argument is the trainer's `read`."""
    needs: tuple[str, ...] = ()
    """Names of the runs that must end before this one starts."""
    after: Callable[[AnyTrainer], None] | None = None
    """Called when the run ends, before the runs that need it start."""
    turns: int = 1
    """Steps per round; more for a run that others wait for."""


@dataclass(frozen=True)
class ActiveRun:
    """A run between its first and its last step."""

    run: Run
    trainer: AnyTrainer
    steps: Iterator[int]
    state: ProcessState

    def take_turn(self) -> bool:
        """Run the steps of one round; return whether the run has ended."""
        with self.state.active():
            for _ in range(self.run.turns):
                if next(self.steps, None) is None or self.trainer.ended:
                    next(self.steps, None)  # closes the log
                    if self.run.after is not None:
                        self.run.after(self.trainer)
                    return True
            return False


Failed = Callable[[str, Exception], None] | None


def train_together(
    runs: Sequence[Run],
    report: Callable[[str, Progress], None] = lambda name, progress: None,
    failed: Failed = None,
    between: Callable[[Mapping[str, AnyTrainer]], bool] = lambda active: True,
) -> list[str]:
    """Train all `runs`; each starts as soon as the runs that it needs have ended.

    Data sets are read once; runs that start together and use the same batches share them.

    Args:
        runs: Runs, each after those that it needs.
        report: Receives the name of a run and its progress.
        failed: Receives the name of a failed run and its error; runs that need it are skipped.
            None: raise the error.
        between: Called after each round with the active training runs; False stops all of them.

    Returns:
        Names of the runs that ended.

    Raises:
        TrainError: If a run is listed twice, or needs one that is not listed before it.
    """
    _check(runs)
    read = _read_once()
    waiting, done = list(runs), list[str]()
    active: dict[str, ActiveRun] = {}
    while waiting or active:
        ready = [run for run in waiting if set(run.needs) <= set(done)]
        if not ready and not active:
            break  # the remaining runs need a run that failed
        waiting = [run for run in waiting if run not in ready]
        active |= _begin(ready, read, report, failed)
        for name, active_run in list(active.items()):
            try:
                if not active_run.take_turn():
                    continue
                done.append(name)
            except Exception as error:
                if failed is None:
                    raise
                failed(name, error)
            del active[name]
        if not between({name: one.trainer for name, one in active.items()}):
            break
    return done


def _begin(
    runs: Sequence[Run],
    read: Callable[..., Mixture],
    report: Callable[[str, Progress], None],
    failed: Failed,
) -> dict[str, ActiveRun]:
    """Start `runs`, sharing batches within groups; return them before their first step."""
    groups: dict[object, list[tuple[Run, AnyTrainer, ProcessState]]] = {}
    for run in runs:
        state = ProcessState()
        try:
            with state.active():
                trainer = run.make(read)
        except Exception as error:
            if failed is None:
                raise
            failed(run.name, error)
            continue
        key = (_batches_key(trainer), run.turns)
        groups.setdefault(key, []).append((run, trainer, state))
    active: dict[str, ActiveRun] = {}
    for group in groups.values():
        copies = itertools.tee(group[0][1].batches(), len(group))
        for (run, trainer, state), batches in zip(group, copies, strict=True):
            steps = trainer.steps(_named(report, run.name), batches)
            active[run.name] = ActiveRun(run, trainer, steps, state)
    return active


def _named(
    report: Callable[[str, Progress], None], name: str
) -> Callable[[Progress], None]:
    return lambda progress: report(name, progress)


def _batches_key(trainer: AnyTrainer) -> object:
    """Return a key that is equal for runs that use the same batches."""
    train = trainer.recipe.train
    return (
        trainer.samples.key(),
        train.batch,
        train.accumulate,
        train.steps,
        trainer.step,
    )


def _read_once() -> Callable[..., Mixture]:
    """Return a version of read_mixture that caches results by its arguments."""
    cached: dict[object, Mixture] = {}

    def read(
        parts: Sequence[DataPart],
        scheme: str,
        root: Path,
        cache: Path,
        note: Callable[[str], None],
        crop: tuple[int, float],
    ) -> Mixture:
        key = (tuple(parts), scheme, root, cache, cached_size(*crop))
        if key not in cached:
            cached[key] = read_mixture(parts, scheme, root, cache, note, crop)
        return cached[key]

    return read


def _check(runs: Sequence[Run]) -> None:
    listed: set[str] = set()
    for run in runs:
        missing = [name for name in run.needs if name not in listed]
        if missing or run.name in listed:
            fault = (
                f"needs {missing[0]!r}, which is not listed before it"
                if missing
                else "is listed twice"
            )
            raise TrainError(
                f"the run {run.name!r} {fault}; list each run once, after those it needs"
            )
        listed.add(run.name)
