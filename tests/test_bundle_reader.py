"""Opening bundles: what is checked, what is written, and what is never written."""

import contextlib
import errno
import json
import os
import shutil
from pathlib import Path

import bundles
import pytest
from bundles import contents, describe
from hypothesis import given
from hypothesis import strategies as st

import edgellm
from edgellm import bundle, cache, catalog, manifest
from edgellm.bundle import archive
from edgellm.errors import BundleCorrupt, BundleError, BundleUnsupported, ModelNotFound, UsageError


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return bundles.write_bundle(tmp_path_factory.mktemp("packed"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGELLM_PUBLIC_KEY", raising=False)


def rewritten(
    path: Path, members: dict[str, bytes], raw: bytes | None = None, order: list[str] | None = None
) -> Path:
    """A sound archive with these members, whose manifest is `raw` or true."""
    listed = order or sorted(members)
    with path.open("wb") as file:
        archive.write(file, [("bundle.json", raw or describe(members)), *((n, members[n]) for n in listed)])
    return path


def payload(packed: Path) -> dict[str, bytes]:
    members = contents(packed)
    del members["bundle.json"]
    return members


def refusal(path: Path, kind: type[BundleError] = BundleCorrupt) -> str:
    with pytest.raises(kind) as caught:
        bundle.open(path)
    return str(caught.value).removeprefix(f"{path}: ").removesuffix(": get the bundle again")


def test_opening_says_what_is_in_it(packed):
    with bundle.open(packed) as opened:
        about = opened.manifest
        assert (about.name, about.model.name, about.model.licence, about.target) == (
            "toy",
            "toy",
            "MIT",
            None,
        )
        assert list(about.members) == [
            "model/README.md",
            "model/manifest.json",
            "model/model.onnx",
            "model/tokenizer.json",
        ]
        assert (opened.signer, opened.trusted) == (None, False)


def test_unpacking_gives_the_files(packed, tmp_path):
    with bundle.open(packed) as opened:
        opened.unpack(tmp_path / "out")
    for name, data in contents(packed).items():
        assert (tmp_path / "out" / name).read_bytes() == data
    assert manifest.read(tmp_path / "out" / "model").name == "toy"
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_unpacking_replaces_nothing(packed, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        bundle.open(packed) as opened,
        pytest.raises(UsageError, match="out exists: name a folder that does not"),
    ):
        opened.unpack(tmp_path / "out")


def test_the_cache_is_filled_once(packed, monkeypatch):
    with bundle.open(packed) as opened:
        place = opened.cached()
        assert place.parent == cache.root() / "bundle"
        monkeypatch.setattr(bundle.Bundle, "extract", lambda *_: pytest.fail("unpacked again"))
        assert opened.cached() == place


def test_catalog_finds_models_in_bundles_and_designs(packed, tmp_path, monkeypatch):
    found = catalog.find(packed)
    assert (found / "model.onnx").read_bytes() == bundles.ONNX
    with bundle.open(packed) as opened:
        opened.unpack(tmp_path / "design")
    assert catalog.find(tmp_path / "design") == tmp_path / "design" / "model"
    assert catalog.design_around(tmp_path / "design" / "model") is None
    (tmp_path / "design" / "design.json").write_text("{}")
    assert catalog.design_around(tmp_path / "design" / "model") == (tmp_path / "design").resolve()
    monkeypatch.chdir(tmp_path / "design" / "model")
    assert catalog.design_around(Path()) == (tmp_path / "design").resolve()
    assert catalog.design_around(tmp_path / "design") is None


def test_bundles_can_be_named(packed, tmp_path, monkeypatch):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    shutil.copy(packed, shelf / "small.edgellm")
    monkeypatch.setenv("EDGELLM_MODELS", str(shelf))
    assert catalog.available()["small"] == shelf / "small.edgellm"
    assert manifest.read(catalog.find("small")).name == "toy"


def test_load_takes_a_bundle(tmp_path):
    from edgellm.bundle.pack import pack

    pack("home-260k", tmp_path / "home.edgellm")
    with edgellm.load(tmp_path / "home.edgellm", "golden") as llm:
        assert llm.generate("turn on the kitchen light", max_tokens=3).tokens
        assert llm.folder.is_relative_to(cache.root())


def test_what_is_no_bundle(tmp_path):
    with pytest.raises(ModelNotFound, match=r"no.edgellm: no such bundle: make one with `edgellm bundle`$"):
        bundle.open(tmp_path / "no.edgellm")
    with pytest.raises(ModelNotFound):
        bundle.open(tmp_path)
    os.mkfifo(tmp_path / "pipe.edgellm")
    with pytest.raises(ModelNotFound):
        bundle.open(tmp_path / "pipe.edgellm")
    (tmp_path / "empty.edgellm").write_bytes(b"")
    assert "0 bytes cannot be a bundle" in refusal(tmp_path / "empty.edgellm")


@pytest.mark.parametrize(
    ("found", "way"), [(2, "update edgellm"), (0, "run `edgellm bundle` on the design again")]
)
def test_other_formats(packed, tmp_path, found, way):
    members = payload(packed)
    path = rewritten(tmp_path / "x.edgellm", members, describe(members, format=found))
    assert refusal(path, BundleUnsupported) == f"bundle.json: format {found}; this edgellm reads 1: {way}"


@pytest.mark.parametrize(("found", "way"), [(99, "update edgellm"), (0, "export the model again")])
def test_other_numerics(packed, tmp_path, found, way):
    members = payload(packed)
    model = json.loads(describe(members))["model"] | {"numerics_version": found}
    path = rewritten(tmp_path / "x.edgellm", members, describe(members, model=model))
    assert refusal(path, BundleUnsupported) == (
        f"bundle.json: numerics version {found}; this edgellm reads 1 and 2: {way}"
    )


def test_a_member_that_is_not_what_the_manifest_says(packed, tmp_path):
    members = payload(packed)
    true = describe(members)
    changed = members | {"model/README.md": b"a TOY\n"}
    path = rewritten(tmp_path / "x.edgellm", changed, true)
    assert refusal(path) == "member model/README.md has another checksum than the manifest says"
    longer = members | {"model/README.md": b"a toy and more\n"}
    path = rewritten(tmp_path / "x.edgellm", longer, true)
    assert refusal(path) == "member model/README.md has 15 bytes instead of 6"


def test_members_missing_extra_and_out_of_order(packed, tmp_path):
    members = payload(packed)
    true, path = describe(members), tmp_path / "x.edgellm"
    fewer = {name: data for name, data in members.items() if name != "model/README.md"}
    assert refusal(rewritten(path, fewer, true)) == "member model/README.md is missing"
    more = members | {"model/zzz": b""}
    assert refusal(rewritten(path, more, true)) == "member model/zzz is not in the manifest"
    order = sorted(members, reverse=True)
    assert refusal(rewritten(path, members, true, order)) == "its members are out of order"
    with path.open("wb") as file:
        archive.write(file, [("model/model.onnx", b"")])
    assert refusal(path) == "member bundle.json is missing"


def test_the_model_is_the_one_described(packed, tmp_path):
    members = payload(packed)
    path = tmp_path / "x.edgellm"
    wrong = {**json.loads(describe(members))["model"], "sha256": "0" * 64}
    assert "is not the model that the manifest describes" in refusal(
        rewritten(path, members, describe(members, model=wrong))
    )
    del members["model/model.onnx"]
    assert "is not the model" in refusal(rewritten(path, members, describe(members)))


@given(data=st.data())
def test_whatever_is_altered_the_error_is_typed_and_nothing_is_written(packed, tmp_path_factory, data):
    """Any bit, any length, any slice moved: BundleError, and no file outside of what is thrown away."""
    raw = bytearray(packed.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "swap"]))
    place = data.draw(st.integers(0, len(raw) - 1))
    if kind == "flip":
        raw[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del raw[place : place + data.draw(st.integers(1, len(raw)))]
    elif kind == "insert":
        raw[place:place] = data.draw(st.binary(min_size=1, max_size=64))
    else:
        other = data.draw(st.integers(0, len(raw) - 1))
        raw[place], raw[other] = raw[other], raw[place]
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "x.edgellm"
    path.write_bytes(raw)
    if bytes(raw) == packed.read_bytes():
        bundle.open(path).close()
        return
    with pytest.raises(BundleError):
        catalog.find(path)
    assert os.listdir(folder) == ["x.edgellm"]
    assert not (cache.root() / "bundle").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    ("format",),
    ("name",),
    ("note",),
    ("model",),
    ("model", "sha256"),
    ("model", "numerics_version"),
    ("target",),
    ("target", "clock"),
    ("target", "clock", "mhz"),
    ("target", "blocks"),
    ("target", "bitstream"),
    ("provenance",),
    ("members",),
    ("members", "model/model.onnx"),
    ("members", "../evil"),
    ("unknown",),
]
TARGET = {
    "board": "aup-zu3",
    "part": "xczu3eg-sfvc784-2-e",
    "clock": {"source": "ps/pl_clk0", "mhz": 200.0},
    "slots": 8,
    "build": 1,
    "blocks": [],
    "registers": {},
    "bitstream": {"design": "d", "tool": "t", "part": "p", "date": "d", "time": "t"},
}


