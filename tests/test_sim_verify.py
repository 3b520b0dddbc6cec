"""Verification against a device that plays back the golden model: what is broken is found at its place."""

import pytest
from fake_device import ARCH, LIMIT, PROMPT, FakeDevice

from edgellm.errors import Deviation, SimulationError
from edgellm.sim.verify import verify


@pytest.fixture
def device():
    return FakeDevice()


def judge(device):
    return verify(device, device.golden, PROMPT, LIMIT, ())


def test_a_right_device_passes_and_everything_was_compared(device):
    done = judge(device)
    fed = len(PROMPT) + len(device.run.tokens) - 1
    per_token = 1 + 9 * ARCH.layers
    assert done.vectors == per_token * fed + 5 * (fed - len(PROMPT) + 1)
    assert done.values == sum(s.size for name, s in device.streams.items() if name != "loop")
    assert (done.tokens, done.nodes) == (device.run.tokens, 15)


@pytest.mark.parametrize(
    "node", ["embed", "qkv", "attention", "gate_up", "ffn_residual", "final_norm", "logits", "sampler"]
)
def test_a_wrong_value_is_named(device, node):
    device.streams[node][1, 2] += 1
    with pytest.raises(Deviation) as found:
        judge(device)
    assert found.value.node == node
    assert found.value.got == found.value.expected + 1


def test_channels_are_the_contract_s_not_the_wire_s(device):
    device.streams["gate_up"][0, 3] += 1  # g0,u0,g1,u1: the up half's second channel
    with pytest.raises(Deviation) as found:
        judge(device)
    assert found.value.channel == ARCH.ffn + 1
    assert str(found.value).startswith(f"node gate_up, token 0, layer 0, channel {ARCH.ffn + 1}: expected ")


def test_the_earliest_token_comes_first_whatever_the_order_of_passes(device):
    device.streams["attn_norm"][3, 0] += 1  # token 2, layer 0
    device.streams["glu"][2, 1] += 1  # token 0, layer 1: later in the pipeline, earlier in the text
    with pytest.raises(Deviation) as found:
        judge(device)
    assert (found.value.node, found.value.token, found.value.layer) == ("glu", 0, 1)


def test_within_a_token_the_head_comes_after_every_layer(device):
    last = len(device.streams["logits"]) - 1
    device.streams["logits"][last, 0] += 1
    device.streams["rope"][-1, 0] += 1
    with pytest.raises(Deviation) as found:
        judge(device)
    assert found.value.node == "rope"


def test_a_missing_vector_is_named(device):
    device.streams["glu"] = device.streams["glu"][:-1]
    with pytest.raises(SimulationError, match=r"node glu gave no vector for token \d+, layer 1"):
        judge(device)


def test_right_streams_but_wrong_events(device):
    device.events[0] = device.events[0].__class__(1 + device.events[0].token, 0, None, 0)
    with pytest.raises(SimulationError, match="every stream equals the golden model, but the events do not"):
        judge(device)
