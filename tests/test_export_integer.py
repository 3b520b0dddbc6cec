"""From a checkpoint to a model folder, with a QONNX exporter that writes a file made by hand."""

import json
import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest
from shapes import TINY
from test_export_from_qonnx import File

from edgellm import manifest
from edgellm.errors import ExportError
from edgellm.export.integer import export_model, write_folder
from edgellm.numerics import onnxfile
from edgellm.numerics.random import random_model
from edgellm.runtime import scoring
from edgellm.runtime.backends import cpu, golden, native
from edgellm.runtime.engine import Engine

pytestmark = pytest.mark.cpu

MODEL = random_model(TINY, seed=8)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    exporter = ModuleType("edgellm.export.qonnx")
    exporter.export_qonnx = lambda folder, path: File(MODEL).write(path)
    monkeypatch.setitem(sys.modules, "edgellm.export.qonnx", exporter)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"id": 2, "content": "</s>"}]}))
    (folder / "metrics.json").write_text('{"intent": 98.2}')
    (folder / "student.safetensors").write_bytes(b"weights")
    return folder


def test_a_model_folder(checkpoint, tmp_path):
    out = tmp_path / "home"
    model = export_model(checkpoint, out)
    names = ["README.md", "manifest.json", "model.onnx", "model.qonnx.onnx", "tokenizer.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert np.array_equal(model.embedding, MODEL.embedding)
    assert np.array_equal(onnxfile.load(out / "model.onnx").head.weight, MODEL.head.weight)
    described = manifest.read(out)
    assert (described.name, described.stop_ids, described.licence) == ("home", (2,), "Apache-2.0")
    assert described.description == "2 layers, width 16, vocabulary 40, context 24"
    assert described.metrics == {"intent": 98.2}
    assert sorted(described.files) == names[2:]
    assert list(described.provenance["checkpoint"]) == ["student.safetensors"]


def test_back_ends_run_it(checkpoint, tmp_path):
    export_model(checkpoint, tmp_path / "home")
    answers = []
    for backend in (cpu, golden, native):
        engine = Engine([partial(backend.open_device, tmp_path / "home")])
        answers += scoring.answers(engine, [[1, 2]], 15, frozenset())
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 15


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint, tmp_path):
    for name in "ab":
        export_model(checkpoint, tmp_path / name, name="same", description="a test")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_other_files_stay_and_old_ones_are_replaced(checkpoint, tmp_path):
    out = tmp_path / "home"
    out.mkdir()
    (out / "notes.txt").write_text("kept")
    (out / "model.onnx").write_text("old")
    export_model(checkpoint, out)
    assert (out / "notes.txt").read_text() == "kept"
    manifest.read(out)


def test_a_failed_export_leaves_the_old_model(checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "home"
    export_model(checkpoint, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def broken(folder, path):
        raise ExportError("no")

    monkeypatch.setattr(sys.modules["edgellm.export.qonnx"], "export_qonnx", broken)
    with pytest.raises(ExportError):
        export_model(checkpoint, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_checkpoint_describes_itself(checkpoint, tmp_path):
    about = {"name": "own", "description": "of its own", "seed": 3, "tokens": {"qat": 9}, "other": 1}
    (checkpoint / "about.json").write_text(json.dumps(about))
    export_model(checkpoint, tmp_path / "home")
    described = manifest.read(tmp_path / "home")
    assert (described.name, described.description) == ("own", "of its own")
    assert {k: v for k, v in described.provenance.items() if k not in ("edgellm", "checkpoint")} == {
        "seed": 3,
        "tokens": {"qat": 9},
    }


def test_a_model_of_an_own_corpus_knows_its_framing_and_licence(checkpoint, tmp_path):
    framing = {"template": "<s>{prompt}", "normalise": ["strip_spaces"]}
    (checkpoint / "about.json").write_text(json.dumps({"prompt": framing, "licence": "CC0-1.0"}))
    export_model(checkpoint, tmp_path / "own")
    described = manifest.read(tmp_path / "own")
    assert described.prompt == manifest.Prompt("<s>{prompt}", ("strip_spaces",))
    assert described.licence == "CC0-1.0"
    (checkpoint / "about.json").write_text('{"prompt": "<s>{prompt}"}')
    with pytest.raises(
        ExportError, match=r"about.json: prompt must hold template and normalise, and licence be there"
    ):
        export_model(checkpoint, tmp_path / "own")


def test_metrics_beside_the_checkpoint(checkpoint, tmp_path):
    (checkpoint / "metrics.json").rename(checkpoint.parent / "metrics.json")
    export_model(checkpoint, tmp_path / "home")
    assert manifest.read(tmp_path / "home").metrics == {"intent": 98.2}


def test_a_checkpoint_without_metrics(checkpoint, tmp_path):
    (checkpoint / "metrics.json").unlink()
    export_model(checkpoint, tmp_path / "home")
    assert manifest.read(tmp_path / "home").metrics == {}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", None, "{path}: not found; a checkpoint folder holds its tokenizer"),
        ("tokenizer.json", "{", "tokenizer.json: no added token '</s>', so answers would not end"),
        ("tokenizer.json", '{"added_tokens": []}', "tokenizer.json: no added token '</s>', so answers would"),
        ("metrics.json", "{", "{path}: not valid JSON"),
        ("metrics.json", "[]", "{path}: must hold a JSON object"),
    ],
)
def test_a_damaged_checkpoint(checkpoint, tmp_path, name, content, message):
    path = checkpoint / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(ExportError) as caught:
        export_model(checkpoint, tmp_path / "home")
    assert message.format(path=path) in str(caught.value)


def test_write_folder_makes_a_model_of_any_integer_model(checkpoint, tmp_path):
    out = tmp_path / "random"
    out.mkdir()
    (out / "tokenizer.json").write_bytes((checkpoint / "tokenizer.json").read_bytes())
    write_folder(out, MODEL, "random", provenance={"seed": 8})
    described = manifest.read(out)
    assert sorted(described.files) == ["model.onnx", "tokenizer.json"]
    assert described.provenance["seed"] == 8
