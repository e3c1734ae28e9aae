"""Cached arrays: made once, exact, mapped read-only, and never half written."""

import numpy as np
import pytest

from lineament.data.array_cache import (
    cached_groups,
    cached_rows,
    cached_table,
    digest,
    file_state,
)
from lineament.errors import DataError

BLOCKS = [np.arange(12, dtype=np.int16).reshape(2, 3, 2), np.ones((1, 3, 2), np.int16)]


def never():
    raise AssertionError("made again")


def test_blocks_are_joined_and_made_once(tmp_path):
    path = tmp_path / "deep" / "a.npy"
    rows = cached_rows(path, lambda: iter(BLOCKS))
    np.testing.assert_array_equal(rows, np.concatenate(BLOCKS))
    assert rows.dtype == np.int16
    assert isinstance(rows, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 0
    np.testing.assert_array_equal(cached_rows(path, never), rows)
    np.testing.assert_array_equal(np.load(path), rows)


def test_an_array_of_many_blocks_keeps_the_length_of_its_header(tmp_path):
    blocks = (np.full((1, 2), i, np.int32) for i in range(100_001))
    rows = cached_rows(tmp_path / "a.npy", lambda: blocks)
    assert rows.shape == (100_001, 2)
    assert rows[-1].tolist() == [100_000, 100_000]


def test_columns_have_a_value_per_block(tmp_path):
    entries = [(block, {"k": i, "at": (i, 2.5)}) for i, block in enumerate(BLOCKS)]
    rows, columns = cached_table(tmp_path / "t", lambda: entries)
    np.testing.assert_array_equal(rows, np.concatenate(BLOCKS))
    assert columns["k"].tolist() == [0, 1]
    assert columns["at"].tolist() == [[0, 2.5], [1, 2.5]]
    again, _ = cached_table(tmp_path / "t", never)
    np.testing.assert_array_equal(again, rows)


def test_an_array_without_its_columns_is_remade(tmp_path):
    cached_rows(tmp_path / "t.npy", lambda: [np.zeros((5, 2))])
    rows, _ = cached_table(tmp_path / "t", lambda: [(np.ones((1, 2)), {"k": 1})])
    assert rows.tolist() == [[1, 1]]


def test_an_array_stays_readable_until_it_is_remade(tmp_path):
    """Another process may have written the array, but not yet its columns."""
    path = tmp_path / "t.npy"
    cached_rows(path, lambda: [np.zeros((5, 2))])

    def entries():
        assert cached_rows(path, never).shape == (5, 2)
        yield np.ones((1, 2)), {"k": 1}

    assert cached_table(tmp_path / "t", entries)[0].tolist() == [[1, 1]]


def test_an_error_leaves_no_file(tmp_path):
    def broken():
        yield BLOCKS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_rows(tmp_path / "a.npy", broken)
    with pytest.raises(
        DataError, match=r"a\.npy: nothing to store; expected at least one block"
    ):
        cached_rows(tmp_path / "a.npy", tuple)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_rejected(tmp_path):
    path = tmp_path / "a.npy"
    cached_rows(path, lambda: BLOCKS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"a broken cache .*; delete it and run again"):
        cached_rows(path, never)


def test_the_digest_depends_on_every_input_and_file_state(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    before = digest(1, file_state(path, 3))
    assert before == digest(1, file_state(path, 3))
    assert (
        len({before, digest(2, file_state(path, 3)), digest(1, file_state(path, 4))})
        == 3
    )
    path.write_text("22")
    assert digest(1, file_state(path, 3)) != before


def test_groups_may_be_empty_and_are_made_once(tmp_path):
    groups = [np.zeros((0, 2)), np.array([[1.0, 2], [3, 4]]), np.zeros((0, 2))]
    made = []

    def make():
        made.append(1)
        yield from groups

    for _ in range(2):
        stored = cached_groups(tmp_path / "groups", 2, make)
        assert [rows.tolist() for rows in stored] == [g.tolist() for g in groups]
    assert made == [1]
    assert cached_groups(tmp_path / "none", 2, tuple) == []
