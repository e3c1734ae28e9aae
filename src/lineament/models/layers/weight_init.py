"""Initial weights of a network without pretrained ones."""

from torch import nn

LAYERS = (nn.Conv2d, nn.Linear)


def init_xavier(net: nn.Module) -> None:
    """Draw the weights of convolutions and dense layers, and set their biases to 0.

    Source: Glorot, Bengio 2010, eq. 16.
    """
    for layer in net.modules():
        if isinstance(layer, LAYERS):
            nn.init.xavier_uniform_(layer.weight)
            _zero_bias(layer)


def init_tanh(net: nn.Module) -> None:
    """Draw weights with which activations keep their variance through tanh; set biases to 0.

    Source: He, Zhang, Ren, Sun 2015, eq. 10, with a gain of 5/3 for tanh.
    """
    for layer in net.modules():
        if isinstance(layer, LAYERS):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="tanh")
            _zero_bias(layer)


def _zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
