"""Making bundles: the same bytes for the same input, everything of a design, and nothing that does not belong to it."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import bundles
import pytest
import toy

from edgellm import bundle, catalog, manifest
from edgellm.bundle import archive
from edgellm.bundle.manifest import Bitstream, Clock
from edgellm.bundle.pack import Additions, pack
from edgellm.errors import (
    BundleCorrupt,
    BundleError,
    BundleMismatch,
    ModelCorrupt,
    SimulationError,
    UsageError,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGELLM_PUBLIC_KEY", raising=False)


@pytest.fixture
def design(tmp_path) -> Path:
    return bundles.write_design(tmp_path / "design")


@pytest.fixture
def vivado(tmp_path) -> Additions:
    """What Vivado left."""
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "x.bit").write_bytes(bundles.bit())
    (tmp_path / "v" / "x.hwh").write_text(bundles.hwh_text())
    return Additions(tmp_path / "v" / "x.bit", tmp_path / "v" / "x.hwh")


def test_what_a_bundle_of_a_design_says_and_holds(design, tmp_path):
    about = pack(design, tmp_path / "x.edgellm")
    target = about.target
    assert about.name == "toy-aup-zu3"
    assert (target.board, target.part, target.slots, target.build) == (
        "aup-zu3",
        bundles.PART,
        8,
        bundles.BUILD,
    )
    assert (target.clock, target.bitstream) == (Clock("assumed", 200.0), None)
    assert target.registers == {"bytes": 256}
    assert about.provenance["design"] == {"edgellm": "0.1.0"}
    members = bundles.contents(tmp_path / "x.edgellm")
    there = {str(p.relative_to(design)) for p in design.rglob("*") if p.is_file()} - {"finn.log"}
    assert set(members) == there | {"bundle.json"}
    for name in there:
        assert members[name] == (design / name).read_bytes()
    with bundle.open(tmp_path / "x.edgellm") as opened:
        assert opened.manifest == about


def test_same_input_same_bytes(design, tmp_path):
    """Other times, modes and order on disk, another place: nothing of it is in the bundle."""
    pack(design, tmp_path / "a.edgellm")
    moved = shutil.copytree(design, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for path in sorted(moved.rglob("*"), reverse=True):
        os.utime(path, (time.time() - 1e6, 1e6))
        path.chmod(0o700)
    pack(moved, tmp_path / "b.edgellm")
    assert (tmp_path / "a.edgellm").read_bytes() == (tmp_path / "b.edgellm").read_bytes()


def test_unpacked_and_packed_again(design, vivado, tmp_path):
    additions = Additions(vivado.bitstream, vivado.handoff, note="first light")
    pack(design, tmp_path / "a.edgellm", additions)
    with bundle.open(tmp_path / "a.edgellm") as opened:
        opened.unpack(tmp_path / "out")
    pack(tmp_path / "out", tmp_path / "b.edgellm")
    pack(tmp_path / "a.edgellm", tmp_path / "c.edgellm")
    first = (tmp_path / "a.edgellm").read_bytes()
    assert first == (tmp_path / "b.edgellm").read_bytes() == (tmp_path / "c.edgellm").read_bytes()
    assert pack(tmp_path / "out", tmp_path / "d.edgellm", Additions(note="")).note == ""


def test_vivados_result_replaces_the_handoff(design, vivado, tmp_path):
    about = pack(design, tmp_path / "x.edgellm", vivado)
    assert about.target.clock == Clock("clk_wiz_0/clk_out1", 200.0)
    assert about.target.bitstream == Bitstream(
        "system_wrapper", "Vivado 2025.2", bundles.PART, "2026/03/01", "12:34:56"
    )
    members = bundles.contents(tmp_path / "x.edgellm")
    assert members["accelerator.bit"] == vivado.bitstream.read_bytes()
    assert members["accelerator.hwh"] == vivado.handoff.read_bytes()


def test_the_handoff_lies_beside_the_bitstream(design, vivado, tmp_path):
    assert pack(design, tmp_path / "x.edgellm", Additions(vivado.bitstream)).target.bitstream
    vivado.handoff.unlink()
    with pytest.raises(UsageError, match=r"x\.hwh: no such file: give --bitstream X\.bit and --hwh X\.hwh"):
        pack(design, tmp_path / "y.edgellm", Additions(vivado.bitstream))


def test_vivados_reports_come_along(design, vivado, tmp_path):
    vivado.bitstream.with_name("timing.rpt").write_text("met\n")
    vivado.bitstream.with_name("other.rpt").write_text("")
    pack(design, tmp_path / "x.edgellm", vivado)
    pack(tmp_path / "x.edgellm", tmp_path / "y.edgellm")
    assert bundles.contents(tmp_path / "x.edgellm")["vivado/timing.rpt"] == b"met\n"
    assert (tmp_path / "x.edgellm").read_bytes() == (tmp_path / "y.edgellm").read_bytes()


def test_the_stand_in_of_a_simulated_board_is_no_bitstream(design, tmp_path):
    stand_in = bundles.bit(name="edgellm_simulated_board;not a bitstream")
    (design / "accelerator.bit").write_bytes(stand_in)
    assert pack(design, tmp_path / "x.edgellm").target.bitstream is None
    assert "accelerator.bit" not in bundles.contents(tmp_path / "x.edgellm")
    with pytest.raises(BundleMismatch, match="is of a simulated board: give the bitstream that Vivado made"):
        pack(design, tmp_path / "x.edgellm", Additions(design / "accelerator.bit"))


def test_additions_that_cannot_be_meant(design, vivado, tmp_path):
    with pytest.raises(UsageError, match="--hwh describes a bitstream: give it with --bitstream"):
        pack(design, tmp_path / "x.edgellm", Additions(handoff=vivado.handoff))
    with pytest.raises(UsageError, match=r"is a model without a design.*run `edgellm compile` first"):
        pack(bundles.write_model(tmp_path / "m"), tmp_path / "x.edgellm", vivado)


def test_what_does_not_belong_together_leaves_no_bundle(design, vivado, tmp_path):
    out = tmp_path / "out" / "x.edgellm"
    vivado.bitstream.write_bytes(bundles.bit(part="7z020clg400"))
    with pytest.raises(BundleMismatch, match="is for 7z020clg400, the design"):
        pack(design, out, vivado)
    vivado.bitstream.write_bytes(bundles.bit()[:-5])
    with pytest.raises(BundleCorrupt, match="bytes of configuration instead of"):
        pack(design, out, vivado)
    vivado.bitstream.write_bytes(bundles.bit())
    vivado.handoff.write_text(bundles.hwh_text(mhz=100))
    with pytest.raises(BundleMismatch, match="100 MHz, the design"):
        pack(design, out, vivado)
    (design / "accelerator.bit").write_bytes(bundles.bit())
    (design / "accelerator.hwh").unlink()
    with pytest.raises(BundleMismatch, match=r"accelerator\.bit has no \.hwh"):
        pack(design, out)
    assert not out.exists()


def test_another_model_than_the_design_was_made_for(design, tmp_path):
    (design / "model" / "model.onnx").write_bytes(b"retrained")
    with pytest.raises(ModelCorrupt, match="bytes instead of"):
        pack(design, tmp_path / "x.edgellm")
    described = manifest.parse((design / "model" / "manifest.json").read_bytes(), design)
    files = {name: manifest.describe(design / "model" / name) for name in described.files}
    manifest.write(design / "model", replace(described, files=files))
    with pytest.raises(
        BundleMismatch, match=r"the design around it was made for .*: compile the model again"
    ):
        pack(design, tmp_path / "x.edgellm")


def test_damaged_designs(design, tmp_path):
    out = tmp_path / "x.edgellm"
    (design / "rtl" / "block.sv").unlink()
    with pytest.raises(BundleError, match=r"rtl/block\.sv: the design needs this file and it is not there"):
        pack(design, out)
    (design / "rtl" / "block.sv").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match=r"rtl/block\.sv is a link, and a bundle holds files alone"):
        pack(design, out)
    (design / "rtl" / "block.sv").unlink()
    (design / "rtl" / "block.sv").write_text("")
    (design / "rtl" / "my block.sv").write_text("")
    with pytest.raises(BundleError, match=r"'rtl/my block\.sv' cannot be the name of a member"):
        pack(design, out)
    (design / "rtl" / "my block.sv").unlink()
    (design / "registers.json").write_text("{")
    with pytest.raises(BundleCorrupt, match=r"registers\.json: not valid JSON: compile the model again"):
        pack(design, out)
    (design / "design.json").write_text("{}")
    with pytest.raises(SimulationError, match="damaged"):
        pack(design, out)
    assert not out.exists()


def test_a_model_without_onnx(tmp_path):
    with pytest.raises(BundleError, match=r"names no model\.onnx: export the model again"):
        pack(toy.write_model(tmp_path / "toy"), tmp_path / "x.edgellm")


def test_a_file_that_changes_while_it_is_packed(design, tmp_path, monkeypatch):
    """What is written is opened and checked again before it gets its name."""
    write = archive.write

    def late(file, contents):
        (design / "top.sv").write_text("TOP.SV\n")
        write(file, contents)

    monkeypatch.setattr(archive, "write", late)
    with pytest.raises(BundleCorrupt, match=r"member top\.sv has another checksum than the manifest says"):
        pack(design, tmp_path / "out" / "x.edgellm")
    assert os.listdir(tmp_path / "out") == []


def test_an_old_bundle_survives_a_failure(design, tmp_path):
    out = tmp_path / "x.edgellm"
    pack(design, out)
    before = out.read_bytes()
    (design / "registers.json").unlink()
    with pytest.raises(BundleError):
        pack(design, out)
    assert out.read_bytes() == before


def test_the_design_is_found_again(design, tmp_path):
    pack(design, tmp_path / "x.edgellm")
    around = catalog.design_around(catalog.find(tmp_path / "x.edgellm"))
    assert json.loads((around / "design.json").read_text())["board"] == "aup-zu3"
