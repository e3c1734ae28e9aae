"""Enlarge sigma of occluded points in exported files that have a single scale for all points.

`lineament export` does this itself. This script is for the packaged files of earlier exports: the
false positives on which their presence was calibrated are gone, so exporting them again would
change what they accept as a face. Fully connected layers are stored as bytes, too. Landmarks do
not change. Afterwards, run scripts/complete_cards.py.

Usage: LINEAMENT_DATA=DIR python scripts/fit_occluded_sigma.py --cache DIR MODEL ...
"""

import argparse
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lineament.data.crop_cache import cache_crops, cached_size
from lineament.data.readers.registry import read_data
from lineament.data.sample import data_root
from lineament.evaluation.protocols import protocol
from lineament.export.calibrate import SigmaScale
from lineament.export.card import write_model
from lineament.export.gate import GateFaces, crop_truth, run_plain
from lineament.export.occluded import OccludedCrops, occluded_crops
from lineament.export.quantize import store_weights_as_bytes
from lineament.inference.model_files import read_card, weights_folder
from lineament.inference.onnx_model import Model

PROTOCOLS = {"helen194": "helen194-val"}
"""Protocol whose validation faces are used, by scheme; 300w-val for all others."""


def validation_faces(model: Model, cache: Path) -> GateFaces:
    """Return the validation faces for the points of `model`."""
    fixed = protocol(PROTOCOLS.get(model.scheme, "300w-val"))
    samples = read_data(fixed.data, data_root(), fixed.part)
    faces = cache_crops(samples, cache, cached_size(model.size, model.padding))
    truth = crop_truth(faces, model.size, model.padding)
    return GateFaces(faces, truth, faces, model.scheme, model.padding, {})


def add_occluded(file: Any, occluded: float) -> None:
    """Multiply the squared sigma_px in the graph by 1 + `occluded` * (1 - visible)."""
    graph = file.graph
    root = next(node for node in graph.node if "sigma_px" in node.output)
    squared, enlarged = root.input[0], "sigma_squared_enlarged"
    root.input[0] = enlarged
    for name, value in (("sigma_occluded", occluded), ("sigma_occluded_one", 1.0)):
        graph.initializer.append(
            numpy_helper.from_array(np.array(value, np.float32), name)
        )
    steps = (
        ("Sub", ["sigma_occluded_one", "visible"], "sigma_occluded_part"),
        ("Mul", ["sigma_occluded", "sigma_occluded_part"], "sigma_occluded_increase"),
        (
            "Add",
            ["sigma_occluded_one", "sigma_occluded_increase"],
            "sigma_occluded_factor",
        ),
        ("Mul", [squared, "sigma_occluded_factor"], enlarged),
    )
    for operator, inputs, output in steps:
        graph.node.append(helper.make_node(operator, inputs, [output], name=output))
    sort_nodes(graph)


def sort_nodes(graph: Any) -> None:
    """Sort the nodes so that each follows the nodes whose outputs it reads."""
    known = {"", *(tensor.name for tensor in (*graph.initializer, *graph.input))}
    rest, ordered = list(graph.node), []
    while rest:
        ready = [node for node in rest if known.issuperset(node.input)]
        assert ready, "the graph has a cycle"
        node = ready[0]
        rest.remove(node)
        ordered.append(node)
        known.update(node.output)
    del graph.node[:]
    graph.node.extend(ordered)


def change(name: str, cache: Path) -> None:
    """Change the packaged file `name` and its card, and print by how much its outputs change."""
    path = weights_folder() / f"{name}.onnx"
    card = read_card(path)
    scale = SigmaScale(**card["sigma"])
    assert scale.occluded is None, f"{name}: done before"
    model = Model(path, 1)
    faces = validation_faces(model, cache)
    crops = occluded_crops(faces, model.size)
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / f"{name}.onnx"
        partial.write_bytes(path.read_bytes())
        store_weights_as_bytes(partial)
        fitted = crops.fit_file(Model(partial, 1), scale, scale)
        assert fitted.occluded is not None
        file = onnx.load(str(partial))
        add_occluded(file, fitted.occluded)
        onnx.checker.check_model(file)
        onnx.save(file, str(partial))
        changed = Model(partial, 1)
        content = partial.read_bytes()
    print_changes(model, changed, faces, crops)
    print("  sigma", fitted.as_dict())
    digest = hashlib.sha256(content).hexdigest()
    card |= {"sigma": fitted.as_dict(), "sha256": digest, "bytes": len(content)}
    write_model(path.parent, name, content, card)


def print_changes(
    model: Model, changed: Model, faces: GateFaces, crops: OccludedCrops
) -> None:
    """Print what differs between a file and the changed one; landmarks must not.

    Raises:
        AssertionError: If a landmark moves.
    """
    truths = {"plain": faces.truth, "covered points": crops.truth}
    for title, truth in truths.items():
        plain = title == "plain"
        under, found = [], []
        for file in (model, changed):
            predicted = (
                run_plain(file, faces.faces) if plain else file.predict(crops.crops)
            )
            found.append(predicted)
            errors = np.linalg.norm(predicted.landmarks_crop - truth, axis=-1)
            counted = np.isfinite(errors) & (True if plain else crops.covered)
            under.append((errors <= 2 * predicted.sigma_px)[counted].mean())
        np.testing.assert_array_equal(*(one.landmarks_crop for one in found))
        moved = np.abs(found[0].visible - found[1].visible).max()
        print(
            f"{model.name}, {title}: under 2 sigma {under[0]:.4f}, now {under[1]:.4f}; "
            f"visible changes by at most {moved:.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    for name in options.models:
        change(name, options.cache)


if __name__ == "__main__":
    main()
