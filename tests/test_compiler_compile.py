"""`compile_model`: a whole design folder, the same bytes each time, or an error and nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from compiled import design, random_folding, write_model
from qonnx.core.modelwrapper import ModelWrapper
from shapes import HOME, TINY

from edgellm import files
from edgellm.compiler import build
from edgellm.compiler.budget import Goal, Objective
from edgellm.compiler.compile import check, compile_model
from edgellm.compiler.folding import Folding
from edgellm.errors import BoardTooSmall, BoardUnknown, FoldingError, ModelNotFound, UsageError
from edgellm.numerics.random import random_model
from edgellm.sim import design as sim_design

pytestmark = pytest.mark.fpga

TAPS = (
    *("embed", "attn_norm", "qkv_acc", "qkv", "rope", "attention", "attn_out_acc", "attn_residual"),
    *("ffn_norm", "gate_up_acc", "gate_up", "glu", "down_acc", "ffn_residual"),
    *("final_norm", "head_acc", "logits", "sampler", "argmax"),
)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = design(TINY)
    compile_model(first.parent / "toy", "aup-zu3", tmp_path / "again")
    assert content(first) == content(tmp_path / "again")


def test_nothing_points_outside() -> None:
    folder = design(TINY)
    paths = re.compile(rb"/(?:tmp|home|work|usr|var|root)/|code_gen_ipgen")
    assert [name for name, data in content(folder).items() if paths.search(data)] == []
    memories = re.findall(r'"(mem/[^"]+)"', "".join(p.read_text() for p in (folder / "rtl").iterdir()))
    assert sorted(set(memories)) == sorted(f"mem/{p.name}" for p in (folder / "mem").iterdir())


def test_design_description() -> None:
    folder = design(TINY)
    described = json.loads((folder / "design.json").read_text())
    assert described["model"] == {"name": "toy", "sha256": files.sha256(folder / "model" / "model.onnx")}
    assert (described["board"], described["slots"], described["context"]) == ("aup-zu3", 8, TINY.context)
    assert described["back_edges"] == [["ffn_residual", "loop_back"], ["argmax", "token_back"]]
    assert described["sources"][-1] == "top.sv"
    assert all((folder / name).is_file() for name in described["sources"])
    synthesis = (folder / "files.f").read_text().split()
    assert sorted(n for n in synthesis if n not in described["sources"]) == [
        "rtl/fifo.sv",
        "rtl/mvu.sv",
    ]
    assert all((folder / name).is_file() for name in synthesis)


def test_the_shell_is_part_of_the_design() -> None:
    folder = design(TINY)
    described = sim_design.load(folder)
    assert described.shell.build == json.loads((folder / "registers.json").read_text())["build"]
    assert f"BUILD = 32'h{described.shell.build:08x}" in (folder / "accelerator.v").read_text()
    assert f'NAME="BUILD" VALUE="0x{described.shell.build:08X}"' in (folder / "accelerator.hwh").read_text()
    assert described.shell.sources[-2:] == ("rtl/host_interface.sv", "accelerator.v")
    assert not set(described.shell.sources) & set(described.sources)
    assert all(path.is_file() for path in described.shell_files())
    vocab, lanes = described.vocab, described.vocab // (described.shown_beats - 1)
    assert f".N({vocab}), .PE({lanes}), .SLOTS({described.slots})" in (folder / "accelerator.v").read_text()


def test_probes_cover_every_tap_in_pipeline_order() -> None:
    probes = json.loads((design(TINY) / "design.json").read_text())["probes"]
    assert tuple(p["tap"] for p in probes if p["tap"]) == TAPS
    assert [p["id"] for p in probes] == list(range(len(probes)))
    by_tensor = {p["tensor"]: p for p in probes}
    assert by_tensor["block_tag"]["node"] == "loop"
    assert by_tensor["gate_up"]["order"] == by_tensor["gate_up_acc"]["order"] == "interleaved"
    assert (by_tensor["glu"]["elements"], by_tensor["glu"]["bits"], by_tensor["glu"]["signed"]) == (
        TINY.ffn,
        8,
        True,
    )
    assert all(p["elements"] % p["lanes"] == 0 for p in probes)
    assert {"event", "final_tag"} <= set(by_tensor)


def test_graph_is_a_finn_graph() -> None:
    graph = ModelWrapper(str(design(TINY) / "finn.onnx"))
    matmuls = [node.name for node in graph.graph.node if node.op_type == "MVAU_rtl"]
    assert sorted(matmuls) == ["attn_out_acc", "down_acc", "gate_up_acc", "head_acc", "qkv_acc"]
    assert {node.op_type.endswith("_rtl") for node in graph.graph.node} == {True}


def test_report_names_every_node_and_adds_up() -> None:
    report = json.loads((design(TINY) / "report.json").read_text())
    rows = {row["node"]: row for row in report["nodes"]}
    assert set(TAPS) <= set(rows)
    for resource in ("lut", "ff", "dsp", "bram18", "uram"):
        assert report["totals"][resource] == sum(row[resource] for row in rows.values())
    assert rows["qkv_acc"]["folding"].keys() == {"PE", "SIMD"}
    factors = rows["qkv_acc"]["folding"]
    fold = TINY.width // factors["SIMD"] * (TINY.qkv_width // factors["PE"])
    assert rows["qkv_acc"]["expected_cycles"] == fold
    assert all(row["measured_cycles"] is None and row["source"] for row in rows.values())


def test_quiet_but_for_progress(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    compile_model(design(TINY).parent / "toy", "aup-zu3", tmp_path / "out")
    out, err = capfd.readouterr()
    assert out == ""
    assert "Input FIFO" not in err
    assert "Compiling for aup-zu3" in err


def test_errors_come_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "build", None)  # not reached
    model = write_model(random_model(TINY, 1), tmp_path / "toy")
    wrong = Folding({**random_folding(TINY, 1).nodes, "qkv": {"PE": 7}})
    with pytest.raises(FoldingError, match=r"qkv: PE 7 does not fold its dimension 32"):
        compile_model(model, "aup-zu3", tmp_path / "out", wrong)
    with pytest.raises(BoardUnknown):
        compile_model(model, "no-such-board", tmp_path / "out")
    with pytest.raises(ModelNotFound, match=r"nowhere: no model\.onnx in it, so it is not a model folder"):
        compile_model(tmp_path / "nowhere", "aup-zu3", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy"]


def test_a_stopped_build_leaves_the_old_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(random_model(TINY, 1), tmp_path / "toy")
    out = tmp_path / "out"
    out.mkdir()
    (out / "design.json").write_text("old")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "build", stop)
    with pytest.raises(KeyboardInterrupt):
        compile_model(model, "aup-zu3", out)
    assert content(tmp_path) == {
        "out/design.json": b"old",
        "toy/model.onnx": (model / "model.onnx").read_bytes(),
    }


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noticed at once, not when everything is built."""
    monkeypatch.setattr(build, "build", None)  # not reached
    model = write_model(random_model(TINY, 1), tmp_path / "toy")
    with pytest.raises(UsageError) as error:
        compile_model(model, "no-such-board", model)
    assert str(error.value) == f"{model} is neither empty nor a design of edgellm: name another folder"
    assert [path.name for path in model.iterdir()] == ["model.onnx"]


