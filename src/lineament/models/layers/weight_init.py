"""Initial weights of a network without pretrained ones."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.Linear)


def init_xavier(net: nn.Module, gain: float = 1.0) -> None:
    """Draw the weights of convolutions and dense layers, times `gain`; set their biases to 0.

    Source: Glorot, Bengio 2010, eq. 16.
    """
    _init(net, partial(nn.init.xavier_uniform_, gain=gain))


def init_tanh(net: nn.Module) -> None:
    """Draw weights with which activations keep their variance through tanh; set biases to 0.

    Source: He, Zhang, Ren, Sun 2015, eq. 10, with a gain of 5/3 for tanh.
    """
    _init(net, partial(nn.init.kaiming_normal_, nonlinearity="tanh"))


def _init(net: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    for layer in net.modules():
        if isinstance(layer, LAYERS):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
