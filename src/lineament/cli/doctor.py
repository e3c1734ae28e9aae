"""Command `doctor`: check this installation."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from .app import app, note, show, show_table


@app.command()
def doctor(
    speed: Annotated[
        bool,
        typer.Option(help="Also time each shipped model, about one second in all."),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the checks as JSON.")
    ] = False,
) -> None:
    """Check this installation and suggest fixes.

    Covers Python, packages, extras, weights and speed. The exit code is 1 if a check
    fails; a missing extra is not a failure.
    """
    from ..doctor import diagnose, healthy

    checks = diagnose(speed)
    if as_json:
        show(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        show_table([""] * 4, [[c.group, c.name, c.status, c.found] for c in checks])
        advised: dict[str, list[str]] = {}
        for check in checks:
            if check.advice:
                advised.setdefault(check.advice, []).append(check.name)
        for (
            advice,
            names,
        ) in advised.items():  # one line per extra, not per package
            note(
                f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {advice}"
            )
    if not healthy(checks):
        raise typer.Exit(1)
