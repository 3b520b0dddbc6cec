"""Which width converter a design gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiled import design
from shapes import SHARED_KV

from edgellm.compiler import converters


@pytest.mark.parametrize(("a", "b", "divides"), [(8, 64, True), (64, 8, True), (5, 5, True), (24, 16, False)])
def test_whole_factors(a: int, b: int, divides: bool) -> None:
    assert converters.divides(a, b) == divides


def test_the_wrapper_pads_to_bytes() -> None:
    texts = converters.files("some_dwc", 90, 18)
    assert sorted(texts) == ["some_dwc.v", "width_converter.sv"]
    wrapper = texts["some_dwc.v"]
    assert "[95:0] in0_V_TDATA" in wrapper
    assert "[23:0] out0_V_TDATA" in wrapper
    assert ".IN_BITS (90)" in wrapper
    assert ".OUT_BITS(18)" in wrapper


@pytest.mark.fpga
def test_finns_own_where_no_width_divides_the_other() -> None:
    """An odd folding has both kinds; each brings its own files."""
    rtl = design(SHARED_KV, 2, 5) / "rtl"
    wrappers = {path.name: path.read_text() for path in Path(rtl).glob("*_dwc.v")}
    own = {name for name, text in wrappers.items() if "width_converter #(" in text}
    finns = {name for name, text in wrappers.items() if "dwc_axi #(" in text}
    assert own
    assert finns
    assert own | finns == set(wrappers)
    assert (rtl / "width_converter.sv").is_file()
    assert (rtl / "vpc.sv").is_file()
