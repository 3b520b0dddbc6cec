"""manifest.json: round trip, checksums, and a message for everything that can be wrong with it."""

import json

import pytest

from edgellm import manifest
from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from edgellm.manifest import FileEntry, Manifest, Prompt


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"weights")
    described = Manifest(
        name="home",
        description="Smart home commands → intents",
        files={"model.onnx": manifest.describe(tmp_path / "model.onnx")},
        stop_ids=(2,),
        arch={"vocab": 512, "context": 256},
        metrics={"intent": 0.98},
        licence="Apache-2.0",
        provenance={"seed": 1},
    )
    manifest.write(tmp_path, described)
    return tmp_path, described


def edit(path, change):
    data = json.loads((path / "manifest.json").read_text())
    change(data)
    (path / "manifest.json").write_text(json.dumps(data))


def refused(path, error, message):
    with pytest.raises(error) as caught:
        manifest.read(path)
    assert str(caught.value) == message


def test_round_trip(folder):
    path, described = folder
    assert manifest.read(path) == described
    assert described.context == 256


def test_defaults():
    described = Manifest("n", "d", {}, (), {"context": 1})
    assert described.prompt == Prompt("<s> {prompt}\t", ("lowercase", "strip_punctuation", "collapse_spaces"))
    assert (described.format, described.numerics_version) == (1, 1)


def test_the_file_is_readable_json(folder):
    path, _ = folder
    data = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    assert data["files"]["model.onnx"]["size"] == 7
    assert data["prompt"]["template"] == "<s> {prompt}\t"
    assert "→" in (path / "manifest.json").read_text(encoding="utf-8")


def test_describe(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest.describe(tmp_path / "a") == FileEntry(digest, 3)


def test_no_manifest(tmp_path):
    refused(tmp_path, ModelNotFound, f"{tmp_path}: no manifest.json in it, so it is not a model folder")
    refused(
        tmp_path / "x", ModelNotFound, f"{tmp_path}/x: no manifest.json in it, so it is not a model folder"
    )


def test_a_changed_file(folder):
    path, _ = folder
    (path / "model.onnx").write_bytes(b"Weights")
    again = "export or download the model again"
    refused(path, ModelCorrupt, f"{path}/model.onnx: checksum differs from the manifest's: {again}")
    (path / "model.onnx").write_bytes(b"weight")
    refused(path, ModelCorrupt, f"{path}/model.onnx: 6 bytes instead of 7: {again}")
    (path / "model.onnx").unlink()
    refused(
        path, ModelCorrupt, f"{path}/model.onnx: the manifest names this file and it cannot be read: {again}"
    )


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", "a/b", "", ".", "..", "c:x", "a\\b", "a\0b"]
)
def test_a_file_outside_the_folder_is_refused(folder, name):
    path, _ = folder
    edit(path, lambda m: m["files"].update({name: m["files"].pop("model.onnx")}))
    refused(
        path,
        ModelCorrupt,
        f"{path}/manifest.json: file name {name!r} is not a plain name inside the model folder",
    )


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_not_json(folder, raw):
    path, _ = folder
    (path / "manifest.json").write_bytes(raw)
    refused(path, ModelCorrupt, f"{path}/manifest.json: not valid JSON: export or download the model again")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda m: m.pop("name"), "name must be a string"),
        (lambda m: m.update(description=3), "description must be a string"),
        (lambda m: m.update(files=[]), "files must be an object"),
        (lambda m: m.update(files={"a": 1}), "files.a.sha256 must be a string"),
        (lambda m: m["files"]["model.onnx"].update(size="7"), "files.model.onnx.size must be an integer"),
        (lambda m: m.update(stop_ids=["2"]), "stop_ids must hold an integer only"),
        (lambda m: m.update(prompt="x"), "prompt must be an object"),
        (lambda m: m["prompt"].pop("template"), "prompt.template must be a string"),
        (lambda m: m["prompt"].update(normalise=[1]), "prompt.normalise must hold a string only"),
        (lambda m: m["arch"].pop("context"), "arch.context must be an integer"),
        (lambda m: m["arch"].update(vocab=1.5), "arch.vocab must be an integer"),
        (lambda m: m.update(format=None), "format must be an integer"),
    ],
)
def test_a_wrong_field_is_named(folder, change, field):
    path, _ = folder
    edit(path, change)
    refused(path, ModelCorrupt, f"{path}/manifest.json: field {field}")


@pytest.mark.parametrize(("key", "known"), [("format", "1"), ("numerics_version", "1 and 2")])
def test_a_newer_model_asks_for_an_update(folder, key, known):
    path, _ = folder
    edit(path, lambda m: m.update({key: 3}))
    message = f"{path}/manifest.json: {key} is 3; this edgellm reads {known}: update edgellm"
    refused(path, ModelUnsupported, message)


def test_the_version_of_the_contract_is_kept(folder):
    path, _ = folder
    assert manifest.read(path).numerics_version == 1
    edit(path, lambda m: m.update(numerics_version=2))
    assert manifest.read(path).numerics_version == 2


def test_not_an_object(folder):
    path, _ = folder
    (path / "manifest.json").write_text("[1]")
    refused(path, ModelCorrupt, f"{path}/manifest.json: field format must be an integer")
