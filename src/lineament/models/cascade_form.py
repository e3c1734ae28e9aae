"""Export form of networks that resample their input crops."""

import copy

from torch import Tensor, nn

from ..errors import RecipeError
from .export_form import ExportForm, exported_tensors
from .layers.pooled_prelu import pool_before_prelu


class _CascadeForm(ExportForm):
    def __init__(self, net: nn.Module) -> None:
        super().__init__(net.size, net.mean, net.std)  # type: ignore[arg-type]
        self.net = net
        pool_before_prelu(net, only_equal=True)

    def forward(
        self, crops: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return exported_tensors(self.net.align(self.normalize(crops)))  # type: ignore[operator]


def cascade_form(net: nn.Module, int8: bool) -> ExportForm:
    """Return the export form of a network with `align`, which resamples its input crops.

    Raises:
        RecipeError: If `int8` is set.
    """
    if int8:
        raise RecipeError(
            "a cascade resamples its crops and cannot be exported in int8; omit --int8"
        )
    return _CascadeForm(copy.deepcopy(net).eval())
