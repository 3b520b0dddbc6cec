"""Checkpoints: exact, replaced as a whole, damage named."""

import pytest
import torch

from edgellm.errors import TrainingError
from edgellm.train import checkpoint

pytestmark = pytest.mark.train


def test_round_trip_is_exact(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b.c": torch.arange(5), "empty": torch.zeros(0)}
    checkpoint.save(tmp_path / "c", tensors, {"step": 3, "list": [1, "x"]})
    back, about = checkpoint.load(tmp_path / "c")
    assert about == {"step": 3, "list": [1, "x"]}
    assert set(back) == set(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_tied_tensors_are_stored_once(tmp_path):
    weight = torch.randn(4, 4)
    checkpoint.save(tmp_path / "c", {"embedding": weight, "head": weight}, {})
    assert set(checkpoint.load(tmp_path / "c")[0]) == {"embedding"}


def test_a_failed_save_keeps_the_old_one(tmp_path):
    checkpoint.save(tmp_path / "c", {"a": torch.ones(2)}, {"step": 1})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "c", {"a": torch.zeros(2)}, {"step": object()})
    tensors, about = checkpoint.load(tmp_path / "c")
    assert about == {"step": 1}
    assert torch.equal(tensors["a"], torch.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_missing_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"nowhere: not a checkpoint, about.json is missing"):
        checkpoint.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["weights.safetensors", "about.json"])
def test_truncated_file(tmp_path, name):
    checkpoint.save(tmp_path / "c", {"a": torch.ones(9)}, {"step": 1})
    path = tmp_path / "c" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(TrainingError, match=r"damaged checkpoint .*: train the stage again"):
        checkpoint.load(tmp_path / "c")
