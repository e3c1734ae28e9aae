"""Keep the averaged weights of a checkpoint at half precision, with a card, for later trainings.

Usage: python scripts/keep_weights.py CHECKPOINT OUT.safetensors [--about "one line"]
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from lineament.atomic import atomic_path
from lineament.training.build import read_trained
from lineament.training.checkpoint import student_weights
from lineament.training.curves import read_log

LARGEST = 12_000_000
"""Bytes of the largest file that the repository takes."""


def halved(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `weights` with matrices at half precision, vectors and counters as they are."""
    kept = {}
    for name, value in weights.items():
        kept[name] = (value.half() if value.ndim > 1 else value).contiguous()
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--about", default="")
    options = parser.parse_args()
    state, recipe = read_trained(options.checkpoint)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out) as partial:
        save_file(halved(student_weights(state["average"])), str(partial))
        size = partial.stat().st_size
        if size > LARGEST:
            raise SystemExit(
                f"{options.out}: {size} bytes; at most {LARGEST} may be committed"
            )
    _, errors = read_log(options.checkpoint.with_name("log.csv"))
    card = {
        "name": recipe.name,
        "about": options.about,
        "steps": state["step"],
        "of_steps": recipe.train.steps,
        "validation_nme": {name: points[-1][1] for name, points in errors.items()},
        "licence": "Research only: the faces it was trained on may be used for research only.",
        "sha256": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "bytes": size,
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
    }
    with atomic_path(options.out.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}  {size / 1e6:.1f} MB  {card['validation_nme']}")


if __name__ == "__main__":
    main()
