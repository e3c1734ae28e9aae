"""One batch of training data as named tensors. Depends only on torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate


@dataclass(frozen=True)
class Batch:
    """Named tensors with one row per sample; None where a task has no such data.

    A task that needs more data adds a field here instead of extending the shape of another one.
    """

    crops: Tensor
    """(B, S, S, 3) uint8 RGB; (B, T, S, S, 3) for windows of clips, (B, H, W, 3) for scenes."""
    landmarks: Tensor | None = None
    """(B, N, 2), pixels of the crop, nan where not annotated; (B, T, N, 2) for windows."""
    visible: Tensor | None = None
    """(B, N) float: 1 visible, 0 not, nan unknown."""
    presence: Tensor | None = None
    """(B,) float: 1 if the crop shows a face, 0 if none, nan unknown."""
    teacher_landmarks: Tensor | None = None
    """(B, N, 2), pixels of the crop: cached landmarks of a teacher."""
    boxes: Tensor | None = None
    """(B, F, 4), pixels of the crop, padded with nan."""
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    """(B,) float by name, nan where the data set does not annotate it."""
    classes: Tensor | None = None
    """(B,) int64: class of each image."""
    crop_motion: Tensor | None = None
    """(B, T, 3): scale, shift x and shift y of each crop in a window from the previous frame."""
    masks: Tensor | None = None
    """(B, K, 7): rectangle drawn over the input of each of K networks, and its color."""

    cell_face: Tensor | None = None
    """(B, P) int64: face assigned to each cell of a detector, -1 for none."""
    cell_scored: Tensor | None = None
    """(B, P) bool: True if the score of the cell is trained."""
    cell_boxes: Tensor | None = None
    """(B, P, 4), pixels of the scene: box of the cell's face, zeros for none."""
    cell_five: Tensor | None = None
    """(B, P, 5, 2), pixels of the scene: five points of the cell's face, nan if unknown."""

    def __len__(self) -> int:
        return len(self.crops)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name, an attribute as "attributes.NAME", in a fixed order."""
        tensors: dict[str, Tensor] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "attributes":
                tensors |= {
                    f"attributes.{name}": tensor for name, tensor in value.items()
                }
            elif value is not None:
                tensors[each.name] = value
        return tensors

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with `change` applied to every tensor."""
        changed: dict[str, Any] = {"attributes": {}}
        for name, tensor in self.tensors().items():
            part, _, attribute = name.partition(".")
            if attribute:
                changed[part][attribute] = change(tensor)
            else:
                changed[part] = change(tensor)
        return Batch(**changed)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`; copies from pinned memory are asynchronous."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Return the batch in pinned memory; called by torch's loader."""
        return self.map(lambda tensor: tensor.pin_memory())


def collate(samples: Sequence[Mapping[str, Any]]) -> Batch:
    """Return the batch of `samples`, each a dict of arrays by the names of Batch's fields."""
    return Batch(**default_collate(list(samples)))
