"""Sees the finding of the attentive 1D tracker again: what the frames before are worth, on clips and Talking Face.

Usage: python scripts/findings_tracker.py [--fades 0.001 0.3] [--clips N] [--frames N] [--out DIR] [--data DIR]
       [--cache DIR]

Trains recipes/cpu/attentive1d-track.toml with each fade, exports it beside its detector, whose fade is 0, and lets a
Tracker follow with each of them clips made of validation faces, with something that passes in front of each, and the
Talking Face video. A fade of 0.001 learns as much and remembers nothing: against it the past is weighed, not against
the detector, which has learnt from no clip. No filter smooths what is found. Printed: NME of all points, of those
hidden, and of the 7 points of Talking Face with its lost frames.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
from findings import exported, train

from lineament import Tracker
from lineament.data.clips import ClipSettings, make_clip
from lineament.data.mixture import read_mixture
from lineament.data.readers import read_data
from lineament.data.sample import data_root
from lineament.learn.recipe import read_recipe
from lineament.score.evaluate import evaluate
from lineament.score.protocols import protocol

RECIPE = Path(__file__).parents[1] / "recipes" / "cpu" / "attentive1d-track.toml"
SEED = 2_000_000
"""Of the clips: none of those that are trained or validated on."""
TALKING = "talking-face-7"


def on_clips(model: Path, options: argparse.Namespace) -> tuple[float, float, int, int]:
    """Interocular NME of all points and of hidden ones, fractions, and the frames without the face, of how many."""
    recipe = read_recipe(RECIPE)
    cache = Path(options.cache or ".cache")
    stills = next(iter(read_mixture(recipe.data, recipe.scheme, data_root(options.data), cache)[1].values()))
    errors, hidden, lost = [], [], 0
    for number, k in enumerate(np.linspace(0, len(stills) - 1, options.clips).round().astype(int)):
        tracker = Tracker(model, faces=1, smooth=None)
        settings = ClipSettings(frames=options.frames, occluders=options.frames // 50 or 1)
        picture = np.ascontiguousarray(stills.crops[k])
        for frame in make_clip(picture, stills.landmarks[k], recipe.scheme, SEED + number, settings):
            faces = tracker(frame.image, frame.timestamp)
            if not len(faces):
                lost += 1
                continue
            eyes = np.linalg.norm(frame.landmarks[36] - frame.landmarks[45])
            away = np.linalg.norm(faces[0].landmarks - frame.landmarks, axis=1) / eyes
            errors.append(away)
            hidden.append(away[frame.hidden])
    return float(np.mean(errors)), float(np.concatenate(hidden).mean()), lost, options.clips * options.frames


def on_talking_face(model: Path, options: argparse.Namespace) -> tuple[float, int]:
    """The NME, a fraction, and the frames lost."""
    fixed = protocol(TALKING)
    samples = read_data(fixed.data, data_root(options.data), fixed.part)
    report = evaluate(Tracker(model, smooth=None), TALKING, samples, boxes="tracked")
    return report.nme, report.missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fades", nargs="+", type=float, default=[0.001, 0.3])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--detector", type=Path, default=Path("runs/attentive1d/checkpoint.pt"))
    parser.add_argument("--out", type=Path, default=Path("runs/findings-tracker"))
    parser.add_argument("--data")
    parser.add_argument("--cache")
    options = parser.parse_args()
    models = {0.0: exported(options.detector, options)}
    detector = hashlib.sha256(options.detector.read_bytes()).hexdigest()[:8]  # another detector, other runs
    for fade in options.fades:
        changes = (f"refine.fade={fade}", f"start={options.detector}")
        models[fade] = exported(
            train("refine", RECIPE, changes, options.out / f"{detector}-fade-{fade:g}", options), options
        )
    print("| fade | clips, NME % | points hidden, NME % | frames lost | Talking Face, 7 points, NME % | frames lost |")
    print("|---|---|---|---|---|---|")
    for fade, model in models.items():
        whole, hidden, lost, frames = on_clips(model, options)
        nme, missed = on_talking_face(model, options)
        figures = [f"{100 * whole:.3f}", f"{100 * hidden:.3f}", f"{lost} of {frames}", f"{100 * nme:.3f}", str(missed)]
        print(f"| {fade:g} | " + " | ".join(figures) + " |", flush=True)


if __name__ == "__main__":
    main()
