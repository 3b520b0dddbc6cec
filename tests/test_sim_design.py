"""Reading a design folder."""

import json

import pytest

from edgellm.errors import SimulationError
from edgellm.sim import design

GOOD = {
    "format": 3,
    "model": {"name": "m", "sha256": "0"},
    "board": "aup-zu3",
    "part": "xczu3eg",
    "clock_mhz": 200.0,
    "slots": 4,
    "context": 256,
    "vocab": 512,
    "shown_beats": 257,
    "layers": 5,
    "top": "top",
    "sources": ["rtl/a.sv", "sim/mvu.sv", "top.sv"],
    "shell": {"module": "accelerator", "build": 7, "sources": ["rtl/host.sv", "accelerator.v"]},
    "folding": {},
    "back_edges": [],
    "probes": [
        {
            "id": 0, "node": "qkv", "op": "Requantise", "tensor": "qkv", "tap": "qkv", "lanes": 4,
            "bits": 8, "signed": True, "elements": 128, "order": None,
        }
    ],
    "cells": [{"module": "qkv_block", "row": "qkv"}],
}  # fmt: skip


def write(folder, content):
    (folder / design.FILE).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_design_is_read(tmp_path):
    read = design.load(write(tmp_path, GOOD))
    assert read.source_files() == [tmp_path / name for name in ("rtl/a.sv", "sim/mvu.sv", "top.sv")]
    assert read.source_files(finn_core=True) == [
        tmp_path / name for name in ("rtl/a.sv", "rtl/mvu.sv", "top.sv")
    ]
    assert (read.shell.module, read.shell.build) == ("accelerator", 7)
    assert read.shell_files() == [*read.source_files(), tmp_path / "rtl/host.sv", tmp_path / "accelerator.v"]
    assert read.shell_files(finn_core=True)[1] == tmp_path / "rtl/mvu.sv"
    assert read.probes[0].beats == 32
    assert (read.cells[0].module, read.cells[0].row) == ("qkv_block", "qkv")
    assert read.model_folder == tmp_path / "model"


def test_what_is_no_design_is_refused(tmp_path):
    with pytest.raises(
        SimulationError,
        match=r"no design\.json in it, so it is not a design: run `edgellm compile` to make one",
    ):
        design.load(tmp_path)
    with pytest.raises(SimulationError, match="format 2, this edgellm reads 3: compile the model again"):
        design.load(write(tmp_path, {**GOOD, "format": 2}))
    for broken in (
        "{",
        "[]",
        json.dumps({**GOOD, "probes": [{"id": 0}]}),
        json.dumps({**GOOD, "shell": {"build": 7}}),
        json.dumps({k: GOOD[k] for k in ("format", "probes")}),
    ):
        with pytest.raises(SimulationError, match=r"design\.json: damaged"):
            design.load(write(tmp_path, broken))
