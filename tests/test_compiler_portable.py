"""FINN's files as Verilator and slang read them."""

from pathlib import Path

import finn
import pytest

from edgellm.compiler import portable
from edgellm.errors import CompileError

pytestmark = pytest.mark.fpga
RTL = Path(str(next(iter(finn.__path__)))) / "finn-rtllib"
MEMSTREAM, ADD_MULTI = RTL / "memstream/hdl/memstream.sv", RTL / "mvu/add_multi.sv"
MVU, UNIT, FIFO = RTL / "mvu/mvu.sv", RTL / "mvu/mvu_vvu_axi.sv", RTL / "fifo/hdl/fifo.sv"


def test_offsets_of_a_memory_streamer_become_a_product() -> None:
    text = portable.text(MEMSTREAM.name, MEMSTREAM.read_text())
    assert "OFFSET_TABLE" not in text
    assert "addr_t'(sidx*DEPTH)" in text


def test_the_adder_tree_counts_its_leaves_outside_of_generate_blocks() -> None:
    original = ADD_MULTI.read_text()
    text = portable.text(ADD_MULTI.name, original)
    assert (
        text.index("function leaf_load_t")
        < text.index("genTrivial")
        < text.index("LEAF_LOAD = init_leaf_loads()")
    )
    assert sorted(text.split()) == sorted(original.split())


@pytest.mark.parametrize(
    ("path", "known", "changed"),
    [
        (MEMSTREAM, "foreach(res[i])", "foreach (res[i])"),
        (MEMSTREAM, "OFFSET_TABLE[sidx]", "OFFSET_TABLE[sidx + 0]"),
        (MEMSTREAM, "(* RAM_STYLE = RAM_STYLE *)", '(* RAM_STYLE = "block" *)'),
        (ADD_MULTI, "typedef int unsigned  leaf_load_t", "typedef int leaf_load_t"),
        (ADD_MULTI, "if(L < 1)", "if(L == 0)"),
        (UNIT, "OReg <= OBuf[", "OReg <= OBuf ["),
        (FIFO, "if(push)  A <=", "if(push) A <="),
        (MVU, "begin : blkRecoveryWatch", "begin : blkWatch"),
    ],
)
def test_another_finn_is_refused(path: Path, known: str, changed: str) -> None:
    assert known in path.read_text()
    with pytest.raises(
        CompileError, match=rf"{path.stem}\.sv of this FINN is not the one known here: install finn-plus"
    ):
        portable.text(path.name, path.read_text().replace(known, changed))


def test_the_watchdog_of_the_matrix_unit_goes() -> None:
    original = MVU.read_text()
    text = portable.text(MVU.name, original)
    assert "Dirty" in original
    assert "Dirty" not in text
    assert 300 < len(original) - len(text) < 500  # nothing but that block


def test_queues_become_shift_registers_with_taps() -> None:
    for path, array in ((UNIT, "OBuf"), (FIFO, " A[")):
        assert array in path.read_text()
        text = portable.text(path.name, path.read_text())
        assert array not in text
        assert text.count(f"{portable.TAPS} #(") == 1


def test_net_types_go_and_all_else_stays() -> None:
    assert (
        portable.text("any.sv", "module any;\n`default_nettype none\nendmodule\n")
        == "module any;\nendmodule\n"
    )
