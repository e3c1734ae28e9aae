"""Training of the face detector: a recipe, a loop that can be killed and resumed, checkpoints, a CSV log.

Scene k of the training is the same in every run, so a resumed run sees what the unbroken one would have seen.
"""

import csv
import math
import queue
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor

from ...data.detection.image_cache import ImageCache
from ...data.detection.photos import read_detector_photos
from ...data.detection.scenes import Scene, SceneMaker
from ...errors import RecipeError, TrainError
from ...models.face_detector import Cells, FaceDetectorNet, all_centers
from ...recipe import Settings
from ..checkpoint import load_checkpoint, save_checkpoint
from ..memory import keep_freed_memory
from .losses import detector_loss
from .targets import targets


SHARES = {"wider": 0.3, "masks": 0.22, "landmarks": 0.3, "background": 0.18}


class DetectorRecipe(Settings):
    """A training of the face detector."""

    name: str = Field("detector", description="how the run and its files are called")
    init_from: str = Field(
        "", description="a checkpoint whose averaged weights to start from; empty: random weights"
    )
    widths: tuple[int, ...] = Field(
        (16, 32, 64, 96, 160), description="channels at strides 2, 4, 8, 16, 32"
    )
    depths: tuple[int, ...] = Field(
        (1, 3, 4, 3), description="further blocks at strides 4, 8, 16, 32"
    )
    pyramid: int = Field(48, ge=8, description="channels of the feature pyramid")
    size: int = Field(
        256, ge=64, multiple_of=64, description="side of the training scenes in pixels"
    )
    batch: int = Field(16, ge=1, description="scenes a step")
    steps: int = Field(ge=1, description="optimizer steps in all")
    lr: float = Field(2e-3, gt=0, description="highest learning rate, AdamW")
    weight_decay: float = Field(0.02, ge=0, description="weight decay, not on norms and biases")
    warmup: int = Field(
        300, ge=0, description="steps over which the learning rate rises; then a half cosine"
    )
    clip: float = Field(10.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(
        0.9985, ge=0, lt=1, description="decay of the averaged weights, which are those exported"
    )
    threads: int = Field(1, ge=1, description="torch threads")
    ahead: int = Field(
        4, ge=0, description="batches made ahead by a thread; 0: none, made when needed"
    )
    checkpoint_minutes: float = Field(2.0, ge=0, description="minutes between checkpoints")
    validate_every: int = Field(
        2000, ge=1, description="steps between looks at the held-back scenes"
    )
    seed: int = Field(1, ge=0, description="seed of scenes and weights")


def read_detector_recipe(path: Path) -> DetectorRecipe:
    """The recipe in the TOML file at `path`.    Raises: RecipeError where the file, a key or a value is not right."""
    try:
        return DetectorRecipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(
            f"{path}: cannot be read as a recipe ({error}); wanted a TOML file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(DetectorRecipe.model_fields)
        raise RecipeError(
            f"{path}: {key}: {first['msg']}; a detector's recipe may set {known}"
        ) from error


class Batch:
    """Scenes as tensors."""

    def __init__(self, scenes: Sequence[Scene], centers: Tensor) -> None:
        self.images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
        self.boxes = [torch.from_numpy(scene.boxes).float() for scene in scenes]
        self.whole = [torch.from_numpy(scene.recognizable) for scene in scenes]
        self.roll_deg = [torch.from_numpy(scene.roll_deg).float() for scene in scenes]
        self.roll_weight = [torch.from_numpy(scene.roll_weight).float() for scene in scenes]
        size = self.images.shape[1]
        column, row = centers.round().long().clamp(0, size - 1).T
        self.counted = torch.from_numpy(np.stack([scene.labeled for scene in scenes]))[
            :, row, column
        ]  # (B, P)


def batches(
    maker: SceneMaker, batch: int, first: int, last: int, ahead: int, centers: Tensor
) -> Iterator[Batch]:
    """The batches of steps first..last - 1, made up to `ahead` steps in advance by a thread."""

    def make(step: int) -> Batch:
        return Batch([maker(step * batch + i) for i in range(batch)], centers)

    if ahead == 0:
        yield from (make(step) for step in range(first, last))
        return
    ready: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
    stop = threading.Event()

    def work() -> None:
        for step in range(first, last):
            if stop.is_set():
                return
            try:
                made: Batch | BaseException = make(step)
            except BaseException as error:  # handed to the loop, which raises it
                made = error
            while not stop.is_set():
                try:
                    ready.put(made, timeout=0.5)
                    break
                except queue.Full:
                    continue

    threading.Thread(target=work, daemon=True).start()
    try:
        for _ in range(first, last):
            made = ready.get()
            if isinstance(made, BaseException):
                raise made
            yield made
    finally:
        stop.set()


def learning_rate(recipe: DetectorRecipe, step: int) -> float:
    """The rate at `step`: a linear warm-up times a half cosine.    Source: Loshchilov and Hutter 2017, eq. 5."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    return recipe.lr * warm * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


class DetectorTrainer:
    """Network, averaged network and optimizer of a run; `run` goes on from the last checkpoint."""

    def __init__(
        self,
        recipe: DetectorRecipe,
        maker: SceneMaker,
        folder: Path,
        validation_faces: Sequence[Scene] = (),
    ) -> None:
        """maker: makes scenes of side recipe.size.    folder: for checkpoints and log.    validation_faces: never learnt."""
        keep_freed_memory()
        torch.manual_seed(recipe.seed)
        self.recipe, self.maker, self.folder = recipe, maker, folder
        self.net = new_net(recipe).train()
        self.averaged = new_net(recipe).eval().requires_grad_(False)
        if recipe.init_from:
            self.net.load_state_dict(load_detector(Path(recipe.init_from)).state_dict())
        self.averaged.load_state_dict(self.net.state_dict())
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
        self.centers, self.strides = all_centers(recipe.size, recipe.size)
        self.validation_faces = [
            Batch(validation_faces[i : i + 25], self.centers)
            for i in range(0, len(validation_faces), 25)
        ]
        self.step = 0

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state: dict[str, Any] = {
            "recipe": self.recipe.model_dump_json(),
            "step": self.step,
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_checkpoint(self.checkpoint, state)

    def resume(self) -> None:
        """Go back to the last checkpoint.    Raises: ModelError; TrainError where it is of another recipe."""
        state = load_checkpoint(self.checkpoint)
        if DetectorRecipe.model_validate_json(state["recipe"]) != self.recipe:
            raise TrainError(
                f"{self.checkpoint} is of another recipe; give that recipe or another folder"
            )
        self.net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])

    def losses(self, net: FaceDetectorNet, batch: Batch) -> tuple[Tensor, Cells]:
        """The three losses (3,), weighted as they are summed, and what the network said."""
        cells: Cells = net(batch.images)
        wanted = targets(batch.boxes, batch.whole, batch.counted, self.centers, self.strides)
        loss = detector_loss(cells, wanted, batch.boxes, batch.roll_deg, batch.roll_weight)
        return loss.weighted(), cells

    def learn(self, batch: Batch) -> Tensor:
        """One step; the three losses (3,)."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        losses, _ = self.losses(self.net, batch)
        self.optimizer.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self.optimizer.step()
        # young averages forget faster, so that the weights it began with do not linger
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(
                self.averaged.state_dict().values(), self.net.state_dict().values(), strict=True
            ):
                if kept.is_floating_point():
                    kept.lerp_(new, 1 - decay)
        self.step += 1
        return losses.detach()

    @torch.no_grad()
    def look(self) -> dict[str, float]:
        """Of the averaged network on held-back scenes: losses, share of faces found, cells that cry wolf a scene."""
        total, found, faces, wolves, scenes = torch.zeros(3), 0, 0, 0, 0
        for batch in self.validation_faces:
            losses, cells = self.losses(self.averaged, batch)
            total += losses / len(self.validation_faces)
            wanted = targets(batch.boxes, batch.whole, batch.counted, self.centers, self.strides)
            loud = cells.logits.sigmoid() > 0.5
            wolves += int((loud & wanted.counted & (wanted.face < 0)).sum())
            scenes += len(batch.images)
            for heard, face in zip(loud, wanted.face, strict=True):
                owned = set(face[face >= 0].tolist())
                faces += len(owned)
                found += len(set(face[heard & (face >= 0)].tolist()))
        names = ("held_score", "held_box", "held_direction")
        return dict(zip(names, total.tolist(), strict=True)) | {
            "found": found / max(1, faces),
            "wolves": wolves / max(1, scenes),
        }

    def run(self, until: int | None = None) -> None:
        """Train up to step `until`, by default to the recipe's last."""
        recipe = self.recipe
        torch.set_num_threads(recipe.threads)
        last = recipe.steps if until is None else min(until, recipe.steps)
        log = RunLog(self.folder / "log.csv", self.step)
        saved = began = time.monotonic()
        mean, since = torch.zeros(3), self.step
        for batch in batches(self.maker, recipe.batch, self.step, last, recipe.ahead, self.centers):
            mean += self.learn(batch)
            now = time.monotonic()
            looks = self.step % recipe.validate_every == 0 or self.step == recipe.steps
            if self.step % 100 == 0 or looks or self.step == last:
                steps = self.step - since
                rate = steps * recipe.batch / max(now - began, 1e-9)
                log.write(
                    self.step,
                    mean / steps,
                    rate,
                    learning_rate(recipe, self.step),
                    self.look() if looks else {},
                )
                mean, since, began = torch.zeros(3), self.step, time.monotonic()
            if now - saved > 60 * recipe.checkpoint_minutes:
                self.save()
                saved = now
        self.save()


class RunLog:
    """Rows of numbers in a CSV file; rows of steps that will come again are dropped."""

    fields = ("step", "score", "box", "direction", "scenes_per_second", "lr")
    looks = ("held_score", "held_box", "held_direction", "found", "wolves")

    def __init__(self, path: Path, step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        self.path = path
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.fields + self.looks)
            writer.writeheader()
            writer.writerows(rows)

    def write(
        self, step: int, losses: Tensor, rate: float, lr: float, validation_faces: dict[str, float]
    ) -> None:
        """One row."""
        numbers = (
            dict(zip(self.fields, (step, *losses.tolist(), rate, lr), strict=True))
            | validation_faces
        )
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.fields + self.looks, restval="")
            writer.writerow(
                {k: v if isinstance(v, int) else f"{v:.5g}" for k, v in numbers.items()}
            )


def new_net(recipe: DetectorRecipe) -> FaceDetectorNet:
    """The network of a recipe, with random weights."""
    return FaceDetectorNet(recipe.widths, recipe.depths, recipe.pyramid)


def train_detector(
    recipe: DetectorRecipe, data: Path, cache: Path, folder: Path
) -> DetectorTrainer:
    """Train on the photos below `data`, or go on where `folder` has a checkpoint; pictures are kept in `cache`."""
    photos = read_detector_photos(data)
    learnt = [photo for photo in photos if not photo.is_validation()]
    kept = [photo for photo in photos if photo.is_validation()]
    maker = SceneMaker(learnt, ImageCache(cache, learnt), SHARES, recipe.size, recipe.seed)
    judge = SceneMaker(kept, ImageCache(cache, kept), SHARES, recipe.size, recipe.seed)
    trainer = DetectorTrainer(recipe, maker, folder, [judge(i) for i in range(400)])
    if trainer.checkpoint.exists():
        trainer.resume()
    trainer.run()
    return trainer


def load_detector(path: Path) -> FaceDetectorNet:
    """The averaged network of a checkpoint, ready to use.    Raises: ModelError."""
    state = load_checkpoint(path)
    net = new_net(DetectorRecipe.model_validate_json(state["recipe"]))
    net.load_state_dict(state["averaged"])
    return net.eval()