@given(field=st.sampled_from(FIELDS), value=JSON)
def test_manifests_of_any_content_are_understood_or_refused(packed, tmp_path_factory, field, value):
    members = payload(packed)
    top = json.loads(describe(members, target=TARGET))
    inner = top
    for key in field[:-1]:
        inner = inner[key]
    inner[field[-1]] = value
    path = tmp_path_factory.mktemp("fuzz") / "x.edgellm"
    rewritten(path, members, json.dumps(top).encode())
    with contextlib.suppress(BundleError):  # and no other
        bundle.open(path).close()


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"1" * 5000, b'{"format": true}']
)
def test_what_is_no_manifest(packed, tmp_path, raw):
    message = refusal(rewritten(tmp_path / "x.edgellm", payload(packed), raw or b" "))
    assert message.startswith("bundle.json: ")


def test_unknown_fields_are_refused(packed, tmp_path):
    members = payload(packed)
    path = rewritten(tmp_path / "x.edgellm", members, describe(members, run="rm -rf"))
    assert refusal(path) == "bundle.json: unknown field run"


def test_a_file_that_changes_between_check_and_unpacking(packed, tmp_path):
    """Every byte that is written was checked as it was written; what was damaged meanwhile leaves nothing."""
    path = Path(shutil.copy(packed, tmp_path / "x.edgellm"))
    with bundle.open(path) as opened:
        raw = path.read_bytes().replace(bundles.ONNX, bundles.ONNX.upper())
        with path.open("r+b") as file:
            file.write(raw)
        with pytest.raises(BundleCorrupt, match=r"member model/model.onnx is damaged: its CRC-32 differs"):
            opened.unpack(tmp_path / "out")
        with pytest.raises(BundleCorrupt):
            opened.cached()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == ["x.edgellm"]
    assert list((cache.root() / "bundle").iterdir()) == []


