"""Which design back end `sim` opens for a model folder."""

from dataclasses import replace
from pathlib import Path

import bundles
import pytest

from edgellm import manifest
from edgellm.errors import SimulationError
from edgellm.sim import device


@pytest.fixture(autouse=True)
def no_simulator(monkeypatch):
    """The design instead of its simulation."""
    monkeypatch.setattr(device, "SimulatedDevice", lambda design: design)


def test_the_design_around_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(device.cache, "fetch", lambda *_: pytest.fail("compiled again"))
    design = bundles.write_design(tmp_path / "design")
    assert device.open_device(design / "model") == design
    monkeypatch.chdir(design / "model")
    assert device.open_device(Path()) == design


def test_a_model_alone_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(device.cache, "fetch", lambda kind, key, build: tmp_path / kind)
    assert device.open_device(bundles.write_model(tmp_path / "model")) == tmp_path / "design" / "design"


def test_a_design_of_another_model(tmp_path):
    design = bundles.write_design(tmp_path / "design")
    model = design / "model"
    (model / "model.onnx").write_bytes(b"retrained")
    described = replace(
        manifest.parse((model / "manifest.json").read_bytes(), model),
        files={"model.onnx": manifest.describe(model / "model.onnx")},
    )
    manifest.write(model, described)
    with pytest.raises(
        SimulationError, match="compiled from another model than lies in it: compile the model again"
    ):
        device.open_device(model)
