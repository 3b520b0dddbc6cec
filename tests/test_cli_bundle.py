"""`edgellm bundle`, `unbundle`, `keygen` as a user types them."""

import json
import stat

import bundles
import pytest

from edgellm import bundle
from edgellm.cli.main import main


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGELLM_PUBLIC_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


def output(capsys, *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def failure(capsys, *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.removeprefix("edgellm: error: ").rstrip()


def test_a_design_with_its_bitstream(tmp_path, capsys):
    bundles.write_design(tmp_path / "zu3")
    (tmp_path / "x.bit").write_bytes(bundles.bit())
    (tmp_path / "x.hwh").write_text(bundles.hwh_text())
    command = (
        "bundle",
        "zu3",
        "--bitstream",
        "x.bit",
        "--hwh",
        "x.hwh",
        "-o",
        "toy.edgellm",
        "--note",
        "first",
    )
    assert output(capsys, *command).startswith("wrote toy.edgellm: toy-aup-zu3, 14 files, ")
    page = output(capsys, "unbundle", "toy.edgellm").splitlines()
    assert page[:9] == [
        "bundle     toy-aup-zu3",
        "model      toy, numerics version 1, MIT",
        "board      aup-zu3 (xczu3eg-sfvc784-2-e), 8 slots, build 0xC0FFEE01",
        "clock      200 MHz, source: clk_wiz_0/clk_out1",
        "blocks     edgellm:edgellm:accelerator:1.0, xilinx.com:ip:zynq_ultra_ps_e:3.5",
        "bitstream  system_wrapper for xczu3eg-sfvc784-2-e, Vivado 2025.2, 2026/03/01 12:34:56",
        "note       first",
        "made with  edgellm 0.1.0",
        "signature  none",
    ]
    assert page[-1] == "every checksum is right"
    assert any(line.startswith("accelerator.bit ") for line in page)


def test_unpacking(tmp_path, capsys):
    bundles.write_bundle(tmp_path)
    assert output(capsys, "unbundle", "toy.edgellm", "-o", "out") == "wrote out: 4 files of toy\n"
    assert (tmp_path / "out" / "model" / "model.onnx").read_bytes() == bundles.ONNX
    assert (
        failure(capsys, "unbundle", "toy.edgellm", "-o", "out") == "out exists: name a folder that does not"
    )


@pytest.mark.parametrize("name", ["notes.txt", "zu3", "x.bit"])
def test_what_is_no_bundle_is_not_replaced(tmp_path, capsys, name):
    bundles.write_design(tmp_path / "zu3")
    (tmp_path / "notes.txt").write_text("precious")
    (tmp_path / "x.bit").write_bytes(bundles.bit())
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*"))
    assert failure(capsys, "bundle", "zu3", "-o", name) == (
        f"{name} exists and is no bundle (X.edgellm): name a file that does not exist"
    )
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*")) == before


def test_an_earlier_bundle_is_replaced(tmp_path, capsys):
    bundles.write_design(tmp_path / "zu3")
    (tmp_path / "toy.edgellm").write_bytes(b"damaged")
    assert output(capsys, "bundle", "zu3", "-o", "toy.edgellm").startswith("wrote toy.edgellm: ")
    assert "toy" in output(capsys, "unbundle", "toy.edgellm")
    (tmp_path / "folder.edgellm").mkdir()
    assert failure(capsys, "bundle", "zu3", "-o", "folder.edgellm").startswith(
        "folder.edgellm exists and is no bundle"
    )


def test_signing(tmp_path, capsys):
    bundles.write_bundle(tmp_path)
    assert output(capsys, "keygen", "key.pem") == (
        "wrote key.pem, which signs and stays secret, and key.pub.pem, which goes where bundles are opened\n"
    )
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert "exists, and keys are never overwritten" in failure(capsys, "keygen", "key.pem")
    output(capsys, "bundle", "toy.edgellm", "--sign", "key.pem", "-o", "signed.edgellm")
    assert ", not verified: give --key" in output(capsys, "unbundle", "signed.edgellm")
    assert ", verified" in output(capsys, "unbundle", "signed.edgellm", "--key", "key.pub.pem")
    assert "not signed, and key.pub.pem is demanded" in failure(
        capsys, "unbundle", "toy.edgellm", "--key", "key.pub.pem"
    )


def test_json(tmp_path, capsys):
    bundles.write_bundle(tmp_path)
    about = json.loads(output(capsys, "unbundle", "toy.edgellm", "--json"))
    assert (about["name"], about["target"], about["signer"], about["trusted"]) == ("toy", None, None, False)
    with bundle.open("toy.edgellm") as opened:
        assert about["digest"] == opened.digest


def test_a_strangers_text_does_nothing_to_the_terminal(tmp_path, capsys):
    bundles.write_bundle(tmp_path)
    output(capsys, "bundle", "toy", "-o", "x.edgellm", "--note", "\x1b[2Jgone\n")
    assert "note       ?[2Jgone?\n" in output(capsys, "unbundle", "x.edgellm")


def test_damaged_bundles_are_listed_as_such(tmp_path, capsys, monkeypatch):
    path = bundles.write_bundle(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[200] ^= 1
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "bad.edgellm").write_bytes(raw)
    (tmp_path / "shelf" / "good.edgellm").write_bytes(path.read_bytes())
    monkeypatch.setenv("EDGELLM_MODELS", str(tmp_path / "shelf"))
    rows = {row["name"]: row for row in json.loads(output(capsys, "models", "--json"))}
    assert rows["good"]["state"] == "ok"
    assert rows["bad"]["state"] == "damaged"
    assert "member bundle.json is damaged" in rows["bad"]["description"]
    assert "is damaged" in failure(capsys, "generate", "bad", "-p", "hello")


def test_what_cannot_be_bundled(capsys, tmp_path):
    assert "no such folder and no model of that name" in failure(
        capsys, "bundle", "nowhere", "-o", "x.edgellm"
    )
    assert "no such bundle" in failure(capsys, "unbundle", "nowhere.edgellm")
    assert list(tmp_path.iterdir()) == []
