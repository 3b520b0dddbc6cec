"""The way of one token: spans in order, shares that add up."""

import pytest
from fake_device import ARCH, PROMPT, FakeDevice

from edgellm.sim import picture, timeline
from edgellm.sim.timeline import Span, shares


def test_spans_are_those_of_one_token():
    spans = timeline.of_token(FakeDevice(), 1, len(PROMPT))
    assert sum(span.node == "qkv" for span in spans) == ARCH.layers
    assert sum(span.node == "embed" for span in spans) == 1
    assert not any(span.node == "logits" for span in spans)  # a prompt token that needs no logits
    assert [span.last for span in spans] == sorted(span.last for span in spans)


def test_a_token_with_logits_has_the_head():
    spans = timeline.of_token(FakeDevice(), len(PROMPT) - 1, len(PROMPT))
    assert {"final_norm", "logits", "argmax"} <= {span.node for span in spans}


def test_shares_add_up_to_the_latency():
    spans = [Span("a", None, 0, 9), Span("b", 0, 5, 20), Span("c", 0, 21, 26), Span("b", 1, 30, 41)]
    assert shares(spans) == {"b": 26, "c": 6}
    assert sum(shares(spans).values()) == spans[-1].last - spans[0].last


def test_output_cycles_are_from_first_to_last_beat():
    assert timeline.output_cycles(FakeDevice())["attn_norm"] == ARCH.width


@pytest.mark.fpga
def test_the_picture_is_a_png(tmp_path):
    picture.draw([Span("a", None, 0, 9), Span("b", 0, 5, 20)], "test", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
