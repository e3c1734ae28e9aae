"""Training of a model without a network, which writes a checkpoint and a log.

The checkpoint is the model itself, a .safetensors file; `lineament export` calibrates its sigma.
Steps depend only on the seed and the model, so a resumed run gives the same result as an
uninterrupted one.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from ...classic.numpy_model import NumpyModel
from ...data.crop_cache import CropCache
from ...data.mixture import Mixture, read_mixture
from ...errors import TrainError
from ...inference.registry import load_numpy_model
from ...recipe import Recipe
from ..log import Progress, TrainLog
from ..resume import CLASSIC_CHECKPOINT, changed_keys, check_folder
from ..unused_keys import refuse_unused
from ..validate import has_norm_points, interocular_nme
from .faces import GrayFaces, read_faces
from .fit import Fit
from .predict import predict_plain_faces


class ClassicTrainer:
    """One run: `ClassicTrainer(fit, recipe, folder, data_root, cache).run()`, like a Trainer."""

    def __init__(
        self,
        fit: Callable[[Recipe, GrayFaces], Fit],
        recipe: Recipe,
        folder: Path,
        data_root: Path,
        cache: Path,
        resume: bool = False,
        note: Callable[[str], None] = lambda line: None,
        read: Callable[..., Mixture] = read_mixture,
    ) -> None:
        """Read the faces.

        Args:
            fit: Fit of the kind of model, see registry.py.
            resume: Continue from the checkpoint in `folder`.
            data_root, cache, note, read: As in Context.

        Raises:
            TrainError: If `folder` contains a run and `resume` is False, or none and it is True.
            RecipeError, DataError: If recipe or data do not fit.
        """
        check_unused(recipe)
        self.recipe, self.folder, self.resumed = recipe, folder, resume
        self.path = folder / CLASSIC_CHECKPOINT
        check_folder(self.path, resume)
        crop = recipe.model.size, recipe.model.padding
        sources, faces = read(recipe.data, recipe.scheme, data_root, cache, note, crop)
        self.validation_faces: dict[str, CropCache] = faces
        caches = [source.cache for source in sources if source.use_until == 1]
        self.fit = fit(recipe, read_faces(caches, recipe))
        self.model = self._read() if resume else self.fit.first()
        if resume:
            self.fit.resume_from_model(self.model)

    @property
    def step(self) -> int:
        """Number of steps done."""
        return int(self.model.settings.get("step", 0))

    @property
    def ended(self) -> bool:
        """True after the last step."""
        return self.step >= self.recipe.train.steps

    @property
    def samples(self) -> "ClassicTrainer":
        """Return the trainer itself, since runs do not share faces."""
        return self

    def key(self) -> object:
        """Return a value that is unique to this training."""
        return id(self)

    def batches(self) -> Iterable[Any]:
        """Return no batches: each step uses all faces."""
        return ()

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> Path:
        """Train to the end; return the path of the checkpoint.

        Args:
            report: Called after each step.
        """
        for _ in self.steps(report):
            pass
        return self.path

    def steps(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        batches: Iterable[Any] | None = None,
    ) -> Iterator[int]:
        """Yield the number of each step after its checkpoint is written.

        Args:
            report: Called after each step.
            batches: Not used.
        """
        steps, first = self.recipe.train.steps, self.step
        with closing(TrainLog(self.folder, first)) as log:
            started = time.monotonic()
            while not self.ended:
                before, number = time.monotonic(), self.step + 1
                self.model = self.fit.step(self.model)
                self.model.settings |= {
                    "step": number,
                    "recipe": self.recipe.model_dump(mode="json"),
                }
                error = self.fit.training_error()
                validation = self.validate()
                self.model.save(self.path)
                now = time.monotonic()
                # a clock may not advance during a short step
                speed = len(self.fit.faces) / max(now - before, 1e-9)
                log.write(number, {"total": error}, 0.0, speed, validation)
                left = (now - started) / (number - first) * (steps - number)
                report(Progress(number, steps, error, speed, left, validation))
                yield number

    def validate(self) -> dict[str, float]:
        """Return the interocular NME by data set, a fraction."""
        results = {}
        for name, cache in self.validation_faces.items():
            predicted, truth, _ = predict_plain_faces(self.model, cache)
            if has_norm_points(truth, self.recipe.scheme).any():
                results[name] = interocular_nme(predicted, truth, self.recipe.scheme)
        return results

    def _read(self) -> NumpyModel:
        """Return the model of the checkpoint.

        Raises:
            TrainError: If its recipe differs.
        """
        model = load_numpy_model(self.path)
        changed = changed_keys(model.settings["recipe"], self.recipe)
        if changed:
            raise TrainError(
                f"{self.path} was written with another recipe ({', '.join(changed)} "
                "differ); resume with that recipe, or start over with another --out"
            )
        return model


def check_unused(recipe: Recipe) -> None:
    """Check that the recipe has no settings that only networks use.

    Raises:
        RecipeError: If it has one.
    """
    settings: dict[str, object] = {
        "init_from": recipe.init_from,
        "init_parts": recipe.init_parts,
        "[presence]": recipe.presence,
        "[tasks]": recipe.tasks,
        "train.freeze": recipe.train.freeze,
    }
    for number, part in enumerate(recipe.data):
        settings[f"data.{number}.annotated = false"] = not part.annotated
    user, reason = f"a {recipe.kind} model", "it has no network"
    refuse_unused(recipe, settings, user, reason)
