"""The application that every command hangs on: errors become one line and an exit code."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import LineamentError, missing_extra

LISTED = [
    "detect",
    "track",
    "draw",
    "align",
    "models",
    "evaluate",
    "score",
    "compare",
    "stability",
    "audit",
    "label",
    "train",
    "distill",
    "slim",
    "refine",
    "study",
    "export",
    "doctor",
    "version",
]
"""The commands as --help lists them."""


class Commands(TyperGroup):
    """Exit codes: 1 for an error of the package or a list of failures, 2 for usage, 130 when interrupted."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, those that are used most first."""
        return sorted(super().list_commands(ctx), key=LISTED.index)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that `ctx` names."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except LineamentError as error:
            complain(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            raise typer.Exit(130) from stop
        except BrokenPipeError as closed:
            # the reader has what it wanted; what is still buffered must not fail at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from closed
        except OSError as error:
            complain(
                f"{error.filename or 'a file'}: {error.strerror or error}; check the path, its rights and the disk"
            )
            raise typer.Exit(1) from error
        return result


app = typer.Typer(
    name="lineament",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Facial landmarks in photos and video, and the workshop that makes the models.",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"lineament {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """Facial landmarks in photos and video, and the workshop that makes the models."""


def complain(message: str) -> None:
    """Prints `message` as one line to standard error."""
    typer.echo("lineament: " + " ".join(message.split()), err=True)


def show(text: str) -> None:
    """Prints `text` to standard output."""
    typer.echo(text)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns, flush left, under their heads, where there are any."""
    lines = [head, *rows] if any(head) else rows
    whole = [[*row, *[""] * (len(head) - len(row))] for row in lines]
    widths = (
        [max(len(row[column]) for row in whole) for column in range(len(head))] if whole else []
    )
    for row in whole:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def note(text: str) -> None:
    """Prints `text` to standard error: what was done, beside the results."""
    typer.echo(text, err=True)


def identity(file: str) -> str:
    """`file`, a name or a path, with the digest of what lies there, which may change."""
    if not Path(file).is_file():
        return file
    return f"{file} {sha256(Path(file).read_bytes()).hexdigest()[:16]}"


def need_package(package: str, extra: str) -> None:
    """Raises: ExtraError, before any work, where `package` of `lineament[extra]` is not installed."""
    if find_spec(package) is None:
        raise missing_extra(package, extra)


@contextmanager
def progress_bar(
    what: str, total: int | None, done: int = 0, speed: bool = False
) -> Iterator[Callable[..., None]]:
    """Gives a function: step() counts one more, step(done, total) says where things stand.

    speed: show how many a second, too.

    The bar shows on a terminal only, on standard error, and not for a single thing.    total: None where unknown yet.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
    ]
    columns += [_speed_column()] if speed else []
    columns += [TimeRemainingColumn()]
    hidden = total in (0, 1) or not console.is_terminal
    with Progress(
        *columns, console=console, redirect_stdout=False, transient=True, disable=hidden
    ) as bar:
        task = bar.add_task(what, total=total, completed=done)

        def step(at: int | None = None, of: int | None = None) -> None:
            if at is None:
                bar.advance(task)
            else:
                bar.update(task, completed=at, total=of)

        yield step


def _speed_column() -> Any:
    """What shows how many things are done in a second."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    return Speed()


def main() -> None:
    """The `lineament` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, TextIOWrapper
        ):  # a file name may hold bytes that are no text; in JSON this is its escape
            stream.reconfigure(errors="backslashreplace")
    app()
