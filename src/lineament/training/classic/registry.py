"""Fits of models without a network, by kind of model."""

from .active_appearance_fit import ActiveAppearanceFit
from .active_shape_fit import ActiveShapeFit
from .cascade_fit import CascadeFit
from .fit import Fit
from .mean_shape_fit import MeanShapeFit

FITS: dict[str, type[Fit]] = {
    "active-appearance": ActiveAppearanceFit,
    "active-shape": ActiveShapeFit,
    "cascade": CascadeFit,
    "mean-shape": MeanShapeFit,
}
"""Fits by `kind` of a recipe's [model]."""
