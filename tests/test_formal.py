"""Proofs of what carries tokens: nothing is lost, repeated or stuck in a run of any length; and the proofs see planted faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from prove import HW, prove

pytestmark = pytest.mark.synth

SOURCES = {
    "axis_register": ("axis_register",),
    "axis_fifo": ("axis_fifo",),
    "stream_fork": ("stream_fork",),
    "shift_taps": ("shift_taps",),
    "width_converter": ("width_converter",),
    "loop_control": ("loop_control", "axis_fifo", "axis_register"),
    "sequencer": ("sequencer", "axis_fifo", "axis_register"),
    "sequencer_cache": ("sequencer", "axis_fifo", "axis_register"),
}


def sources(name: str) -> list[Path]:
    return [HW / "rtl" / f"{module}.sv" for module in SOURCES[name]]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("axis_register", {}),
        ("axis_fifo", {"DEPTH": 1}),
        ("axis_fifo", {"DEPTH": 3}),
        ("axis_fifo", {"DEPTH": 4}),
        ("stream_fork", {"K": 1}),
        ("stream_fork", {"K": 3}),
        ("shift_taps", {"DEPTH": 1}),
        ("shift_taps", {"DEPTH": 5}),
        ("width_converter", {"IN_BITS": 3, "OUT_BITS": 1}),
        ("width_converter", {"IN_BITS": 4, "OUT_BITS": 2}),
        ("width_converter", {"IN_BITS": 2, "OUT_BITS": 2}),
        ("width_converter", {"IN_BITS": 1, "OUT_BITS": 3}),
        ("width_converter", {"IN_BITS": 2, "OUT_BITS": 8}),
        ("loop_control", {"LAYERS": 1, "TOKENS": 1, "BEATS": 2}),
        ("loop_control", {"LAYERS": 2, "TOKENS": 2, "BEATS": 1}),
        pytest.param("loop_control", {"LAYERS": 2, "TOKENS": 2, "BEATS": 2}, marks=pytest.mark.campaign),
        ("sequencer", {"SLOTS": 1}),
        ("sequencer", {"SLOTS": 2}),
        ("sequencer_cache", {"SLOTS": 2}),
    ],
)
def test_proved_for_every_run(name: str, parameters: dict[str, int], tmp_path: Path) -> None:
    verdict = prove(f"{name}_proof", sources(name), tmp_path, **parameters)
    assert verdict.proved, f"{verdict.broken} in cycle {verdict.cycle}"


# what is wrong: (proof that finds it, text of the module, what it is changed to, where the assertion is)
FAULTS = {
    "memory wraps late": ("axis_fifo", "AddressBits'(DEPTH - 1) ?", "AddressBits'(DEPTH) ?", "order_kept"),
    "memory overflows": ("axis_fifo", "stored != CountBits'(DEPTH)", "1'b1", "order_kept"),
    "spare overwritten": ("axis_register", "if (accept) spare", "spare", "order_kept"),
    "beat withdrawn": ("stream_fork", "accept ? '1 : still_pending", "accept ? '1 : '0", "order_kept"),
    "tap of another word": (
        "shift_taps",
        "assign q[i] = stages[tap];",
        "assign q[i] = stages[0];",
        "shift_taps_proof",
    ),
    "narrow beat dropped": (
        "width_converter",
        "CountBits'(K) - CountBits'(free)",
        "CountBits'(K - 1)",
        "width_converter_proof",
    ),
    "first narrow beat twice": (
        "width_converter",
        "free ? source >> Narrow",
        "0 ? source >> Narrow",
        "width_converter_proof",
    ),
    "too many tokens": ("loop_control", "in_flight != InFlightBits'(TOKENS)", "1'b1", "loop_control_proof"),
    "tag taken for nothing": (
        "loop_control",
        "may_start && !ring_tag_valid &&",
        "may_start &&",
        "loop_control_proof",
    ),
    "a layer skipped": (
        "loop_control",
        "block_tag.layer + 8'd1",
        "block_tag.layer + 8'd2",
        "loop_control_proof",
    ),
    "no answer": (
        "loop_control",
        "to_nowhere = finished && !wanted",
        "to_nowhere = finished",
        "loop_control_proof",
    ),
    "busy slot taken": ("sequencer", "|| busy[slot_index];", ";", "sequencer_proof"),
    "event without room": (
        "sequencer",
        "generated_valid && event_ready && (",
        "generated_valid && (",
        "sequencer_proof",
    ),
    "request without room": ("sequencer", "(token_ready && request_ready)", "token_ready", "sequencer_proof"),
    "feedback too small": ("sequencer", ".DEPTH(SLOTS > 1 ? SLOTS : 2)", ".DEPTH(1)", "sequencer_proof"),
    "position repeated": ("sequencer", "position + 16'd1", "position", "sequencer_proof"),
    "going on after the end": (
        "sequencer",
        "generated_taken && !ends;",
        "generated_taken;",
        "sequencer_proof",
    ),
    "waiting for commands": (
        "sequencer",
        "!generated_valid;",
        "!generated_valid && state == kHeader;",
        "sequencer_proof",
    ),
    "start behind the filled": (
        "sequencer_cache",
        "17'(position) > filled[slot_index];",
        "1'b0;",
        "sequencer_cache_proof",
    ),
    "copy of the unfilled": (
        *("sequencer_cache", "17'(words_left) > filled[source_index];", "1'b0;", "sequencer_cache_proof"),
    ),
    "lost positions kept": (
        *(
            "sequencer_cache",
            "if (accept) filled[slot_index] <=",
            "if (0) filled[slot_index] <=",
            "sequencer_cache_proof",
        ),
    ),
    "filled after reset": (
        "sequencer_cache",
        "filled <= '{default: '0};",
        "filled[0] <= '0;",
        "sequencer_cache_proof",
    ),
    "stuck in a rejection": (
        "sequencer_cache",
        "kReject: if (reject_taken)",
        "kReject: if (0)",
        "sequencer_cache_proof",
    ),
}
SMALL = {"loop_control": {"BEATS": 1}}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str, tmp_path: Path) -> None:
    name, known, changed, where = FAULTS[fault]
    first, *others = sources(name)
    text = first.read_text()
    assert text.count(known) == 1
    broken = tmp_path / first.name
    broken.write_text(text.replace(known, changed))
    verdict = prove(f"{name}_proof", [broken, *others], tmp_path, **SMALL.get(name, {}))
    assert verdict.broken is not None
    assert verdict.broken.startswith(f"{where}.sv:")
