"""Max pooling before PReLU instead of after it. Depends on torch."""

from torch import Tensor, nn


class PooledPReLU(nn.PReLU):
    """Max pooling, then PReLU: the same function as in reverse order if no slope is negative.

    PReLU then sees a fourth of the pixels, and onnxruntime fuses convolution and pooling.
    """

    def __init__(self, channels: int, pool: nn.MaxPool2d) -> None:
        """Use `pool` before the activation of `channels` channels."""
        super().__init__(channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled activations."""
        return super().forward(self.pool(x))


def pool_before_prelu(net: nn.Module, only_equal: bool = False) -> None:
    """Swap each PReLU of a Sequential with the max pooling that follows; names are kept.

    Args:
        net: Changed in place.
        only_equal: Only where no slope is negative, so that the function stays the same.
    """
    for module in list(net.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(len(module) - 1):
            activation, pool = module[index], module[index + 1]
            if isinstance(activation, nn.PReLU) and isinstance(pool, nn.MaxPool2d):
                if only_equal and bool((activation.weight < 0).any()):
                    continue
                pooled = PooledPReLU(activation.num_parameters, pool)
                pooled.weight = activation.weight
                module[index], module[index + 1] = pooled, nn.Identity()
