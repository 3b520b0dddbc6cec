"""Back end xla on JAX's CPU device: bit for bit the golden model, rows of several slots and prompts in one step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import HOME, SMALL, TINY
from test_runtime_backends import answer, finish, golden_answer

from edgellm.errors import BackendFailed
from edgellm.export.graph import build_onnx
from edgellm.numerics import ops
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import LOGIT_STEP_KEY, Widths
from edgellm.numerics.random import extreme_model, random_model
from edgellm.numerics.sampling import Sampling
from edgellm.runtime import registry
from edgellm.runtime.backends import xla
from edgellm.runtime.backends.stepped import Feed, SteppedDevice
from edgellm.runtime.backends.xla import ROWS, XlaStepper
from edgellm.runtime.device import MODEL_FILE, Job
from edgellm.xla import decoder

pytestmark = pytest.mark.xla


class Judged:
    """A stepper beside golden models: every feed's logits must be the same."""

    def __init__(self, model, slots):
        self.stepper, self.golden = XlaStepper(model, slots), GoldenModel(model)
        self.caches, self.fed = [self.golden.new_cache() for _ in range(slots)], [0] * slots
        self.rng = np.random.default_rng(0)

    def feed(self, lengths):
        vocab = self.golden.arch.vocab
        feeds = [
            Feed(slot, self.rng.integers(vocab, size=count).tolist(), self.fed[slot])
            for slot, count in lengths.items()
        ]
        self.stepper.step(feeds)
        for slot, tokens, position in feeds:
            for at, token in enumerate(tokens, position):
                want = self.golden.step(self.caches[slot], token, at)
            assert np.array_equal(self.stepper.logits(slot), want), (slot, position)
            self.fed[slot] += len(tokens)


@pytest.mark.parametrize("name", SMALL)
def test_steps_of_several_slots_and_tokens(name):
    judged = Judged(random_model(SMALL[name], 3), 3)
    for lengths in ({1: 1}, {0: 3, 1: 1, 2: 2}, {2: 1, 0: 1}, {0: 1, 1: 4, 2: 1}):
        judged.feed(lengths)


@settings(max_examples=6)
@given(
    st.sampled_from([Widths(a, kv, glu=g) for a in (4, 8) for kv in (4, 8) for g in (4, 8)]),
    st.integers(2, 8),
    st.integers(4, 16),
    st.integers(0, 99),
)
def test_any_widths(widths, weight_bits, mult_bits, seed):
    judged = Judged(random_model(TINY, seed, weight_bits, mult_bits, widths), 2)
    judged.feed({0: 5})
    judged.feed({0: 1, 1: 3})


@pytest.mark.parametrize("variant", ["high", "low", "mixed"])
def test_extremes(variant):
    judged = Judged(extreme_model(TINY, 2, variant, 4, Widths()), 1)
    for _ in range(3):
        judged.feed({0: 2})


def test_norm_of_nothing_and_of_everything():
    """Where n is 2^24, and where it is smallest."""
    import jax

    sums = np.array([0, 1, 2, 3, 4, 255, 1 << 20, (1 << 24) - 1, 1 << 44, (1 << 44) - 1], np.int64)
    with jax.enable_x64(True):
        got = np.asarray(decoder._inverse_root(sums))
    assert got.tolist() == [ops.inverse_root(int(ss)) for ss in sums]


def test_a_whole_context():
    model = random_model(HOME, 3)
    device = SteppedDevice(XlaStepper(model, 1))
    assert answer(device, [1, 2, 3], 1000) == golden_answer(GoldenModel(model), [1, 2, 3], 1000)


def test_seeded_answers_beside_each_other():
    model = replace(random_model(TINY, 1), metadata={LOGIT_STEP_KEY: "0.00390625"})
    device, judge = SteppedDevice(XlaStepper(model, 2)), GoldenModel(model)
    prompts = [[4, 9], list(range(1, ROWS + 3))]
    how = Sampling.of(7, 2.0)
    for slot, prompt in enumerate(prompts):
        device.submit(slot, Job(prompt, 5, sampling=how))
    got = finish(device, 0, 1)
    for slot, prompt in enumerate(prompts):
        assert got[slot] == golden_answer(judge, prompt, 5, sampling=how)


def test_a_copied_prefix():
    judged = Judged(random_model(TINY, 1), 2)
    judged.feed({0: 6})
    judged.stepper.copy(0, 1, 4)
    for name in ("keys", "values"):
        cache = getattr(judged.caches[1], name)
        cache[:, :, :4] = getattr(judged.caches[0], name)[:, :, :4]
    judged.fed[1] = 4
    judged.feed({1: 3, 0: 1})


def test_through_the_registry(tmp_path):
    model = random_model(TINY, 1)
    (tmp_path / MODEL_FILE).write_bytes(build_onnx(model).SerializeToString())
    device = registry.get("xla").open(tmp_path)
    assert (device.name, device.traits.slots, device.arch) == ("xla", xla.SLOTS, TINY)
    assert answer(device, [5], 4) == golden_answer(GoldenModel(model), [5], 4)
    device.close()
    device.close()
    with pytest.raises(BackendFailed, match="is closed: open the model again"):
        answer(device, [5], 4)


def test_jax_keeps_its_own_types_outside():
    """64-bit integers are on inside a step only: a host program's JAX is left as it was."""
    import jax.numpy as jnp

    judged = Judged(random_model(TINY, 1), 1)
    judged.feed({0: 1})
    assert jnp.arange(3).dtype == jnp.int32
