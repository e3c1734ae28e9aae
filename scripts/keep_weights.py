"""Save the averaged weights of a checkpoint at half precision, for later training runs.

Usage: python scripts/keep_weights.py CHECKPOINT OUT.safetensors [--about "one line"]

The file includes its recipe; `init_from`, `distill.teacher` and `lineament export` accept it. The
texts of its card are in recipes/cards.toml under the name of the file.
"""

import argparse
import hashlib
import json
from pathlib import Path

from pages import WORDS

from lineament.atomic import write_text
from lineament.training.build import read_trained
from lineament.training.checkpoint import save_weights
from lineament.training.curves import read_log

LARGEST = 12_000_000
"""Largest size of a file in the repository, bytes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--about", default="")
    options = parser.parse_args()
    about = WORDS["common"] | WORDS.get(options.out.stem, {})
    state, recipe = read_trained(options.checkpoint)
    save_weights(options.out, state)
    content = options.out.read_bytes()
    if len(content) > LARGEST:
        print(
            f"{options.out} has {len(content)} bytes; at most {LARGEST} may be committed"
        )
    _, errors = read_log(options.checkpoint.with_name("log.csv"))
    kind = "validation" if recipe.detector else "validation_nme"
    card = {
        "name": recipe.name,
        "about": options.about,
        **{key: about.get(key, "") for key in ("license", "data", "limits")},
        "steps": state["step"],
        "of_steps": recipe.train.steps,
        kind: {name: points[-1][1] for name, points in errors.items()},
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    write_text(options.out.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
