"""Unique names: the first free candidate, else the last one with a number."""

import pytest

from lineament.io.unique_names import unique_name


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        (set(), "a"),
        ({"a"}, "a.jpg"),
        ({"a", "a.jpg"}, "a.jpg-2"),
        ({"a", "a.jpg", "a.jpg-2", "a.jpg-4"}, "a.jpg-3"),
    ],
)
def test_the_first_free_name_is_taken(taken, name):
    assert unique_name(["a", "a.jpg"], lambda each: each not in taken) == name
