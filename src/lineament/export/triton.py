"""Write a model repository for Triton Inference Server: networks with their configuration.

Triton runs only the networks; the client crops faces and maps landmarks back.
"""

import shutil
from pathlib import Path

from ..errors import ExportError
from ..inference.model_files import find_model
from ..inference.onnx_model import open_session
from ..inference.tensors import ModelTensor, input_tensors, output_tensors

MAX_BATCH = 64
"""Largest batch that Triton may form."""
QUEUE_US = 500
"""Time that Triton waits to fill a batch, microseconds."""
VERSION = "1"


def write_triton(name: str, out: Path) -> Path:
    """Write a model into a repository, as NAME/config.pbtxt and NAME/1/model.onnx.

    Args:
        name: Name of a packaged model, including the detector, or an .onnx file.
        out: The repository; other models in it are kept.

    Returns:
        The folder of the model.

    Raises:
        ExportError: If the model is not an ONNX file, or the repository already has a model of this
            name.
        ModelError: If there is no such model.
    """
    path = find_model(name)
    if path.suffix != ".onnx":
        raise ExportError(
            f"{path} has no network for Triton; "
            "expected an .onnx file, or the name of a model"
        )
    session = open_session(path, 1)
    config = triton_config(path.stem, input_tensors(session), output_tensors(session))
    folder = out / path.stem
    if folder.exists():
        raise ExportError(f"{folder} exists; remove it, or choose another --out")
    partial = out / f".{path.stem}.part"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / VERSION).mkdir(parents=True)
    shutil.copyfile(path, partial / VERSION / "model.onnx")
    (partial / "config.pbtxt").write_text(config, encoding="utf-8")
    card = path.with_suffix(".json")
    if card.is_file():
        shutil.copyfile(card, partial / "card.json")
    partial.rename(folder)
    return folder


def triton_config(
    name: str, inputs: list[ModelTensor], outputs: list[ModelTensor]
) -> str:
    """Return the text of config.pbtxt.

    If the first dimension of tensors is variable, Triton may form batches.
    """
    is_batched = all(tensor.shape[:1] == (-1,) for tensor in (*inputs, *outputs))
    lines = [
        f'name: "{name}"',
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {MAX_BATCH if is_batched else 0}",
    ]
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for tensor in tensors:
            lines += _tensor(kind, tensor, is_batched)
    if is_batched:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_US} }}")
    return "\n".join(lines) + "\n"


def _tensor(kind: str, tensor: ModelTensor, is_batched: bool) -> list[str]:
    sides = list(tensor.shape[1:] if is_batched else tensor.shape)
    # Triton has no scalars: clients get one number per crop as (1,)
    reshape = [] if sides else ["  reshape { shape: [ ] }"]
    dims = ", ".join(map(str, sides or [1]))
    return [
        f"{kind} {{",
        f'  name: "{tensor.name}"',
        f"  data_type: TYPE_{tensor.datatype}",
        f"  dims: [ {dims} ]",
        *reshape,
        "}",
    ]
