"""Former names of recipe keys, which are still read, because stored weights contain them."""

from collections.abc import Mapping
from typing import Any

FORMER: dict[str, dict[str, str]] = {
    "augment": {
        "grey": "gray",
        "wild_rotation": "large_rotation",
        "wild_rotation_deg": "large_rotation_deg",
    },
    "presence": {
        "share": "negative_fraction",
        "candidates": "hard_negatives",
        "candidate_prob": "hard_negative_prob",
        "region_share": "region_fraction",
        "boxed": "box_only",
        "boxed_share": "box_only_fraction",
        "boxed_min_px": "box_only_min_px",
    },
    "detector": {"shares": "sampling_weights"},
    "slim": {"shares": "pruning_ratios", "every": "factor_interval"},
    "tasks": {"strip": "stop_window"},
    "train": {"clip": "max_grad_norm"},
    "model": {
        "share": "shape_variance",
        "texture_share": "appearance_variance",
        "profile_share": "profile_variance",
        "basis_share": "basis_variance",
        "starts": "initial_shapes",
        "starts_per_face": "initial_shapes_per_face",
        "hard_share": "hard_fraction",
    },
}
"""New name of each key, by table and former name."""


def with_renamed_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe with current names; a key with both keeps the former one.

    The former key is then unknown, and the recipe is rejected.
    """
    result = dict(values)
    for table, names in FORMER.items():
        settings = result.get(table)
        if not isinstance(settings, Mapping):
            continue
        renamed = {}
        for key, value in settings.items():
            current = names.get(key, key)
            renamed[key if current in settings else current] = value
        result[table] = renamed
    return result
