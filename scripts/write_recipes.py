"""Writes docs/recipes.md: recipe keys, losses, backbones, data sets, protocols and schemes, from the code.

Usage: python scripts/write_recipes.py [--check]
"""

from collections.abc import Iterable, Sequence
from inspect import getdoc
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pages import keep
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lineament.data.readers.registry import READERS
from lineament.evaluation.protocols import PROTOCOLS, protocol
from lineament.models.backbones.registry import BACKBONES, IMAGENET
from lineament.recipe import (
    Augmentation,
    DataPart,
    DetectorSettings,
    DistillSettings,
    LandmarkNetSettings,
    Recipe,
    RefineSettings,
    SlimSettings,
    TrainSettings,
)
from lineament.schemes import NAMES, scheme
from lineament.training.losses import LOSSES

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
HEAD = """# What recipes, data sets and protocols may say

Made by `python scripts/write_recipes.py` from the code. A recipe is a TOML file that lists only what differs from the
defaults below; `--set train.steps=100` changes a key on the command line, and an unknown one is an error that names the
nearest. `lineament train`, `distill`, `slim` and `refine` read the same keys.

```toml
name = "own"

[[data]]
reader = "folder"
folder = "/faces"

[losses]
cross_entropy = 1.0
smooth_l1 = 1.0

[train]
steps = 3000
```
"""
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("The recipe itself", "", Recipe),
    ("`[[data]]`, once for each data set", "", DataPart),
    ("`[model]`", "", LandmarkNetSettings),
    ("`[augment]`", "Probabilities are per face.", Augmentation),
    ("`[detector]`", "A face detector in place of a landmark model.", DetectorSettings),
    ("`[train]`", "", TrainSettings),
    ("`[distill]`", "See [distillation](distillation.md).", DistillSettings),
    ("`[slim]`", "See [slimming](slimming.md).", SlimSettings),
    ("`[refine]`", "See [1D heatmaps](attentive1d.md).", RefineSettings),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *cells]]


def default(field: Any) -> str:
    """The default of a field as TOML has it; a table of its own is told below the others."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, dict):
        return "`" + ", ".join(f"{key} = {number:g}" for key, number in value.items()) + "`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def keys(settings: type[BaseModel]) -> list[str]:
    """The keys of one part of a recipe."""
    fields = settings.model_fields.items()
    return table(
        ["key", "default", "what it is"], [(f"`{k}`", default(f), told(f)) for k, f in fields]
    )


def told(field: Any) -> str:
    """What a field is, and what it may be where that is one of a few words."""
    choices = (
        [str(choice) for choice in get_args(field.annotation)]
        if get_origin(field.annotation) is Literal
        else []
    )
    return f"{field.description or ''}{': ' if choices else ''}{', '.join(choices)}"


def counts(parts: Iterable[tuple[str, int | None]]) -> str:
    """The parts of a data set with their official counts."""
    return ", ".join(f"`{name}` ({count:,})" if count else f"`{name}`" for name, count in parts)


def first_sentence(thing: object) -> str:
    """What the docstring of a function says of its result, without the shape in front."""
    said = " ".join((getdoc(thing) or "").split("\n\n")[0].split())
    return said.split(": ", 1)[-1].split("    ")[0].rstrip(".")


def listed() -> list[str]:
    """What the keys may name."""
    fixed = [protocol(name) for name in PROTOCOLS]
    schemes = [scheme(name) for name in NAMES]
    return [
        "\n## Losses\n",
        *table(
            ["`[losses]`", "what it is"],
            [(f"`{name}`", first_sentence(LOSSES[name])) for name in LOSSES],
        ),
        "\n## Backbones\n",
        *table(
            ["`model.backbone`", "ImageNet weights"],
            [(f"`{b}`", "yes" if b in IMAGENET else "") for b in BACKBONES],
        ),
        "\n## Data sets\n",
        "Where a set lies: [CONTRIBUTING](../CONTRIBUTING.md). Counts are official ones.\n",
        *table(
            ["`reader`", "what it reads", "parts"],
            [
                (f"`{name}`", known.sentence, counts(known.parts.items()))
                for name, known in READERS.items()
            ],
        ),
        "\n## Protocols\n",
        "For `lineament evaluate --protocol`; a path that ends in .toml is read as one's own.\n",
        *table(
            ["protocol", "faces", "points", "divided by", "fails above"],
            [
                (
                    f"`{p.id}`",
                    p.title,
                    f"{p.scheme}, {'all' if p.points == 'all' else len(p.points)}",
                    p.norm,
                    f"{100 * p.threshold:g} %",
                )
                for p in fixed
            ],
        ),
        "\n## Point schemes\n",
        *table(
            ["`scheme`", "points", "what they are"],
            [(f"`{s.name}`", str(len(s)), s.title) for s in schemes],
        ),
    ]


def main() -> None:
    lines = [HEAD]
    for title, said, settings in SECTIONS:
        lines += [f"## {title}\n", *([said + "\n"] if said else []), *keys(settings), ""]
    page = "\n".join([*lines[:-1], *listed()]) + "\n"
    keep(
        PAGE,
        page,
        "docs/recipes.md is not what the code says; type: python scripts/write_recipes.py",
    )


if __name__ == "__main__":
    main()
