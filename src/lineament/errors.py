"""Errors that this package raises on purpose.

LineamentError
├── InputError (ValueError)        input that cannot be used
│   ├── ImageError                 not an image, truncated, too large
│   ├── ShapeError                 an array of the wrong shape, or not finite
│   ├── SchemeError                landmarks of the wrong scheme, or an unknown scheme
│   ├── DataError                  a data set that is missing, incomplete or badly annotated
│   ├── RecipeError                a recipe with an unknown key or a value out of range
│   └── ProtocolError              a report or prediction file that does not match its protocol
└── WorkError (RuntimeError)       an operation that failed
    ├── ModelError                 a model file that is missing, unsupported or broken
    ├── ExportError                an export that would change the model's results
    ├── TrainError                 a training run that cannot start, continue or resume
    └── ExtraError (ImportError)   a missing optional dependency, or a broken plug-in

A message states what was given, what was expected and what to do next.
"""

import os
from collections.abc import Iterable
from difflib import get_close_matches


class LineamentError(Exception):
    """Base class of all errors that this package raises on purpose."""


class InputError(LineamentError, ValueError):
    """Input that cannot be used."""


class ImageError(InputError):
    """Not an image, a truncated one, or one too large to open safely."""


class ShapeError(InputError):
    """An array of the wrong shape, or with values that are not finite."""


class SchemeError(InputError):
    """Landmarks of the wrong scheme, or an unknown scheme."""


class DataError(InputError):
    """A data set that is missing, incomplete or badly annotated."""


class RecipeError(InputError):
    """A recipe with an unknown key or a value out of range."""


class ProtocolError(InputError):
    """A report or prediction file that does not match its protocol."""


class WorkError(LineamentError, RuntimeError):
    """An operation that failed."""


class ModelError(WorkError):
    """A model file that is missing, unsupported or broken."""


class ExportError(WorkError):
    """An export that would change the model's results."""


class TrainError(WorkError):
    """A training run that cannot start, continue or resume."""


class ExtraError(WorkError, ImportError):
    """An optional dependency that is not installed, or a broken plug-in."""


def missing_extra(package: str, extra: str) -> ExtraError:
    """Return the error for a missing `package`, which `lineament[extra]` installs."""
    return ExtraError(
        f"{package} is not installed; type: pip install 'lineament[{extra}]'"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown `name`: the nearest known names, or all."""
    known = sorted(known)
    # "300w" is closer to "300vw-2" than to "300w-common"
    longer = [each for each in known if name and each.startswith(name)]
    longer = sorted(longer, key=len)[:6]
    close = dict.fromkeys([*longer, *get_close_matches(name, known, n=2, cutoff=0.5)])
    if close:
        nearest = list(close)[: max(2, len(longer))]
        return "did you mean " + " or ".join(map(repr, nearest)) + "?"
    return "choose one of " + ", ".join(known)


def shown_path(path: object) -> str:
    """Return a path as one printable line of at most 200 characters, for an error."""
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        text = str(path)
    text = text if text.isprintable() and text else ascii(text)
    return text if len(text) <= 200 else "..." + text[-197:]


def short_reason(error: BaseException) -> str:
    """Return the message of `error` as one short printable line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = " ".join(str(text).split())
    return (line if line.isprintable() else ascii(line))[:120]
