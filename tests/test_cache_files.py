"""Cached crops: opened by path in other processes, listed and removed by a command."""

import multiprocessing
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from commands import call
from faces import write_faces
from lineament.data.array_cache import MappedRows, cached_rows
from lineament.data.cache_files import list_cache, remove_cache
from lineament.errors import DataError, InputError


def rows(folder, name="crops-0123456789abcdef.npy", faces=4):
    block = np.arange(faces * 12, dtype=np.uint8).reshape(faces, 2, 2, 3)
    return cached_rows(folder / name, lambda: [block])


def row_sum(array):
    return type(array).__name__, array.is_complete, int(array.sum())


def test_an_array_is_pickled_as_its_path(tmp_path):
    array = rows(tmp_path, faces=20)
    stored = pickle.dumps(array)
    assert len(stored) < 100 + len(str(tmp_path))
    copied = pickle.loads(stored)
    assert isinstance(copied, MappedRows)
    assert np.array_equal(copied, array)
    assert not copied.flags.writeable
    (tmp_path / "crops-0123456789abcdef.npy").unlink()
    with pytest.raises(DataError, match="a broken cache"):
        pickle.loads(stored)


def test_slices_of_an_array_are_pickled_by_value(tmp_path):
    array = rows(tmp_path)
    stored = pickle.dumps([array[1], array[1:], array + 1])
    (tmp_path / "crops-0123456789abcdef.npy").unlink()
    one, some, more = pickle.loads(stored)
    assert np.array_equal(one, array[1])
    assert np.array_equal(some, array[1:])
    assert np.array_equal(more, array + 1)


def test_a_large_array_reaches_a_process_that_is_spawned(tmp_path):
    path = tmp_path / "crops-0123456789abcdef.npy"
    # a sparse file of 31 GB, the size of 100,000 faces
    shape = (100_000, 320, 320, 3)
    try:
        np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    except OSError as error:
        pytest.skip(f"no sparse files here: {error}")
    array = cached_rows(path, tuple)
    assert len(pickle.dumps(array)) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(row_sum, (rows(tmp_path, "crops-00.npy"),)) == (
            *("MappedRows", True),
            sum(range(48)),
        )
        assert pool.apply(len, (array,)) == 100_000


def test_crops_are_the_same_in_a_spawned_loader(tmp_path):
    pytest.importorskip("torch")
    from lineament.data.mixture import read_mixture
    from lineament.data.training_crops import TrainingCrops
    from lineament.recipe import DataPart
    from lineament.recipe.data import Augmentation
    from lineament.recipe.training import TrainSettings
    from lineament.training.loader import make_loader
    from lineament.training.parallel import ProcessGroup

    write_faces(tmp_path / "faces", 8)
    part = DataPart(reader="folder", folder=str(tmp_path / "faces"))
    sources, _ = read_mixture([part], "ibug68", tmp_path, tmp_path / "cache")
    settings = Augmentation.model_validate({})
    crops = TrainingCrops(sources, "ibug68", 64, 1.3, settings, 1)
    # a pickled crop would be 308 kB per face: 320 x 320 x 3
    assert len(pickle.dumps(crops)) < 8 * 4000
    found = []
    for workers in (0, 1):
        train = TrainSettings(steps=2, batch=4, num_workers=workers)
        loader = make_loader(crops, train, 0, ProcessGroup())
        if workers:
            # as on Windows and macOS
            loader.multiprocessing_context = "spawn"
        found.append([batch.crops.numpy() for batch in loader])
    for ours, theirs in zip(*found, strict=True):
        assert np.array_equal(ours, theirs)


def test_the_cache_is_listed_and_removed(tmp_path):
    rows(tmp_path)
    rows(tmp_path / "detector", "photos-0123456789abcdef.npy")
    (tmp_path / "hard-negatives.json").write_text("{}")
    (tmp_path / "notes.npy").write_text("mine")
    old = tmp_path / "crops-fedcba9876543210.npy"
    rows(tmp_path, old.name)
    os.utime(old, (time.time() - 5 * 86_400,) * 2)
    (tmp_path / ".0123456789abcdef.77.part").write_text("")
    kinds = [file.kind for file in list_cache(tmp_path)]
    assert kinds == ["crops", "crops", "photos", "unfinished"]
    code, shown, noted = call("cache", "--cache", tmp_path)
    assert code == 0
    assert shown.splitlines()[-1] == f"4 files, 0.0 MB, in {tmp_path}"
    assert "--remove deletes them" in noted
    assert [file.path for file in remove_cache(tmp_path, 3)] == [old]
    code, shown, _ = call("cache", "--cache", tmp_path, "--remove")
    assert shown.splitlines()[-1] == f"2 files, 0.0 MB, removed from {tmp_path}"
    # only files that no process is writing and that a training does not produce
    left = {path.name for path in tmp_path.rglob("*.*")}
    assert left == {"hard-negatives.json", "notes.npy", ".0123456789abcdef.77.part"}
    with pytest.raises(InputError, match="expected 0 for all files"):
        remove_cache(tmp_path, -1)
    assert list_cache(tmp_path / "absent") == []


def test_a_user_without_a_home_folder_can_still_give_the_folder(monkeypatch, tmp_path):
    def no_home():  # as in a container that runs as an unknown user
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert call("cache", "--cache", tmp_path)[0] == 0
    code, _, err = call("cache")
    assert code == 1
    assert "no home folder: give --cache, or set HOME or XDG_CACHE_HOME" in err
