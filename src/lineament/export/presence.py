"""Calibration, gate and figures of presence and visibility in an exported file.

Depends on ONNX Runtime.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.negatives import PresenceCrops
from ..errors import ExportError
from ..geometry import Array, Image
from ..inference.onnx_model import Model
from ..training.presence_rates import StateLogits, run_states, state_rates
from .calibrate import StateScales, fit_logits, write_constants

LARGEST_FP32 = 0.01
"""Largest change of any probability between torch and fp32 ONNX."""
MEAN_INT8 = 0.02
"""Largest mean change of the probabilities between torch and int8 ONNX."""


@dataclass(frozen=True, eq=False)
class StateGate:
    """Presence and visibility of a trained network on validation crops."""

    crops: PresenceCrops
    logits: StateLogits
    """Logits of the network in torch."""

    def fit(self, logits: StateLogits) -> StateScales:
        """Fit the calibration for `logits` of the crops.

        Faces and crops without a face have the same total weight.
        """
        visible_truth = self.crops.visible()
        annotated = np.isfinite(visible_truth)
        return StateScales(
            fit_logits(logits.presence, self.crops.presence(), balanced=True),
            fit_logits(logits.visible[annotated], visible_truth[annotated] > 0.5),
        )

    def fit_again(self, path: Path, scales: StateScales) -> StateScales:
        """Fit the calibration to the quantized file at `path`, and store it in the file.

        Args:
            scales: Calibration currently in the file.
        """
        presence, visible = states_of(Model(path, 1), self.crops)
        fitted = self.fit(
            StateLogits(
                scales.presence.logits(presence), scales.visible.logits(visible)
            )
        )
        old_constants = scales.constants()
        changed = {}
        for name, value in fitted.constants().items():
            # the identity scale (1, 0), used if a class is absent, was folded out of the graph
            if value != old_constants[name]:
                changed[name] = value
        write_constants(path, changed)
        return fitted

    def check(
        self, model: Model, torch_scales: StateScales, scales: StateScales, int8: bool
    ) -> dict[str, Any]:
        """Raise an error if probabilities of an exported model change by more than the bounds.

        Args:
            model: The exported model.
            torch_scales: Calibration of the network in torch.
            scales: Calibration of the file.
            int8: True if the file is quantized: the mean change is checked, not the largest.

        Returns:
            Entries of the card: calibration and rates of the file on validation crops.

        Raises:
            ExportError: If a bound is exceeded, or a number is nan.
        """
        presence, visible = states_of(model, self.crops)
        torch_probability = {
            "presence": torch_scales.presence.probability(self.logits.presence),
            "visible": torch_scales.visible.probability(self.logits.visible),
        }
        bound, kind = (MEAN_INT8, "mean") if int8 else (LARGEST_FP32, "largest")
        changes = {}
        for name, predicted in (("presence", presence), ("visible", visible)):
            differences = np.abs(predicted - torch_probability[name])
            change = float(differences.mean() if int8 else differences.max())
            if not change <= bound:  # also true for nan
                raise ExportError(
                    f"{name}: its {kind} change in ONNX is {change:.3f}; expected at most {bound}: "
                    "nothing was written"
                )
            changes[f"{name}_{kind}_change"] = round(change, 4)
        rates = state_rates(presence, visible, self.crops)
        presence_truth = self.crops.presence()
        return {
            **scales.constants(),
            "validation_faces": int(presence_truth.sum()),
            "validation_negatives": int((~presence_truth).sum()),
            **{name: round(rate, 5) for name, rate in rates.items()},
            **changes,
        }


def states_of(model: Model, crops: PresenceCrops) -> tuple[Array, Array]:
    """Return presence (M,) of all crops, faces first, and visibility (F, N) of the faces.

    Raises:
        ExportError: If the model does not predict them.
    """

    def predict(batch: Image) -> tuple[Array, Array]:
        predicted = model.predict(batch)
        if predicted.presence is None or predicted.visible is None:
            raise ExportError(
                f"{model.path.name}: does not predict presence; export it again"
            )
        return predicted.presence.astype(np.float64), predicted.visible.astype(
            np.float64
        )

    return run_states(predict, crops, model.size, model.padding)
