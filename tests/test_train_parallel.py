"""Places: devices that are not there, shares of a batch, and two processes that train like one."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import ranks
import torch
from safetensors.torch import load_file
from shapes import TINY

from edgellm.errors import BackendUnavailable, UsageError
from edgellm.train import logs, parallel
from edgellm.train.batches import Batch
from edgellm.train.config import Plan
from edgellm.train.loop import Common, Stage
from edgellm.train.losses import answer_loss
from edgellm.train.model import Decoder
from edgellm.train.parallel import Place

pytestmark = pytest.mark.train
torch.set_num_threads(1)


def batch(rows):
    generator = torch.Generator().manual_seed(rows)
    return Batch(torch.randint(4, TINY.vocab, (rows, 6), generator=generator), torch.rand(rows, 5), 6 * rows)


def test_alone_on_the_cpu():
    with parallel.join("cpu") as place:
        assert place == Place(torch.device("cpu"), rank=0, ranks=1, bf16=False)
        assert place.writes
        some = batch(3)
        share = place.share(some)
        assert torch.equal(share.ids, some.ids)
        assert torch.equal(share.weight, some.weight)
        place.wait()


def test_unknown_device():
    with pytest.raises(UsageError, match=r"device 'tpu' does not exist: choose from cpu, cuda"):
        parallel.join("tpu").__enter__()


def test_cuda_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        BackendUnavailable,
        match=r"device cuda:0 was asked for, but PyTorch \S+ sees 0 CUDA devices here: use --device cpu",
    ):
        parallel.join("cuda").__enter__()


def test_more_processes_than_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(BackendUnavailable, match=r"cuda:1 .* sees 1 CUDA devices"):
        parallel.join("cuda").__enter__()


@pytest.mark.parametrize(("rows", "processes"), [(5, 2), (3, 3), (1, 2)])
def test_shares_add_up_to_the_whole_gradient(rows, processes):
    model, some = Decoder(TINY), batch(rows)
    total = some.weight.sum()

    def gradient(share):
        model.zero_grad()
        loss = answer_loss(model(share.ids[:, :-1]), share, total)
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()]), float(loss.detach())

    whole, loss = gradient(some)
    places = [Place(rank=rank, ranks=processes) for rank in range(processes)]
    parts = [gradient(place.share(some)) for place in places]
    assert torch.allclose(sum(part for part, _ in parts), whole, atol=1e-6)
    assert sum(part for _, part in parts) == pytest.approx(loss, abs=1e-6)
    assert all(place.share(some).tokens == some.tokens for place in places)


def test_bfloat16_is_used_when_the_place_says_so(tmp_path):
    seen = []
    for bf16 in (False, True):
        torch.manual_seed(1)
        model = Decoder(TINY)
        model.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        plan = Plan(tokens=1000, warmup=0.0)
        stage = Stage("s", model, TINY, plan, Common(tmp_path, place=Place(bf16=bf16)))
        some = batch(4)
        losses = [stage._step(some) for _ in range(4)]
        assert losses[-1] < losses[0]
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert seen == [torch.float32] * 4 + [torch.bfloat16] * 4


def test_float32_needs_no_context():
    assert isinstance(Place().precision(), contextlib.nullcontext)


def test_two_processes_train_like_one(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    ranks.train(one)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*launch, str(Path(ranks.__file__)), str(two)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    alone, together = ([float(row["batch_loss"]) for row in logs.read(folder)] for folder in (one, two))
    assert len(alone) >= 20
    assert together == pytest.approx(alone, abs=1e-5)
    first, second = load_file(two / "rank0"), load_file(two / "rank1")
    assert all(torch.equal(first[name], second[name]) for name in first)
    expected = load_file(one / "rank0")
    assert all(torch.allclose(first[name], expected[name], atol=1e-3) for name in first)
