"""Compare packaged models in other runtimes with ONNX Runtime, on 300W's validation faces.

Usage: LINEAMENT_DATA=../shared/data python -m bench.other_runtimes [--runtimes openvino opencv]

A runtime that is not installed or cannot run a file is reported in one line.
"""

import argparse
from pathlib import Path

from lineament.data.mixture import read_mixture
from lineament.data.sample import cache_root, data_root
from lineament.errors import LineamentError
from lineament.export.other_runtimes import RUNTIMES, compare_on
from lineament.inference.model_files import find_model
from lineament.inference.onnx_model import Model
from lineament.recipe import DataPart

MODELS = ("fast", "accurate")


def main() -> None:
    """Print a line per model and runtime."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    options = parser.parse_args()
    part = DataPart(reader="300w", part="train")
    for name in options.models:
        path = Path(find_model(name))
        model = Model(path, 1)
        crop = (model.size, model.padding)
        _, validation = read_mixture(
            [part], model.scheme, data_root(), cache_root(), crop=crop
        )
        for runtime in options.runtimes:
            try:
                moves = compare_on(path, runtime, validation["300w"], model)
                print(f"{name}, {moves.sentence()}", flush=True)
            except LineamentError as error:
                print(f"{name}: {error}", flush=True)


if __name__ == "__main__":
    main()
