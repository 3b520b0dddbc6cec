"""Back end cuda where there is no GPU: what it asks of ONNX Runtime, and its way of handing over tensors on another provider."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
from shapes import TINY

from edgellm.errors import BackendUnavailable
from edgellm.export.graph import build_onnx
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.random import random_model
from edgellm.runtime import registry
from edgellm.runtime.backends import cpu, cuda, ort
from edgellm.runtime.backends.stepped import Feed, SteppedDevice

pytestmark = pytest.mark.cpu
HOW = r"ONNX Runtime has no CUDAExecutionProvider here: pip install onnxruntime-gpu"


def without_a_gpu(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])


def test_what_to_install(monkeypatch, tmp_path):
    without_a_gpu(monkeypatch)
    with pytest.raises(BackendUnavailable, match=f"^{HOW}$"):
        cuda.open_device(tmp_path)
    with pytest.raises(BackendUnavailable, match=f"^back end cuda does not work here: {HOW}$"):
        registry.get("cuda").open(tmp_path)


def test_without_onnx_runtime(monkeypatch):
    def nothing():
        raise BackendUnavailable("onnxruntime is not installed")

    monkeypatch.setattr(cuda.ort, "runtime", nothing)
    assert registry.get("cuda").missing() == [HOW]


class Asked(Exception):
    """What a session was asked for."""


def test_float32_products_are_full_float32(monkeypatch):
    """Integers in float32 would lose bits in TF32, which ONNX Runtime takes by default."""

    def session(data, options, providers):
        raise Asked(providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(Exception, match="ONNX Runtime cannot load") as failure:
        ort._session(onnxruntime, b"", cuda.TARGET, 1)
    asked = failure.value.__cause__.args[0]
    assert [name for name, _ in asked] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert asked[0][1]["use_tf32"] == "0"
    assert cuda.TARGET.device == "cuda"


@dataclasses.dataclass(frozen=True)
class Remote(ort.Target):
    """The CPU, treated as a device whose memory the host cannot write into."""

    @property
    def on_host(self):
        return False


def test_the_same_tokens_where_inputs_are_bound_anew_each_step():
    model = random_model(TINY, 1)
    target = Remote("cuda", cpu.TARGET.providers)
    stepper = ort.OrtStepper(build_onnx(model).SerializeToString(), TINY, target, 3)
    assert not SteppedDevice(stepper).traits.copies
    judge = GoldenModel(model)
    caches, rng, fed = [judge.new_cache() for _ in range(3)], np.random.default_rng(0), [0, 0, 0]
    stepper._one_by_one = ort.SESSION_TOKENS
    for lengths in ({0: 1}, {1: 4, 0: 1}, {0: 1, 1: 1, 2: 1}, {2: 3, 1: 2}):
        feeds = [
            Feed(slot, rng.integers(TINY.vocab, size=n).tolist(), fed[slot]) for slot, n in lengths.items()
        ]
        stepper.step(feeds)
        for slot, tokens, position in feeds:
            for at, token in enumerate(tokens, position):
                want = judge.step(caches[slot], token, at)
            assert np.array_equal(stepper.logits(slot), want)
            fed[slot] += len(tokens)
