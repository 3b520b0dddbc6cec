"""Spans of several slots: the block's tags say whose vector each one is."""

from __future__ import annotations

from recorded import Recorded

from edgellm.sim import spans
from edgellm.sim.spans import Pass, Span


def test_passes_are_read_from_the_tags() -> None:
    trips = [Pass(3, 200, 1, True), Pass(0, 7, 0, False)]
    assert spans.passes(Recorded(trips)) == trips


def test_nodes_of_the_block_see_every_pass() -> None:
    trips = [Pass(0, 4, 0, False), Pass(1, 9, 0, True), Pass(0, 4, 1, False), Pass(1, 9, 1, True)]
    found = spans.recorded(Recorded(trips))
    block = [(s.slot, s.position, s.layer) for s in found if s.node == "qkv_acc"]
    assert block == [(0, 4, 0), (1, 9, 0), (0, 4, 1), (1, 9, 1)]


def test_the_embedding_sees_a_token_once_and_the_head_those_with_logits() -> None:
    trips = [Pass(0, 4, 0, False), Pass(0, 4, 1, False), Pass(1, 9, 0, True), Pass(1, 9, 1, True)]
    found = spans.recorded(Recorded(trips))
    assert [(s.slot, s.layer) for s in found if s.node == "embed"] == [(0, None), (1, None)]
    for node in ("final_norm", "argmax"):
        assert [(s.slot, s.position, s.layer) for s in found if s.node == node] == [(1, 9, None)]


def test_a_span_lasts_from_the_first_to_the_last_beat() -> None:
    found = spans.recorded(Recorded([Pass(2, 5, 0, False)]))
    assert found[0] == Span("embed", 2, 5, None, 0, 3)
    assert found[1] == Span("qkv_acc", 2, 5, 0, 20, 23)


def test_spans_come_in_the_order_of_their_first_beats() -> None:
    found = spans.recorded(Recorded([Pass(0, p, layer, True) for p in range(3) for layer in range(2)]))
    assert [s.first for s in found] == sorted(s.first for s in found)


def test_a_pass_that_has_not_left_a_node_has_no_span_there() -> None:
    device = Recorded([Pass(0, p, 0, False) for p in range(4)])
    device.unfinished["qkv_acc"] = 1
    assert [s.position for s in spans.recorded(device) if s.node == "qkv_acc"] == [0, 1, 2]
