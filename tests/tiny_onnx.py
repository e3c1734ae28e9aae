"""A tiny landmark model in ONNX whose outputs are the mean colors of its crops."""

import json

import numpy as np

SIZE, POINTS = 16, 5
VISIBLE = np.array([1.0, 0.8, 0.6, 0.4, 0.2])
"""Factor on the mean green of a crop, by landmark of the scheme `five`."""
PLACES = np.array([[5.0, 6], [11, 6], [8, 9], [6, 12], [10, 12]])
"""Landmarks in every crop, pixels."""
ALL = ("landmarks_crop", "scores", "sigma_px", "presence", "visible")


def write_model(path, outputs=ALL):
    """Write a model with these outputs, in this order, and return its path.

    Presence is the mean red of a crop in [0, 1], visibility its green times VISIBLE,
    every score its blue. With `memory_after` the model adds 1 to its memory (F, 2, 1, 1).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "scale": np.float32(1 / 255),
        "zero": np.float32(0),
        "one": np.float32(1),
        "row": np.ones((1, POINTS), np.float32),
        "factors": VISIBLE[None].astype(np.float32),
        "places": PLACES[None].astype(np.float32),
        "sides": np.array([1, 2]),
        "columns": np.array([1]),
        "last": np.array([2]),
    }
    steps = [
        ("Cast", ["crops"], ["pixels"], {"to": TensorProto.FLOAT}),
        ("ReduceMean", ["pixels", "sides"], ["mean"], {"keepdims": 0}),
        ("Mul", ["mean", "scale"], ["unit"], {}),
        ("Split", ["unit"], ["red", "green", "blue"], {"axis": 1, "num_outputs": 3}),
        ("Squeeze", ["red", "columns"], ["presence"], {}),
        ("Mul", ["green", "factors"], ["visible"], {}),
        ("Mul", ["blue", "row"], ["scores"], {}),
        ("Add", ["scores", "one"], ["sigma_px"], {}),
        ("Mul", ["scores", "zero"], ["still"], {}),
        ("Unsqueeze", ["still", "last"], ["still_xy"], {}),
        ("Add", ["places", "still_xy"], ["landmarks_crop"], {}),
    ]
    metadata = {"kind": "landmarks", "name": "tiny", "scheme": "five", "size": SIZE}
    metadata |= {"padding": 1.3, "points": POINTS}
    inputs = {"crops": (TensorProto.UINT8, ["F", SIZE, SIZE, 3])}
    shapes = {"landmarks_crop": ["F", POINTS, 2], "presence": ["F"]}
    if "memory_after" in outputs:
        metadata["memory"] = [2, 1, 1]
        shapes["memory_after"] = ["F", 2, 1, 1]
        inputs["memory"] = (TensorProto.FLOAT, shapes["memory_after"])
        steps.append(("Add", ["memory", "one"], ["memory_after"], {}))
    graph = helper.make_graph(
        [helper.make_node(kind, *ends, **more) for kind, *ends, more in steps],
        "tiny",
        [
            helper.make_tensor_value_info(name, *kind_and_shape)
            for name, kind_and_shape in inputs.items()
        ],
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, shapes.get(name, ["F", POINTS])
            )
            for name in outputs
        ],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    model.metadata_props.add(key="lineament", value=json.dumps(metadata))
    onnx.save(model, str(path))
    return path
