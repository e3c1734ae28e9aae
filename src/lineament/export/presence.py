"""Presence and visibility of an exported file: calibration, gate and figures.

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
    """Of the network in torch."""

    def fit(self, logits: StateLogits) -> StateScales:
        """Fit the calibration of a network that gives `logits` for the crops.

        Faces and crops without one weigh the same.
        """
        seen = self.crops.visible()
        known = np.isfinite(seen)
        return StateScales(
            fit_logits(logits.presence, self.crops.presence(), balanced=True),
            fit_logits(logits.visible[known], seen[known] > 0.5),
        )

    def fit_again(self, path: Path, scales: StateScales) -> StateScales:
        """Fit the calibration to the quantized file at `path`, and write it there.

        Args:
            scales: Those that the file holds.
        """
        presence, visible = states_of(Model(path, 1), self.crops)
        fitted = self.fit(
            StateLogits(
                scales.presence.logits(presence), scales.visible.logits(visible)
            )
        )
        held = scales.constants()
        changed = {}
        for name, value in fitted.constants().items():
            # a scale of 1 and 0, for want of a class, is no longer in the graph
            if value != held[name]:
                changed[name] = value
        write_constants(path, changed)
        return fitted

    def check(
        self, model: Model, torch_scales: StateScales, scales: StateScales, int8: bool
    ) -> dict[str, Any]:
        """Refuse an exported model whose probabilities change more than the bounds.

        Args:
            model: The exported model.
            torch_scales: Calibration of the network in torch.
            scales: Calibration of the file.
            int8: The file is quantized: the mean change counts, not the largest.

        Returns:
            Entries of the card: calibration and rates of the file on validation crops.

        Raises:
            ExportError: If a bound is exceeded, or a number is nan.
        """
        presence, visible = states_of(model, self.crops)
        wanted = {
            "presence": torch_scales.presence.probability(self.logits.presence),
            "visible": torch_scales.visible.probability(self.logits.visible),
        }
        bound, kind = (MEAN_INT8, "mean") if int8 else (LARGEST_FP32, "largest")
        changes = {}
        for name, found in (("presence", presence), ("visible", visible)):
            differences = np.abs(found - wanted[name])
            change = float(differences.mean() if int8 else differences.max())
            if not change <= bound:  # nor nan
                raise ExportError(
                    f"{name}: its {kind} change in ONNX is {change:.3f}; at most {bound} allowed: "
                    "not written"
                )
            changes[f"{name}_{kind}_change"] = round(change, 4)
        rates = state_rates(presence, visible, self.crops)
        counted = self.crops.presence()
        return {
            **scales.constants(),
            "validation_faces": int(counted.sum()),
            "validation_negatives": int((~counted).sum()),
            **{name: round(rate, 5) for name, rate in rates.items()},
            **changes,
        }


def states_of(model: Model, crops: PresenceCrops) -> tuple[Array, Array]:
    """Return presence (M,) of all crops, faces first, and visibility (F, N) of the faces.

    Raises:
        ExportError: If the model does not predict them.
    """

    def predict(batch: Image) -> tuple[Array, Array]:
        found = model.predict(batch)
        if found.presence is None or found.visible is None:
            raise ExportError(f"{model.path.name}: no presence among its outputs")
        return found.presence.astype(np.float64), found.visible.astype(np.float64)

    return run_states(predict, crops, model.size, model.padding)
