"""Conversion of a network to an ONNX graph that includes decoding and calibrated scores."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import missing_extra
from ..inference.onnx_model import METADATA_KEY
from ..models.export_form import ExportForm
from .calibrate import SigmaScale, StateScales, near_exponent

OPSET = 20


class LandmarkGraph(nn.Module):
    """Predict landmarks_crop, scores and sigma_px from uint8 crops (B, S, S, 3).

    The other outputs are presence and visible, attributes, and memory_after, in this order. Values
    that are calibrated again after quantization are buffers, so that they have names in the file.
    """

    sigma_slope: Tensor
    sigma_floor: Tensor
    sigma_occluded: Tensor
    presence_slope: Tensor
    presence_offset: Tensor
    visible_slope: Tensor
    visible_offset: Tensor

    def __init__(
        self,
        form: ExportForm,
        scale: SigmaScale,
        padding: float,
        states: StateScales | None = None,
        classes: Sequence[int] = (),
    ) -> None:
        """Store the calibration.

        Args:
            states: Calibration of presence and visibility, for a form that has them.
            classes: Number of logits per task, for a form that classifies faces; 1: a binary task.
        """
        super().__init__()
        self.form, self.classes = form, list(classes)
        self.enlarged = scale.occluded is not None
        constants = scale.constants() | ({} if states is None else states.constants())
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(value))
        self.exponent = near_exponent(form.size, padding)

    def forward(
        self, crops: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        landmarks, variance, *rest = self.form(crops, memory)
        squared = self.sigma_slope * variance.clamp(min=0) + self.sigma_floor
        # scores remain those of visible points: the predictor compares their mean over faces
        scores = 1 - torch.exp(-self.exponent / squared)
        if self.form.presence:
            face, visible, *rest = rest
            face = torch.sigmoid(self.presence_slope * face + self.presence_offset)
            visible = torch.sigmoid(self.visible_slope * visible + self.visible_offset)
            if self.enlarged:
                squared = squared * (1 + self.sigma_occluded * (1 - visible))
            rest = [face, visible, *rest]
        if self.classes:
            *states, logits = rest
            rest = [*states, class_probabilities(logits, self.classes)]
        return landmarks, scores, squared.sqrt(), *rest


def class_probabilities(logits: Tensor, classes: Sequence[int]) -> Tensor:
    """Return the probabilities (B, K) of logits (B, K); `classes` are logits per task."""
    parts = []
    for task_logits in torch.split(logits, list(classes), dim=1):
        parts.append(
            task_logits.sigmoid()
            if task_logits.shape[1] == 1
            else task_logits.softmax(1)
        )
    return torch.cat(parts, dim=1)


def write_onnx(graph: LandmarkGraph, path: Path) -> None:
    """Write ONNX with a dynamic batch size.

    Raises:
        ExtraError: If onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_extra("onnxscript", "train") from error
    form = graph.form
    inputs = {"crops": torch.zeros((2, form.size, form.size, 3), dtype=torch.uint8)}
    outputs = ["landmarks_crop", "scores", "sigma_px"]
    if form.presence:
        outputs += ["presence", "visible"]
    if graph.classes:
        outputs.append("attributes")
    if form.memory_shape is not None:
        inputs["memory"] = torch.zeros(2, *form.memory_shape)
        outputs.append("memory_after")
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = trace(graph, inputs, outputs, ({0: batch},) * len(inputs), OPSET)
    program.save(str(path), external_data=False)


def trace(
    graph: nn.Module,
    inputs: dict[str, Tensor],
    outputs: list[str],
    dynamic_shapes: Any,
    opset: int,
) -> Any:
    """Return torch's ONNX program of `graph`.

    Args:
        dynamic_shapes: Dynamic axes of the inputs, in the form of torch.onnx.export.
    """
    # torch warns at length that torchvision is missing, which is not needed
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch's exporter calls its own deprecated functions
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            input_names=list(inputs),
            output_names=outputs,
            opset_version=opset,
            verbose=False,
        )
    logger.setLevel(level)
    assert program is not None
    return program


def set_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Write `metadata` into the ONNX file.

    Torch's annotations of each node's source line are removed.
    """
    import onnx

    model = onnx.load(str(path))
    for part in (model, model.graph, *model.graph.node):
        del part.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(metadata))
    onnx.save(model, str(path))


def without_notes(model: Any) -> Any:
    """Remove the source annotations of all nodes of an ONNX model, a quarter of the file."""
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    return model
