"""Xavier start of a network."""

from torch import nn

LAYERS = (nn.Conv2d, nn.Linear)


def xavier_start(net: nn.Module) -> None:
    """Draw the weights of convolutions and dense layers, and set their biases to 0.

    Source: Glorot, Bengio 2010, eq. 16.
    """
    for layer in net.modules():
        if isinstance(layer, LAYERS):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
