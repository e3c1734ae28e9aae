"""Measure how many reviews find most spoiled labels, by the orders of `lineament review`.

python -m bench.review_loop [--order sigma --order disagree:fast ...] [--data DIR]
The labels of 100 of 300W's validation faces are spoiled: Gaussian noise of 5 % of the interocular
distance per axis is added to a third of the landmarks. Faces are then reviewed once in each order.
A random order needs 80 % of all faces to find 80 % of the spoiled ones.
"""

import argparse
from dataclasses import replace

import numpy as np

from lineament.cli.app import progress_bar
from lineament.data.readers.registry import read_data
from lineament.data.sample import data_root
from lineament.evaluation.metrics import norm_length
from lineament.inference.predictor import Predictor
from lineament.schemes import scheme
from lineament.serving.review.collect import Comparison, candidates_of_samples
from lineament.serving.review.order import RANDOM, doubts, parse_order

SPOILED, NOISE, SHARE, FOUND = 100, 0.05, 1 / 3, 0.8
ORDERS = ("sigma", "spread", "disagree:accurate", "disagree:fast", "audit", "random")


def spoil(samples, seed):
    """Return the faces, SPOILED of them with noise, and a mask (M,) of these."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(samples), bool)
    chosen[rng.choice(len(samples), SPOILED, replace=False)] = True
    samples_with_noise = []
    for sample, is_spoiled in zip(samples, chosen, strict=True):
        if not is_spoiled:
            samples_with_noise.append(sample)
            continue
        landmarks = sample.landmarks.copy()
        eyes = scheme(sample.scheme).norm_points["interocular"]
        length = norm_length("interocular", landmarks, eyes)
        count = round(SHARE * len(landmarks))
        points = rng.choice(len(landmarks), count, replace=False)
        landmarks[points] += rng.normal(0, NOISE * length, (count, 2))
        samples_with_noise.append(replace(sample, landmarks=landmarks))
    return samples_with_noise, chosen


def reviews_needed(doubt, spoiled):
    """Return the number of reviews, by decreasing doubt, that find FOUND of the spoiled faces."""
    in_order = spoiled[np.argsort(-np.array(doubt), kind="stable")]
    return int(np.searchsorted(in_order.cumsum(), round(FOUND * spoiled.sum())) + 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--order", action="append")
    parser.add_argument("--model", default="accurate")
    parser.add_argument("--data")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples = read_data("300w", data_root(options.data), "train")
    validation = [sample for sample in samples if sample.is_validation()]
    faces, spoiled = spoil(validation, options.seed)
    predictors = {}
    print(f"{len(faces)} faces, {SPOILED} spoiled, model {options.model}")
    print("| order | reviews for 80 % | of random |")
    print("|---|---|---|")
    # expected value for a random order
    by_chance = FOUND * SPOILED * (len(faces) + 1) / (SPOILED + 1)
    for text in options.order or ORDERS:
        order, second = parse_order(text)
        if order == RANDOM:
            print(f"| random | {by_chance:.0f} | 100 % |")
            continue
        for name in (options.model, second):
            if name and name not in predictors:
                predictors[name] = Predictor(name)
        comparison = Comparison(
            predictors[options.model] if order in ("sigma", "spread") else None,
            predictors.get(second),
            order == "spread",
        )
        with progress_bar(text, len(faces)) as step:
            candidates = list(candidates_of_samples(faces, comparison, step))
        needed = reviews_needed(doubts(candidates, order), spoiled)
        print(f"| `{text}` | {needed} | {100 * needed / by_chance:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
