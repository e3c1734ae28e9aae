"""Writes docs/api.md from the docstrings of the public names.

Usage: python scripts/write_api.py [--check]
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path

from pages import keep

import lineament

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
HEAD = """# The public names

Made by `python scripts/write_api.py` from the docstrings. Everything is `lineament.<name>`.

Pixels are counted from the middle of the first one: (0, 0) is the centre of the pixel at the top left, x goes right and
y down; a box (4,) is (x0, y0, x1, y1). Images are RGB.
"""


def entry(name: str) -> str:
    """The section of one name."""
    thing = getattr(lineament, name)
    if inspect.isclass(thing) and issubclass(thing, Exception):
        bases = ", ".join(base.__name__ for base in thing.__bases__)
        return f"### {name}({bases})\n\n{inspect.getdoc(thing)}\n"
    if not callable(thing):
        return f"### {name}\n\n{type(thing).__name__}\n"
    parts = [f"### {name}{signature(thing)}", "", *text(thing)]
    if inspect.isclass(thing):
        parts += fields(thing)
        for member, value in vars(thing).items():
            if member.startswith("_") and member != "__call__":
                continue
            function = value.fget if isinstance(value, property) else value
            if inspect.isfunction(function) and inspect.getdoc(function):
                called = "" if isinstance(value, property) else signature(function)
                parts += ["", f"**.{member}{called}**", "", *text(function)]
    return "\n".join(parts) + "\n"


def signature(thing: object) -> str:
    """The signature as it is called, without types, which the docstring gives with shapes and units."""
    try:
        found = inspect.signature(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "()"
    bare = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in found.parameters.values()
        if p.name != "self"
    ]
    shown = str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r"<[^<>]* at 0x[0-9a-f]+>", "...", shown)


def fields(thing: type) -> list[str]:
    """The fields of a dataclass with the text below each, which says what it holds, its shape and unit."""
    if not dataclasses.is_dataclass(thing):
        return []
    body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0].body  # type: ignore[attr-defined]
    listed = []
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = f" = {ast.unparse(node.value)}" if node.value else ""
            said = (
                after.value.value
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                else ""
            )
            listed.append(
                f"- `.{node.target.id}{default}`{': ' if said else ''}{' '.join(str(said).split())}"
            )
    return ["", *listed]


def text(thing: object) -> list[str]:
    """The docstring as a block that keeps its layout."""
    return ["```text", inspect.getdoc(thing) or "", "```"]


def main() -> None:
    names = sorted(lineament.__all__, key=lambda name: (name[0].isupper(), name.lower()))
    page = "\n".join([HEAD, *(entry(name) for name in names if not name.startswith("__"))])
    keep(
        PAGE, page, "docs/api.md is not what the docstrings say; type: python scripts/write_api.py"
    )


if __name__ == "__main__":
    main()
