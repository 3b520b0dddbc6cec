"""Checkpoints: exact, replaced as a whole, damage named."""

import errno
import json
import resource

import pytest
import torch
from safetensors.torch import save_file

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


def assert_still_the_first(folder):
    tensors, about = checkpoint.load(folder)
    assert about == {"step": 1}
    assert torch.equal(tensors["a"], torch.ones(2))


def test_a_failed_save_keeps_the_old_one(tmp_path):
    checkpoint.save(tmp_path / "c", {"a": torch.ones(2)}, {"step": 1})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "c", {"a": torch.zeros(2)}, {"step": object()})
    assert_still_the_first(tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_full_disk_keeps_the_old_one_and_says_what_to_do(tmp_path):
    """A limit on the size of files makes the kernel itself refuse the write half-way."""
    folder = tmp_path / "c"
    checkpoint.save(folder, {"a": torch.ones(2)}, {"step": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    message = r"c: the disk takes no more \(File too large\); everything saved before is kept: .* --resume"
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(TrainingError, match=message), checkpoint.disk_errors(folder):
            checkpoint.save(folder, {"a": torch.zeros(1 << 19)}, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_still_the_first(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["about.json", "weights.safetensors"]


def test_other_trouble_with_files_is_not_called_a_full_disk(tmp_path):
    with pytest.raises(PermissionError), checkpoint.disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_save_killed_before_its_description_was_copied_is_whole(tmp_path):
    checkpoint.save(tmp_path / "c", {"a": torch.zeros(2)}, {"step": 0})
    old = (tmp_path / "c" / "about.json").read_bytes()
    checkpoint.save(tmp_path / "c", {"a": torch.ones(2)}, {"step": 1})
    (tmp_path / "c" / "about.json").write_bytes(old)
    assert_still_the_first(tmp_path / "c")
    checkpoint.mend(tmp_path / "c")
    assert json.loads((tmp_path / "c" / "about.json").read_text()) == {"step": 1}


def test_mending_sweeps_and_leaves_a_sound_checkpoint_alone(tmp_path):
    checkpoint.save(tmp_path / "c", {"a": torch.ones(2)}, {"step": 1})
    (tmp_path / "c" / ".about.json.x8r_").write_bytes(b"half")
    before = (tmp_path / "c" / "about.json").stat().st_mtime_ns
    checkpoint.mend(tmp_path / "c")
    assert (tmp_path / "c" / "about.json").stat().st_mtime_ns == before
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["about.json", "weights.safetensors"]


def test_litter_of_killed_saves_is_swept(tmp_path):
    checkpoint.save(tmp_path / "c", {"a": torch.ones(2)}, {"step": 1})
    (tmp_path / "c" / ".weights.safetensors.x8r_").write_bytes(b"half")
    checkpoint.save(tmp_path / "c", {"a": torch.ones(2)}, {"step": 1})
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["about.json", "weights.safetensors"]


def test_missing_checkpoint(tmp_path):
    assert not checkpoint.exists(tmp_path / "nowhere")
    with pytest.raises(TrainingError, match=r"nowhere: not a checkpoint, weights.safetensors is missing"):
        checkpoint.load(tmp_path / "nowhere")


def without_description(folder):
    """As checkpoints were before: the description in about.json alone."""
    folder.mkdir()
    save_file({"a": torch.ones(9)}, folder / "weights.safetensors")
    (folder / "about.json").write_text('{"step": 1}')


def test_checkpoints_of_the_first_version_are_read(tmp_path):
    without_description(tmp_path / "c")
    assert checkpoint.load(tmp_path / "c")[1] == {"step": 1}


@pytest.mark.parametrize("name", ["weights.safetensors", "about.json"])
def test_truncated_file(tmp_path, name):
    without_description(tmp_path / "c")
    path = tmp_path / "c" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(TrainingError, match=r"damaged checkpoint .*: train the stage again"):
        checkpoint.load(tmp_path / "c")
