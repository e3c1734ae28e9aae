"""Sees the finding of the attentive 1D tracker again: what the frames before are worth, on clips and Talking Face.

Usage: python scripts/findings_tracker.py [--fades 0.001 0.3] [--seeds 1 2 3] [--detector CHECKPOINT] [--clips N]
       [--frames N] [--out DIR] [--data DIR] [--cache DIR]

Trains recipes/cpu/attentive1d-track.toml with each fade, exports it beside its detector, whose fade is 0, and lets a
Tracker follow with each of them clips made of validation faces, with something that passes in front of each, and the
Talking Face video. A fade of 0.001 learns as much and remembers nothing: against it the past is weighed, not against
the detector, which has learnt from no clip. No filter smooths what is found. Printed: NME of all points, of those
hidden and of those hidden for at most 3 frames, over the frames that no model lost (nothing found, or an error of more
than 20 %); frames lost; the NME of the 7 points of Talking Face over the frames that each model followed, and those it
lost; mean and deviation over the seeds. A row of findings_1d.py serves as detector, too.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from findings import exported, spread, train

from lineament import Tracker
from lineament.data.mixture import read_mixture
from lineament.data.readers.registry import read_data
from lineament.data.sample import cache_root, data_root
from lineament.data.synthetic_clips import ClipSettings, make_clip
from lineament.evaluation.evaluate import evaluate
from lineament.evaluation.protocols import protocol
from lineament.recipe import read_recipe
from lineament.training.build import load_trained
from lineament.training.temporal.task import MODEL_KEYS

RECIPE = Path(__file__).parents[1] / "recipes" / "cpu" / "attentive1d-track.toml"
SEED = 2_000_000
"""Of the clips: none of those that are trained or validated on."""
TALKING = "talking-face-7"
LOST = 0.2
"""The error of a frame, in parts of the distance of the eyes, at which its face counts as lost."""
SHORT = 3
"""So many frames are a point's first behind something."""


def on_clips(model: Path, options: argparse.Namespace) -> tuple[Any, Any]:
    """Interocular errors (T, N) of all frames of the clips, fractions, nan where the face was lost; what is hidden."""
    recipe = read_recipe(RECIPE)
    cache = cache_root(options.cache)
    stills = next(
        iter(read_mixture(recipe.data, recipe.scheme, data_root(options.data), cache)[1].values())
    )
    errors, hidden = [], []
    for number, k in enumerate(np.linspace(0, len(stills) - 1, options.clips).round().astype(int)):
        tracker = Tracker(model, faces=1, smooth=None)
        settings = ClipSettings(frames=options.frames, occluders=options.frames // 50 or 1)
        picture = np.ascontiguousarray(stills.crops[k])
        for frame in make_clip(
            picture, stills.landmarks[k], recipe.scheme, SEED + number, settings
        ):
            faces = tracker(frame.image, frame.timestamp)
            eyes = np.linalg.norm(frame.landmarks[36] - frame.landmarks[45])
            found = faces[0].landmarks if len(faces) else np.full_like(frame.landmarks, np.nan)
            errors.append(np.linalg.norm(found - frame.landmarks, axis=1) / eyes)
            hidden.append(frame.occluded)
    return np.stack(errors), np.stack(hidden)


def kept_hidden(hidden: np.ndarray, frames: int) -> np.ndarray:
    """(T, N): points hidden for more than SHORT frames, in clips of so many frames each."""
    count, longer = np.zeros(hidden.shape[1], int), np.zeros_like(hidden)
    for t in range(len(hidden)):
        count = np.where(hidden[t], (count if t % frames else 0) + 1, 0)
        longer[t] = count > SHORT
    return longer


def on_talking_face(model: Path, options: argparse.Namespace) -> tuple[float, int]:
    """The NME, a fraction, and the frames lost."""
    fixed = protocol(TALKING)
    samples = read_data(fixed.data, data_root(options.data), fixed.part)
    report = evaluate(Tracker(model, smooth=None), TALKING, samples, boxes="tracked")
    return report.nme, report.missed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fades", nargs="+", type=float, default=[0.001, 0.3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--detector", type=Path, default=Path("runs/attentive1d/checkpoint.pt"))
    parser.add_argument("--out", type=Path, default=Path("runs/findings-tracker"))
    parser.add_argument("--data")
    parser.add_argument("--cache")
    options = parser.parse_args()
    models = {0.0: [exported(options.detector, options)]}
    given = load_trained(options.detector)[1].model
    same = tuple(
        f"model.{key}={getattr(given, key)}" for key in MODEL_KEYS if getattr(given, key) is not None
    )
    detector = hashlib.sha256(options.detector.read_bytes()).hexdigest()[
        :8
    ]  # another detector, other runs
    for fade in options.fades:
        models[fade] = []
        for seed in options.seeds:
            changes = (
                *same,
                f"refine.decay={fade}",
                f"start={options.detector}",
                f"train.seed={seed}",
            )
            folder = options.out / f"{detector}-fade-{fade:g}-seed{seed}"
            models[fade].append(
                exported(train("refine", RECIPE, changes, folder, options), options)
            )
    seen = {path: on_clips(path, options) for paths in models.values() for path in paths}
    # means over other frames could not be compared; nan is not below
    followed = {path: errors.mean(1) < LOST for path, (errors, _) in seen.items()}
    common = np.all(list(followed.values()), axis=0)
    hidden = next(iter(seen.values()))[1]
    shortly = hidden & ~kept_hidden(hidden, options.frames)
    print(f"{len(common)} frames of clips, of which all models followed {common.sum()}\n")
    head = [
        "fade",
        "clips, NME %",
        "points hidden",
        f"hidden for {SHORT} frames at most",
        "frames lost",
    ]
    head += ["Talking Face, 7 points", "frames lost"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for fade, paths in models.items():
        figures = []
        for points in (np.ones_like(hidden), hidden, shortly):
            figures.append(
                spread([float(seen[path][0][common][points[common]].mean()) for path in paths])
            )
        figures.append(", ".join(str(int((~followed[path]).sum())) for path in paths))
        nmes, missed = zip(*(on_talking_face(path, options) for path in paths), strict=True)
        figures += [spread(list(nmes)), ", ".join(map(str, missed))]
        print(f"| {fade:g} | " + " | ".join(figures) + " |", flush=True)


if __name__ == "__main__":
    main()
