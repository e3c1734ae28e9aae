"""Compare packaged models in other runtimes with ONNX Runtime, on 300W's validation faces.

Usage: LINEAMENT_DATA=../shared/data python -m bench.other_runtimes [--runtimes openvino opencv web]

A runtime that is not installed or cannot run a file is reported in one line. `web` converts the
file as `lineament page` does, and runs it with onnxruntime-web in node.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lineament.data.mixture import read_mixture
from lineament.data.sample import cache_root, data_root
from lineament.errors import LineamentError
from lineament.export.other_runtimes import RUNTIMES, Runner, compare_on
from lineament.export.web import write_web
from lineament.inference.model_files import find_model
from lineament.inference.onnx_model import Model
from lineament.recipe import DataPart
from lineament.serving.runtime import VERSION, find_runtime

MODELS = ("fast", "accurate")
SCRIPT = Path(__file__).parent / "web_landmarks.mjs"


def run_web(path: Path) -> tuple[str, Runner]:
    """Convert an int8 file for browsers and open it in onnxruntime-web."""
    module = find_runtime() / "ort.wasm.min.mjs"
    folder = tempfile.TemporaryDirectory()  # deleted with `run`
    write_web(path, Path(folder.name) / "web.onnx")

    def run(crops: NDArray[np.uint8]) -> NDArray[np.floating]:
        web = Path(folder.name) / "web.onnx"
        command = ["node", SCRIPT, module, web, str(crops.shape[1])]
        done = subprocess.run(
            command, input=crops.tobytes(), stdout=subprocess.PIPE, check=True
        )
        return np.frombuffer(done.stdout, np.float32).reshape(len(crops), -1, 2)

    return f"onnxruntime-web {VERSION}", run


OPENERS = RUNTIMES | {"web": run_web}


def main() -> None:
    """Print a line per model and runtime."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--runtimes", nargs="+", choices=OPENERS, default=list(OPENERS))
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
                faces, opener = validation["300w"], OPENERS[runtime]
                moves = compare_on(path, runtime, faces, model, opener)
                print(f"{name}, {moves.sentence()}", flush=True)
            except LineamentError as error:
                print(f"{name}: {error}", flush=True)


if __name__ == "__main__":
    main()
