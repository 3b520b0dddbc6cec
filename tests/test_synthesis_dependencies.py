"""Which files a module needs."""

import pytest

from edgellm.errors import CompileError
from edgellm.synthesis.dependencies import Library

FILES = {
    "rtl/types_pkg.sv": "package types_pkg; endpackage\n",
    "rtl/leaf.sv": 'module leaf; import types_pkg::*; initial $readmemh("mem/leaf.dat", m); endmodule\n',
    "rtl/middle.sv": "module middle; leaf a(); // lonely is not used\nendmodule\n",
    "rtl/lonely.sv": "module automatic lonely; /* leaf */ endmodule\n",
    "top.sv": "module top; middle m(); lonely l(); endmodule\n",
}


@pytest.fixture
def library(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Library(tmp_path, list(FILES))


def test_a_module_needs_what_it_names_and_no_more(library):
    assert library.closure("middle") == ["rtl/types_pkg.sv", "rtl/leaf.sv", "rtl/middle.sv"]
    assert library.closure("lonely") == ["rtl/lonely.sv"]
    assert library.closure("top") == list(FILES)


def test_memories_of_what_is_needed(library):
    assert library.memories(library.closure("top")) == ["mem/leaf.dat"]
    assert library.memories(library.closure("lonely")) == []


def test_modules_that_name_each_other_end(tmp_path):
    (tmp_path / "a.sv").write_text("module a; b x(); endmodule")
    (tmp_path / "b.sv").write_text("module b; a x(); endmodule")
    assert Library(tmp_path, ["a.sv", "b.sv"]).closure("a") == ["a.sv", "b.sv"]


def test_what_is_not_there_is_named(library, tmp_path):
    with pytest.raises(CompileError, match="no source defines module missing: compile the model again"):
        library.closure("missing")
    with pytest.raises(CompileError, match=r"gone\.sv: No such file or directory: compile the model again"):
        Library(tmp_path, ["gone.sv"])
