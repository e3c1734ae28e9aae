"""Atomic writes: a file appears complete or not at all."""

from pathlib import Path

import pytest

from lineament import atomic
from lineament.atomic import atomic_path, write_bytes, write_text


def test_the_file_appears_once_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as partial:
        partial.write_text("new")
        assert partial.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails():
        with atomic_path(path) as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_path_raises_a_clear_error(tmp_path):
    with (
        pytest.raises(FileNotFoundError),
        atomic_path(tmp_path / "none" / "a.txt") as partial,
    ):
        partial.write_text("new")


def test_a_file_that_another_program_reads_is_replaced_a_moment_later(
    tmp_path, monkeypatch
):
    replace, refused = Path.replace, []

    def refuse_twice(self, target):
        if len(refused) < 2:
            refused.append(target)
            raise PermissionError
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_twice)
    monkeypatch.setattr(atomic, "RETRIES", 3)
    monkeypatch.setattr(atomic, "RETRY_S", 0.0)
    path = tmp_path / "a.txt"
    with atomic_path(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"


def test_text_is_written_into_a_new_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "\u00fc \udc80", errors="backslashreplace")
    assert path.read_bytes() == b"\xc3\xbc \\udc80"
    write_bytes(path, b"other")
    assert path.read_bytes() == b"other"
    assert list(path.parent.iterdir()) == [path]
