"""Tiny ONNX files of face detectors: each white cell of 8 x 8 pixels is a face."""

import json

import numpy as np

CELL = 8
FIVE = np.array([[-2.0, -2], [2, -2], [0, 0], [-1.5, 2], [1.5, 2]])
"""Landmarks about the center of a cell, in input pixels: an upright face."""


def write_bright_detector(path, turn_deg=None, **card):
    """Write a detector whose scores are the mean of each cell / 255, and its card.

    Args:
        path: The .onnx file.
        turn_deg: None: a detector of directions, all (1, 1); else one of landmarks, which
            are `FIVE` turned clockwise by this angle.
        card: Entries of the card.
    """
    import onnx

    helper, tensor = onnx.helper, onnx.TensorProto
    third, last_nodes, last_values = (
        directions() if turn_deg is None else landmarks(turn_deg)
    )
    nodes = [
        ("Cast", ["image"], "float", {"to": tensor.FLOAT}),
        ("Transpose", ["float"], "planes", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["planes", "kernel"], "means", {"strides": [CELL, CELL]}),
        ("Reshape", ["means", "row"], "scores", {}),
        ("Shape", ["means"], "shape", {}),
        ("Expand", ["one", "shape"], "ones", {}),
        ("CumSum", ["ones", "across"], "x", {}),
        ("CumSum", ["ones", "down"], "y", {}),
        ("Concat", ["x", "y", "x", "y"], "ends", {"axis": 1}),
        ("Mul", ["ends", "cell"], "far", {}),
        ("Sub", ["far", "back"], "corners", {}),
        ("Transpose", ["corners"], "last", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["last", "fours"], "boxes", {}),
        *last_nodes,
    ]
    values = {
        "kernel": np.full((1, 3, CELL, CELL), 1 / (3 * CELL**2 * 255), np.float32),
        "row": np.array([1, -1]),
        "one": np.ones((1, 1, 1, 1), np.float32),
        "across": np.array(3),
        "down": np.array(2),
        "cell": np.array(CELL, np.float32),
        "back": np.array([8.5, 8.5, 0.5, 0.5], np.float32).reshape(1, 4, 1, 1),
        "fours": np.array([1, -1, 4]),
        **last_values,
    }
    graph = helper.make_graph(
        [helper.make_node(kind, a, [b], **options) for kind, a, b, options in nodes],
        "bright",
        [helper.make_tensor_value_info("image", tensor.UINT8, [1, None, None, 3])],
        [
            helper.make_tensor_value_info(name, tensor.FLOAT, None)
            for name in ("scores", "boxes", third)
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def directions():
    """Return name, nodes and constants of an output of directions, all (1, 1)."""
    nodes = [
        ("Concat", ["ones", "ones"], "two", {"axis": 1}),
        ("Transpose", ["two"], "turned", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["turned", "twos"], "directions", {}),
    ]
    return "directions", nodes, {"twos": np.array([1, -1, 2])}


def landmarks(turn_deg):
    """Return name, nodes and constants of an output of five points per cell."""
    nodes = [
        ("Concat", ["x", "y"], "two", {"axis": 1}),
        ("Transpose", ["two"], "turned", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["turned", "rows"], "cells", {}),
        ("Mul", ["cells", "cell"], "scaled", {}),
        ("Add", ["scaled", "offsets"], "landmarks", {}),
    ]
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    # cell k, counted from 1, has its center at 8 k - 4.5
    offsets = (FIVE @ turn - 4.5).astype(np.float32)
    return "landmarks", nodes, {"rows": np.array([1, -1, 1, 2]), "offsets": offsets}
