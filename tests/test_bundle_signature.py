"""Signatures and keys."""

import json
import os
import stat
import subprocess
import sys

import bundles
import pytest

from edgellm import bundle, catalog
from edgellm.bundle import archive, signature
from edgellm.bundle.pack import Additions, pack
from edgellm.errors import BundleCorrupt, BundleUntrusted


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two pairs of keys, and the toy signed by the first."""
    folder = tmp_path_factory.mktemp("signed")
    for name in ("mine", "other"):
        signature.generate(folder / f"{name}.pem")
    plain = bundles.write_bundle(folder)
    pack(plain, folder / "signed.edgellm", Additions(key=folder / "mine.pem"))
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGELLM_PUBLIC_KEY", raising=False)


def distrust(path, key) -> str:
    with pytest.raises(BundleUntrusted) as caught:
        bundle.open(path, key)
    return str(caught.value)


def test_signed_bundles_are_trusted(place):
    with bundle.open(place / "signed.edgellm", place / "mine.pub.pem") as opened:
        assert opened.trusted
        signer = opened.signer
    with bundle.open(place / "signed.edgellm") as opened:
        assert (opened.signer, opened.trusted) == (signer, False)
    assert len(signer) == 64


def test_what_is_signed_is_as_documented(place):
    from cryptography.hazmat.primitives import serialization

    members = bundles.contents(place / "signed.edgellm")
    assert list(members)[:2] == ["bundle.json", "bundle.sig"]
    data = json.loads(members["bundle.sig"])
    key = serialization.load_pem_public_key((place / "mine.pub.pem").read_bytes())
    assert key.public_bytes_raw().hex() == data["key"]
    key.verify(bytes.fromhex(data["signature"]), b"edgellm bundle\0" + members["bundle.json"])


def test_signing_repeats_bit_for_bit(place, tmp_path):
    pack(place / "toy.edgellm", tmp_path / "again.edgellm", Additions(key=place / "mine.pem"))
    assert (tmp_path / "again.edgellm").read_bytes() == (place / "signed.edgellm").read_bytes()


def test_unsigned_and_wrong_keys(place):
    key = place / "mine.pub.pem"
    assert distrust(place / "toy.edgellm", key) == (
        f"{place}/toy.edgellm: not signed, and {key} is demanded: get a signed bundle"
    )
    assert "signed by " in distrust(place / "signed.edgellm", place / "other.pub.pem")
    assert "other.pub.pem" in distrust(place / "signed.edgellm", place / "other.pub.pem")


def forged(place, tmp_path, raw=None, signed=None):
    """A sound archive with another manifest or signature."""
    members = bundles.contents(place / "signed.edgellm")
    raw = raw or members.pop("bundle.json")
    members.pop("bundle.json", None)
    old = members.pop("bundle.sig")
    path = tmp_path / "forged.edgellm"
    with path.open("wb") as file:
        archive.write(file, [("bundle.json", raw), ("bundle.sig", signed or old), *sorted(members.items())])
    return path


def test_altered_manifest(place, tmp_path):
    members = bundles.contents(place / "signed.edgellm")
    raw = members["bundle.json"].replace(b'"note": ""', b'"note": "trust me"')
    path = forged(place, tmp_path, raw)
    bundle.open(path).close()
    assert distrust(path, place / "mine.pub.pem") == (
        f"{path}: the signature does not fit: bundle.sig or the manifest was altered"
    )


def test_altered_signature(place, tmp_path):
    members = bundles.contents(place / "signed.edgellm")
    data = json.loads(members["bundle.sig"])
    swapped = signature._render(data["key"], data["signature"][2:] + data["signature"][:2])
    assert "does not fit" in distrust(forged(place, tmp_path, signed=swapped), place / "mine.pub.pem")


@pytest.mark.parametrize("raw", [b"{}", b"", b"x" * 10, b'{"key": "00", "signature": "00"}', b"[1]"])
def test_what_is_no_signature(place, tmp_path, raw):
    with pytest.raises(BundleCorrupt, match=r"bundle\.sig"):
        bundle.open(forged(place, tmp_path, signed=raw or b" "))


def test_a_key_can_be_demanded_of_every_bundle(place, monkeypatch):
    monkeypatch.setenv("EDGELLM_PUBLIC_KEY", str(place / "mine.pub.pem"))
    catalog.find(place / "signed.edgellm")
    with pytest.raises(BundleUntrusted, match="not signed"):
        catalog.find(place / "toy.edgellm")
    monkeypatch.setenv("EDGELLM_PUBLIC_KEY", str(place / "gone.pem"))
    with pytest.raises(BundleUntrusted, match=r"gone\.pem: the key cannot be read: No such file"):
        catalog.find(place / "signed.edgellm")


def test_keys_are_secret_and_never_overwritten(tmp_path):
    public = signature.generate(tmp_path / "new" / "k.pem")
    assert public == tmp_path / "new" / "k.pub.pem"
    assert stat.S_IMODE((tmp_path / "new" / "k.pem").stat().st_mode) == 0o600
    assert (tmp_path / "new" / "k.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert public.read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----\n")
    before = public.read_bytes()
    with pytest.raises(
        BundleUntrusted, match=r"k\.pem exists, and keys are never overwritten: choose another name"
    ):
        signature.generate(tmp_path / "new" / "k.pem")
    (tmp_path / "new" / "k.pem").unlink()
    with pytest.raises(BundleUntrusted, match=r"k\.pub\.pem exists"):
        signature.generate(tmp_path / "new" / "k.pem")
    assert public.read_bytes() == before
    assert os.listdir(tmp_path / "new") == ["k.pub.pem"]


def test_a_key_is_not_written_through_a_link(tmp_path):
    (tmp_path / "k.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleUntrusted, match="exists"):
        signature.generate(tmp_path / "k.pem")


def test_the_wrong_files_for_keys(place, tmp_path):
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

    pem, pkcs8 = forms.Encoding.PEM, forms.PrivateFormat.PKCS8
    locked, other = tmp_path / "locked.pem", tmp_path / "ed448.pem"
    secret = forms.BestAvailableEncryption(b"x")
    locked.write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, secret))
    other.write_bytes(ed448.Ed448PrivateKey.generate().private_bytes(pem, pkcs8, forms.NoEncryption()))
    for key, message in (
        (locked, "not a private key in PEM without a pass phrase"),
        (place / "mine.pub.pem", "not a private key in PEM"),
        (other, "a key, but not of ed25519"),
        (tmp_path / "none.pem", "the key cannot be read"),
    ):
        with pytest.raises(BundleUntrusted, match=message):
            pack(place / "toy.edgellm", tmp_path / "out.edgellm", Additions(key=key))
    assert not (tmp_path / "out.edgellm").exists()
    assert "not a public key in PEM: give the file that ends in .pub.pem" in distrust(
        place / "signed.edgellm", place / "mine.pem"
    )


def test_without_cryptography_only_signatures_are_missing(place, tmp_path):
    """In a process that cannot import it: opening works, demanding a key does not."""
    code = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "cryptography" else find(name, *rest)
from pathlib import Path
from edgellm import bundle
from edgellm.errors import BackendUnavailable
with bundle.open(sys.argv[1]) as opened:
    print(opened.signer is not None)
try:
    bundle.open(sys.argv[1], Path(sys.argv[2]))
except BackendUnavailable as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(place / "signed.edgellm"), str(place / "mine.pub.pem")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "True\ncryptography is not installed, signatures need it: pip install 'edgellm[sign]'\n"
    )