def test_what_is_written_has_the_checksum_of_the_manifest(packed, tmp_path, monkeypatch):
    """A CRC-32 is easily forged: here it always fits."""
    path = Path(shutil.copy(packed, tmp_path / "x.edgellm"))
    with bundle.open(path) as opened:
        path.write_bytes(path.read_bytes().replace(bundles.ONNX, bundles.ONNX.upper()))
        right = {member.size: member.crc for member in opened._archive.members.values()}
        monkeypatch.setattr(archive.zlib, "crc32", lambda chunk, crc=0: right[len(chunk)])
        with pytest.raises(BundleCorrupt, match=r"model\.onnx has another checksum than the manifest says"):
            opened.unpack(tmp_path / "out")


def test_a_full_disk_is_named_and_nothing_is_left(packed, tmp_path, monkeypatch):
    def full(self, name):
        raise OSError(errno.ENOSPC, "No space left on device")

    with bundle.open(packed) as opened:
        monkeypatch.setattr(bundle.Bundle, "_checked", full)
        with pytest.raises(BundleError) as caught:
            opened.unpack(tmp_path / "out")
        assert str(caught.value) == (
            f"{tmp_path}/out: the disk is too full for the bundle: free some, or name a folder elsewhere"
        )
        with pytest.raises(BundleError, match="or set EDGELLM_CACHE to a directory elsewhere"):
            opened.cached()
    assert [
        path.name for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != ".locks"
    ] == []


def test_other_troubles_of_the_disk_are_what_they_are(packed, tmp_path):
    (tmp_path / "file").write_text("")
    with bundle.open(packed) as opened, pytest.raises(FileExistsError):
        opened.unpack(tmp_path / "file" / "out")
