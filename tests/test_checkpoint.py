"""Checkpoints are written atomically, and loading one runs no code."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import ModelError
from lineament.training.build import load_any
from lineament.training.checkpoint import (
    load_checkpoint,
    read_weights,
    save_checkpoint,
    save_weights,
)

pytestmark = pytest.mark.torch


def test_a_checkpoint_is_written_atomically(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"recipe": "{}", "step": 1})

    def fails(state, partial):
        Path(partial).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, {"recipe": "{}", "step": 2})
    assert load_checkpoint(path)["step"] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_not_checkpoints_are_rejected(tmp_path):
    with pytest.raises(
        ModelError, match=r"no checkpoint at .*absent.pt; expected a file written by"
    ):
        load_checkpoint(tmp_path / "absent.pt")
    (tmp_path / "broken.pt").write_bytes(b"PK nonsense")
    with pytest.raises(
        ModelError,
        match=r"broken.pt: not a checkpoint, or a broken one \(.*\); train again",
    ):
        load_checkpoint(tmp_path / "broken.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.pt")
    with pytest.raises(
        ModelError,
        match=r"foreign.pt: a torch file, but not a checkpoint of `lineament train`",
    ):
        load_checkpoint(tmp_path / "foreign.pt")


@pytest.mark.parametrize(
    "more", [{}, {"recipe": "not json", "average": {}}, {"average": 3}]
)
def test_a_checkpoint_without_weights_or_recipe_is_rejected(more, tmp_path):
    torch.save({"recipe": "{}", "step": 1} | more, tmp_path / "odd.pt")
    with pytest.raises(
        ModelError,
        match=r"odd\.pt: (not a checkpoint of `lineament train`|contains no weights)",
    ):
        load_any(tmp_path / "odd.pt")


class Code:
    def __reduce__(self):
        return (print, ("code from a checkpoint",))


def test_a_checkpoint_with_code_is_rejected_without_running_it(tmp_path, capsys):
    torch.save({"recipe": Code()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match=r"evil.pt: not a checkpoint, or a broken one"):
        load_checkpoint(tmp_path / "evil.pt")
    assert "code" not in capsys.readouterr().out


def test_numbers_too_large_for_half_precision_are_kept(tmp_path):
    weights = {
        "precisions": torch.tensor([[1e6, 1.0]]),
        "small": torch.tensor([[1 / 3, 2.0]]),
    }
    path = tmp_path / "kept.safetensors"
    save_weights(path, {"average": weights, "recipe": "{}", "step": 1})
    kept = read_weights(path)[0]
    assert torch.equal(kept["precisions"], weights["precisions"])
    assert torch.equal(kept["small"], weights["small"].half().float())
