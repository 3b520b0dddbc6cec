"""Which files of hw/rtl a module needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgellm import resources
from edgellm.compiler import rtl_library
from edgellm.errors import CompileError


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    texts = {
        "top": "module top; middle #(.N(1)) a (); // leaf in a comment\nendmodule",
        "middle": "module middle; leaf b (); /* other\n too */ endmodule",
        "leaf": "module leaf; wire leaf_like; endmodule",
        "other": "module other; endmodule",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.sv").write_text(text)
    monkeypatch.setattr(resources, "rtl", lambda: tmp_path)
    rtl_library.closure.cache_clear()
    yield tmp_path
    rtl_library.closure.cache_clear()


def test_closure_has_what_is_instantiated_and_no_more(library: Path) -> None:
    assert [path.stem for path in rtl_library.closure("top")] == ["leaf", "middle", "top"]
    assert [path.stem for path in rtl_library.closure("leaf")] == ["leaf"]


def test_missing_module(library: Path) -> None:
    with pytest.raises(CompileError, match=r"module absent is missing: .* has no absent\.sv"):
        rtl_library.closure("absent")


def test_real_modules_come_complete() -> None:
    names = {path.stem for path in rtl_library.closure("causal_attention")}
    assert {"causal_attention", "kv_memory", "attention_scores"} <= names
    assert "sequencer" not in names
