"""Files appear complete or not at all."""

import pytest

from lineament.atomic import atomic_path


def test_the_file_takes_its_name_when_all_is_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as beside:
        beside.write_text("new")
        assert beside.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails():
        with atomic_path(path) as beside:
            beside.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    with (
        pytest.raises(FileNotFoundError),
        atomic_path(tmp_path / "none" / "a.txt") as beside,
    ):
        beside.write_text("new")
