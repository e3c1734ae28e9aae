"""Errors derive from one base and a built-in; the helpers state what to do."""

import inspect

import pytest

from lineament import errors
from lineament.errors import (
    ExtraError,
    InputError,
    LineamentError,
    WorkError,
    did_you_mean,
    missing_extra,
)

ALL = [
    c
    for _, c in inspect.getmembers(errors, inspect.isclass)
    if c.__module__ == errors.__name__
]


@pytest.mark.parametrize("error", ALL)
def test_every_error_derives_from_the_base(error):
    assert issubclass(error, LineamentError)
    with pytest.raises(LineamentError, match=r"^why$"):
        raise error("why")


@pytest.mark.parametrize("error", [e for e in ALL if e is not LineamentError])
def test_every_error_is_a_value_or_a_runtime_error(error):
    assert issubclass(error, InputError) != issubclass(error, WorkError)
    assert issubclass(error, ValueError) == issubclass(error, InputError)
    assert issubclass(error, RuntimeError) == issubclass(error, WorkError)


def test_the_tree_in_the_docstring_matches_the_classes():
    drawn = [
        line.split("──")[1].split()[0]
        for line in errors.__doc__.splitlines()
        if "──" in line
    ]
    assert sorted(drawn) == sorted(e.__name__ for e in ALL if e is not LineamentError)
    parent = ""
    for line in errors.__doc__.splitlines():
        if "──" not in line:
            continue
        name = line.split("──")[1].split()[0]
        if line.startswith(("├", "└")):
            parent = name
        else:
            assert parent in [
                base.__name__ for base in getattr(errors, name).__mro__[1:]
            ], name


def test_a_missing_extra_is_an_import_error_that_names_the_command():
    error = missing_extra("pyarrow", "report")
    assert isinstance(error, ExtraError)
    assert isinstance(error, ImportError)
    assert (
        str(error) == "pyarrow is not installed; type: pip install 'lineament[report]'"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aple", "did you mean 'apple'?"),
        ("cherri", "did you mean 'cherry' or 'sherry'?"),
        ("xyz", "choose one of apple, cherry, sherry"),
        ("", "choose one of apple, cherry, sherry"),
    ],
)
def test_an_unknown_name_is_rejected_with_the_nearest_or_with_all(name, said):
    assert did_you_mean(name, {"sherry", "apple", "cherry"}) == said


def test_names_that_begin_with_the_unknown_one_are_nearest():
    known = {"300w-val", "300w-full", "300vw-2"}
    assert did_you_mean("300w", known) == "did you mean '300w-val' or '300w-full'?"
