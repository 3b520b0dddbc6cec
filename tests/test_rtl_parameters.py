"""A parameter that the RTL cannot be built with is refused at elaboration, with module, name, value and limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl_modules import simulation

from edgellm.errors import SimulationError

pytestmark = pytest.mark.sim


@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [
        ("axis_register", {"W": 0}, "axis_register: W=0, must be at least 1"),
        ("axis_fifo", {"DEPTH": 0}, "axis_fifo: DEPTH=0, must be at least 1"),
        ("embedding", {"N": 64, "PE": 5}, "embedding: PE=5 does not divide N=64"),
        ("embedding", {"VOCAB": 65536}, "embedding: VOCAB=65536, must be 1..65535"),
        ("embedding", {"EMBED_SHIFT": 9}, "embedding: EMBED_SHIFT=9, must be 0..8: results are int16"),
        ("embedding", {"BITS": 1}, "embedding: BITS=1, must be 2..8"),
        (
            "width_converter",
            {"IN_BITS": 24, "OUT_BITS": 16},
            "width_converter: IN_BITS=24, OUT_BITS=16, one must divide the other",
        ),
        ("argmax", {"N": 10, "PE": 4}, "argmax: PE=4 does not divide N=10"),
        ("ternary_mvu", {"WEIGHT_WIDTH": 4}, "ternary_mvu: WEIGHT_WIDTH=4, NARROW_WEIGHTS=1; needs 2 and 1"),
        ("loop_control", {"LAYERS": 257}, "loop_control: LAYERS=257, must be 1..256"),
        ("loop_control", {"TOKENS": 0}, "loop_control: TOKENS=0, must be at least 1"),
        ("sequencer", {"SLOTS": 257}, "sequencer: SLOTS=257, must be 1..16"),
        ("sequencer", {"CONTEXT": 65537}, "sequencer: CONTEXT=65537, must be 1..65536"),
        ("sequencer", {"VOCAB": 65536}, "sequencer: VOCAB=65536, must be 1..65535 (0xFFFF means no stop id)"),
        (
            "causal_attention",
            {"HEADS": 3, "KV_HEADS": 2},
            "causal_attention: HEADS=3 must be a multiple of KV_HEADS=2",
        ),
        ("causal_attention", {"KV_BITS": 1}, "causal_attention: KV_BITS=1 and OUT_BITS=8, must be 2..8"),
        ("causal_attention", {"PT": 3}, "causal_attention: PT=3, must be a power of two"),
        ("causal_attention", {"OM": 3}, "attention_scale: OM=3 does not divide HEAD_DIM=16"),
        ("causal_attention", {"SCORE_MULT": 65536}, "attention_exp: SCORE_MULT=65536, must be 1..65535"),
        ("causal_attention", {"SCORE_SHIFT": 41}, "attention_exp: SCORE_SHIFT=41, must be 0..40"),
    ],
)
def test_refused(module: str, parameters: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SimulationError) as refusal:
        simulation(module, tmp_path, **parameters)
    assert message in str(refusal.value)