def test_an_older_design_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "design.json").write_text("old")
    (out / "report.html").write_text("of the old one")
    compile_model(design(TINY).parent / "toy", "aup-zu3", out)
    assert content(out) == content(design(TINY))


def test_check_names_the_model_after_its_folder(tmp_path: Path) -> None:
    request = check(write_model(random_model(TINY, 1), tmp_path / "toy"), "kv260", random_folding(TINY, 2))
    assert (request.name, request.board.name, request.slots) == ("toy", "kv260", 8)
    assert (request.explanation.proved, request.explanation.steps) == (None, ())


def test_goal_of_a_compilation(tmp_path: Path) -> None:
    model = write_model(random_model(TINY, 1), tmp_path / "toy")
    request = check(model, "kv260", random_folding(TINY, 2), Goal(Objective.LATENCY, 3, 123))
    assert (request.slots, request.board.clock_mhz) == (3, 123)
    assert (request.explanation.slots, request.explanation.objective) == (3, Objective.LATENCY)
    searched = check(model, "aup-zu3", None, Goal(Objective.LATENCY, 3, 123))
    assert (searched.slots, searched.explanation.proved) == (3, True)
    with pytest.raises(BoardTooSmall, match=r"home needs .* at this folding and 16 slots, pynq-z2 has"):
        check(
            write_model(random_model(HOME, 1), tmp_path / "home"),
            "pynq-z2",
            random_folding(HOME, 2),
            Goal(slots=16),
        )


def test_the_folding_is_kept_to_be_edited(tmp_path: Path) -> None:
    folder = design(TINY)
    kept = Folding.load(folder / "folding.json")
    assert kept.to_dict() == json.loads((folder / "design.json").read_text())["folding"]
    again = check(folder.parent / "toy", "aup-zu3", kept)
    found = json.loads((folder / "report.json").read_text())["search"]
    assert (again.explanation.single, again.explanation.saturated) == (found["single"], found["saturated"])
    assert "the best folding for throughput" in (folder / "report.txt").read_text()
