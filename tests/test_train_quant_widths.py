"""Narrow weights in training: which scale they take, and that what is exported computes what was trained."""

import dataclasses
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from tiny_run import finished_run

from edgellm.data import corpus
from edgellm.data import tokenizer as bpe
from edgellm.export.integer import export_model
from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.runtime import scoring
from edgellm.runtime.backends import cpu, native
from edgellm.runtime.engine import Engine
from edgellm.train import calibrate, checkpoint
from edgellm.train import config as recipes
from edgellm.train.bits import Bits
from edgellm.train.distill import CHECKPOINT, load_float
from edgellm.train.quant import QuantDecoder
from edgellm.train.quantisers import GridScaling, weight_scale

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run():
    return finished_run()


@pytest.fixture(scope="module")
def lines(run):
    rows = corpus.read_split(run / "corpus", "valid")
    return bpe.encode_rows(bpe.load_tokenizer(run / "tokenizer.json"), rows)


@pytest.fixture(scope="module")
def ternary(run, lines, tmp_path_factory):
    """The run's float student on ternary weights after a step of training, and its model folder."""
    folder = tmp_path_factory.mktemp("ternary")
    bits = Bits(weight=2, head=2)
    arch = recipes.load(run.parent / "tiny.toml").student
    student = load_float(run / "student", arch)
    scheme = calibrate.choose(student, lines, bits)
    model = QuantDecoder(arch, scheme, bits)
    model.load_float(student)
    descend(model, torch.tensor([lines[0][0]]))
    about = {
        "arch": dataclasses.asdict(arch),
        "scheme": dataclasses.asdict(scheme),
        "bits": dataclasses.asdict(bits),
    }
    checkpoint.save(folder / CHECKPOINT, model.state_dict(), about)
    shutil.copyfile(run / "tokenizer.json", folder / CHECKPOINT / "tokenizer.json")
    export_model(folder / CHECKPOINT, folder / "model")
    return model.eval(), folder / "model" / "model.onnx"


def descend(model, ids):
    torch.nn.functional.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:]).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter -= 0.01 * parameter.grad


def test_from_four_bits_on_the_largest_weight_is_the_largest_integer():
    weight = torch.tensor([[0.7, -0.1, 0.2], [-0.35, 0.0, 0.1]])
    assert weight_scale(weight, 4).flatten().tolist() == pytest.approx([0.1, 0.05])


def test_ternary_weights_above_seven_tenths_of_the_mean_are_one():
    weight = torch.tensor([[0.69, 0.71, -0.71, -1.89]])  # of mean magnitude 1
    scale = weight_scale(weight, 2)
    assert (weight / scale).round().clamp(-1, 1).tolist() == [[0, 1, -1, -1]]


@pytest.mark.parametrize(("bits", "largest"), [(2, 1), (3, 3)])
def test_the_step_of_narrow_weights_is_the_best_for_a_normal_distribution(bits, largest):
    weight = torch.randn(1, 20000, generator=torch.Generator().manual_seed(0))

    def error(scale):
        return float(((weight / scale).round().clamp(-largest, largest) * scale - weight).square().mean())

    chosen = error(weight_scale(weight, bits))
    best = min(error(weight_scale(weight, bits) * share) for share in np.arange(0.4, 2.0, 0.02))
    assert chosen < 1.03 * best
    assert chosen < 0.6 * error(weight.abs().max() / largest)


def test_the_gradient_of_a_ternary_scale_reaches_every_weight():
    weight = torch.tensor([[0.5, -0.25, 0.75, 0.5]], requires_grad=True)
    GridScaling(torch.tensor([0.01]), 2)(weight, torch.tensor(1.0)).sum().backward()
    assert weight.grad.flatten().tolist() == pytest.approx([0.35, -0.35, 0.35, 0.35])


def test_ternary_weights_are_minus_one_zero_and_one_in_the_file(ternary):
    model = onnxfile.load(ternary[1])
    for linear in (model.blocks[0].qkv, model.blocks[1].down, model.head):
        assert linear.weight_bits == 2
        assert np.unique(linear.weight).tolist() == [-1, 0, 1]


def test_the_multipliers_of_ternary_weights_fit_their_eight_bits_with_room(ternary):
    model = onnxfile.load(ternary[1])
    for name in ("qkv", "attn_out", "gate_up", "down"):
        largest = max(int(getattr(block, name).mult.max()) for block in model.blocks)
        assert 64 <= largest < 255, name


def test_the_ternary_integer_model_computes_what_was_trained(ternary, lines):
    model, path = ternary
    integer = onnxfile.load(path)
    golden = GoldenModel(integer)
    engines = [Engine([partial(backend.open_device, path.parent)]) for backend in (cpu, native)]
    same = total = 0
    for ids, _ in lines[:6]:
        cache = golden.new_cache()
        whole = np.array([golden.step(cache, token, position) for position, token in enumerate(ids)])
        for engine in engines:
            assert np.array_equal(scoring.logits(engine, [ids])[0], whole)
        with torch.no_grad():
            trained = model(torch.tensor([ids]))[0].numpy() / model.scheme.logits
        assert np.abs(whole - trained).mean() < 0.01 * np.abs(whole).max()
        same += int((whole.argmax(1) == trained.argmax(1)).sum())
        total += len(ids)
    assert same >= 0.97 * total
