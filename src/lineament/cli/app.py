"""The application that all commands register with; errors become one line and an exit code."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import LineamentError, did_you_mean, missing_extra

if TYPE_CHECKING:
    from ..io.input_images import FailedInput

LISTED = (
    *(
        "detect",
        "bulk",
        "track",
        "draw",
        "align",
        "anonymize",
        "page",
        "models",
        "evaluate",
        "score",
        "compare",
        "stability",
        "serve",
    ),
    *(
        "review",
        "annotations",
        "scheme",
        "audit",
        "label",
        "mine-negatives",
        "train",
        "distill",
        "slim",
        "refine",
        "study",
        "cache",
        "export",
        "doctor",
        "version",
    ),
)
"""Commands in the order of --help."""
HINTS = {
    "predict": "detect",
    "infer": "detect",
    "val": "evaluate",
    "validate": "evaluate",
    "test": "evaluate",
    "anonymise": "anonymize",
    "blur": "anonymize",
}
"""Commands of other tools, and their names in this one."""
ABOUT = "Find facial landmarks in images and video; train, evaluate and export landmark models."


class Commands(TyperGroup):
    """Exit codes: 1 for an error or failed inputs, 2 for wrong usage, 130 when interrupted."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, most used first."""
        return sorted(super().list_commands(ctx), key=LISTED.index)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command at the start of `args`; raise an error with a hint if unknown."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(ctx))
            if name in HINTS:
                hint = f"did you mean {HINTS[name]!r}?"
            ctx.fail(f"No such command {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command selected by `ctx`."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except LineamentError as error:
            print_error(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            raise typer.Exit(130) from stop
        except BrokenPipeError as closed:
            # the reader of the pipe has stopped reading; flushing the buffer at exit must not fail
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from closed
        except OSError as error:
            name, reason = error.filename or "a file", error.strerror or error
            print_error(
                f"{name}: {reason}; check the path, its permissions and the disk"
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
    help=ABOUT,
)


def _show_version(value: bool) -> None:
    if value:
        version()
        raise typer.Exit


@app.callback(help=ABOUT)
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Accept the options that precede every command."""


@app.command()
def version() -> None:
    """Print the version."""
    from .. import __version__

    show(f"lineament {__version__}")


def print_error(message: str) -> None:
    """Print `message` as one line to standard error."""
    typer.echo("lineament: " + " ".join(message.split()), err=True)


def show(text: str) -> None:
    """Print `text` to standard output."""
    typer.echo(text)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print left-aligned columns under `head`; the header is omitted if all its cells are empty."""
    lines = [head, *rows] if any(head) else rows
    padded = [[*row, *[""] * (len(head) - len(row))] for row in lines]
    widths = [max(map(len, column)) for column in zip(*padded, strict=True)]
    for row in padded:
        cells = map(str.ljust, row, widths)
        show("  ".join(cells).rstrip())


def note(text: str) -> None:
    """Print `text` to standard error, separate from the results."""
    typer.echo(text, err=True)


def report_failures(failures: "Sequence[FailedInput]", total: int) -> None:
    """Print the failures among `total` inputs; exit with code 1 if there are any."""
    for failure in failures:
        print_error(failure.line())
    if failures and total > 1:
        print_error(f"{len(failures)} of {total} failed, as listed above")
    if failures:
        raise typer.Exit(1)


def require_package(package: str, extra: str) -> None:
    """Raise ExtraError early if `package` from `lineament[extra]` is not installed."""
    if find_spec(package) is None:
        raise missing_extra(package, extra)


def require_torch() -> None:
    """Raise ExtraError early if torch is not installed."""
    require_package("torch", "train")


@contextmanager
def progress_bar(
    label: str, total: int | None, done: int = 0, speed: bool = False
) -> Iterator[Callable[..., None]]:
    """Yield a function that advances a bar: step() counts one, step(done, total) sets the state.

    The bar is shown on standard error, only on a terminal, and not for a single item.

    Args:
        total: Number of items; None if unknown.
        done: Number of items already done.
        speed: Whether to show items per second.
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
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    columns.append(MofNCompleteColumn())
    columns += [_speed_column()] if speed else []
    columns += [TimeRemainingColumn()]
    disabled = total in (0, 1) or not console.is_terminal
    with Progress(
        *columns,
        console=console,
        redirect_stdout=False,
        transient=True,
        disable=disabled,
    ) as bar:
        task = bar.add_task(label, total=total, completed=done)

        def step(completed: int | None = None, total: int | None = None) -> None:
            if completed is None:
                bar.advance(task)
            else:
                bar.update(task, completed=completed, total=total)

        yield step


def _speed_column() -> Any:
    """Return a progress column with items per second."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    return Speed()


def _open_closed_streams() -> None:
    """Discard what is printed if standard output or error is closed, as in a windowed program."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


def main() -> None:
    """Run the `lineament` command."""
    if getattr(sys, "frozen", False):  # workers start this program, too
        from multiprocessing import freeze_support

        freeze_support()
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # a file name may not be encodable; line endings must be the same on every system
            # and so must the encoding of a file
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(
                encoding=encoding, errors="backslashreplace", newline="\n"
            )
    # commands always read images as RGB, so this warning would be wrong
    warnings.filterwarnings("ignore", message="the faces in an array are blue")
    app()
