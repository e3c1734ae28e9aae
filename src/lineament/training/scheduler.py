"""Several trainings in one process, a step of each in turn: on a GPU, small networks run side by side.

Stands on train.py. The checkpoint and the log of each are what it gives alone; no curves are drawn.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.crop_cache import cached_size
from ..data.mixture import Mixture, read_mixture
from ..errors import TrainError
from ..recipe import DataPart
from .trainer import Progress, Trainer


@dataclass(frozen=True)
class Run:
    """One training among several."""

    name: str
    make: Callable[[Callable[..., Mixture]], Trainer]
    """Makes it, given what reads its data."""
    needs: tuple[str, ...] = ()
    """The runs that are to end before it begins."""
    after: Callable[[Trainer], None] | None = None
    """What is done when it has ended, before what needs it begins."""
    turns: int = 1
    """Its steps to each step of the others: more for what others wait for."""


Going = tuple[Run, Trainer, Iterator[int]]


def train_together(
    runs: Sequence[Run],
    report: Callable[[str, Progress], None] = lambda name, progress: None,
    failed: Callable[[str, Exception], None] | None = None,
    between: Callable[[Mapping[str, Trainer]], bool] = lambda going: True,
) -> list[str]:
    """Trains all `runs`, each as soon as what it needs has ended; gives the names of those that ended.

    Data sets are read once for all; runs that begin together and see the same crops share them.
    report: takes the name of a run and where it stands.
    failed: is told of a run that ended in an error; those that need it are left out. None: the error is raised.
    between: called after each round with the trainings under way; where it gives False they are left as they are.
    Raises: TrainError where a run needs what is none of the runs, or itself in the end.
    """
    _check(runs)
    read = _read_once()
    waiting, done = list(runs), list[str]()
    going: dict[str, Going] = {}
    while waiting or going:
        ready = [run for run in waiting if set(run.needs) <= set(done)]
        if not ready and not going:
            break  # what is left needs a run that failed
        waiting = [run for run in waiting if run not in ready]
        going |= _begin(ready, read, report, failed)
        for name, (run, trainer, steps) in list(going.items()):
            try:
                if (
                    all(next(steps, None) is not None for _ in range(run.turns))
                    and not trainer.ended
                ):
                    continue
                next(steps, None)  # what is behind the last step
                if run.after is not None:
                    run.after(trainer)
                done.append(name)
            except Exception as error:
                if failed is None:
                    raise
                failed(name, error)
            del going[name]
        if not between({name: trainer for name, (_, trainer, _) in going.items()}):
            break
    return done


def _begin(
    runs: Sequence[Run],
    read: Callable[..., Mixture],
    report: Callable[[str, Progress], None],
    failed: Callable[[str, Exception], None] | None,
) -> dict[str, Going]:
    """The trainings of `runs` at their first step, with shared batches."""
    made: list[tuple[Run, Trainer]] = []
    for run in runs:
        try:
            made.append((run, run.make(read)))
        except Exception as error:
            if failed is None:
                raise
            failed(run.name, error)
    groups: dict[object, list[tuple[Run, Trainer]]] = {}
    for run, trainer in made:
        groups.setdefault((_batches_key(trainer), run.turns), []).append((run, trainer))
    going: dict[str, Going] = {}
    for group in groups.values():
        copies = itertools.tee(group[0][1].batches(), len(group))
        for (run, trainer), batches in zip(group, copies, strict=True):
            steps = trainer.steps(_named(report, run.name), batches)
            going[run.name] = (run, trainer, steps)
    return going


def _named(report: Callable[[str, Progress], None], name: str) -> Callable[[Progress], None]:
    return lambda progress: report(name, progress)


def _batches_key(trainer: Trainer) -> object:
    """Return a value that is equal for trainings that take the same batches."""
    train = trainer.recipe.train
    key = trainer.samples.key()
    return key, train.batch, train.accumulate, train.steps, trainer.step


def _read_once() -> Callable[..., Mixture]:
    """read_mixture, but what it gave is given again for the same arguments."""
    known: dict[object, Mixture] = {}

    def read(
        parts: Sequence[DataPart],
        scheme: str,
        root: Path,
        cache: Path,
        note: Callable[[str], None],
        crop: tuple[int, float],
    ) -> Mixture:
        key = (tuple(parts), scheme, root, cache, cached_size(*crop))
        if key not in known:
            known[key] = read_mixture(parts, scheme, root, cache, note, crop)
        return known[key]

    return read


def _check(runs: Sequence[Run]) -> None:
    known: set[str] = set()
    for run in runs:
        absent = [name for name in run.needs if name not in known]
        if absent or run.name in known:
            told = (
                f"needs {absent[0]!r}, which does not come before it" if absent else "comes twice"
            )
            raise TrainError(
                f"the run {run.name!r} {told}; list each run once, behind those it needs"
            )
        known.add(run.name)
