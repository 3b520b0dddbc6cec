"""Teachers from disk: a folder and a GGUF file of the same weights agree; what is not a sound Llama is named."""

import shutil

import pytest
import tiny_llama
import torch
from safetensors.torch import load_file, save_file

from edgellm import files
from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported, TrainingError
from edgellm.train.teachers import load_teacher

pytestmark = pytest.mark.train

TEXT = "turn on the light"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tiny_llama.save_folder(tmp_path_factory.mktemp("teacher") / "tiny")
    return folder, tiny_llama.save_gguf(folder, folder.parent / "tiny.gguf")


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "tiny")


def logits(teacher):
    with torch.inference_mode():
        return teacher.model(torch.tensor([teacher.encode(TEXT)])).logits


def test_folder(made):
    teacher = load_teacher(made[0])
    ids = teacher.encode(TEXT)
    assert len(ids) == len(TEXT) - 1  # one merge
    assert teacher.decode(ids) == TEXT
    assert teacher.sha256 == files.sha256(made[0] / "model.safetensors")
    assert not teacher.model.training
    assert {parameter.dtype for parameter in teacher.model.parameters()} == {torch.float32}


def test_gguf_is_the_same_model(made):
    folder, gguf = map(load_teacher, made)
    assert gguf.name == "tiny.gguf"
    assert gguf.encode(TEXT) == folder.encode(TEXT)
    assert gguf.decode(gguf.encode(TEXT)) == TEXT
    assert torch.allclose(logits(gguf), logits(folder), atol=1e-5)
    assert gguf.tokenizer.apply_chat_template([{"content": "hi"}], tokenize=False) == "hi"
    assert gguf.tokenizer.eos_token == tiny_llama.END


def test_several_weight_files_have_one_digest(folder):
    tensors = load_file(folder / "model.safetensors")
    one = load_teacher(folder).sha256
    save_file({"extra": torch.zeros(1)}, folder / "second.safetensors", metadata={"format": "pt"})
    assert load_teacher(folder).sha256 != one
    assert len(tensors) > 10


def test_nothing_there(tmp_path):
    with pytest.raises(
        ModelNotFound, match=r"gone: no such teacher: give a Hugging Face folder or a .gguf file$"
    ):
        load_teacher(tmp_path / "gone")
    with pytest.raises(ModelNotFound, match=r"no config.json in it, so it is not a Hugging Face folder$"):
        load_teacher(tmp_path)


def test_another_architecture(folder):
    tiny_llama.edit_config(folder, model_type="gpt2")
    with pytest.raises(
        ModelUnsupported, match=r"config.json: model_type is 'gpt2', a teacher must be 'llama'$"
    ):
        load_teacher(folder)


def test_code_in_the_folder_is_refused(folder):
    tiny_llama.edit_config(folder, auto_map={"AutoModel": "own.Model"})
    with pytest.raises(ModelUnsupported, match=r"auto_map asks to run code from the folder: remove it$"):
        load_teacher(folder)


@pytest.mark.parametrize("value", [None, 0, "16", True, 2.5])
def test_a_wrong_size_is_named(folder, value):
    tiny_llama.edit_config(folder, hidden_size=value)
    with pytest.raises(
        ModelCorrupt, match=rf"config.json: hidden_size must be a positive integer, not {value!r}$"
    ):
        load_teacher(folder)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_config_that_is_no_object(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelCorrupt, match=r"config.json: (not JSON|a list instead of an object)"):
        load_teacher(folder)


def test_pickled_weights_are_never_read(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"not even looked at")
    with pytest.raises(ModelUnsupported) as caught:
        load_teacher(folder)
    assert str(caught.value) == (
        f"{folder}: no .safetensors weights (pytorch_model.bin is pickled and never read): save the model as safetensors"
    )


def test_missing_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelCorrupt, match=r"tokenizer.json is missing: save the tokenizer in this folder$"):
        load_teacher(folder)


def test_truncated_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelCorrupt, match=r"tiny: cannot be read \(.*\): download it again$"):
        load_teacher(folder)


def test_a_missing_tensor_is_named(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(
        ModelCorrupt,
        match=r"1 tensors are missing, model.layers.1.mlp.up_proj.weight first: download it again$",
    ):
        load_teacher(folder)


def test_a_tensor_of_another_shape(folder):
    tiny_llama.edit_config(folder, intermediate_size=48)
    with pytest.raises(ModelCorrupt, match=r"tiny: cannot be read \(.*\): download it again$"):
        load_teacher(folder)


def test_gguf_of_another_architecture(made, tmp_path):
    path = tiny_llama.save_gguf(made[0], tmp_path / "other.gguf", "gpt2")
    with pytest.raises(
        ModelUnsupported, match=r"other.gguf: general.architecture is 'gpt2', a teacher must be 'llama'$"
    ):
        load_teacher(path)


def test_gguf_with_a_wrong_size(made, tmp_path):
    path = tiny_llama.save_gguf(made[0], tmp_path / "odd.gguf", block_count=0)
    with pytest.raises(ModelCorrupt, match=r"odd.gguf: llama.block_count must be a positive integer, not 0$"):
        load_teacher(path)


@pytest.mark.parametrize("keep", [0, 3, 100, 4000, -50])
def test_truncated_gguf(made, tmp_path, keep):
    path = tmp_path / "cut.gguf"
    path.write_bytes(made[1].read_bytes()[:keep])
    with pytest.raises(ModelCorrupt, match=r"cut.gguf: not a sound GGUF file \(.*\): download it again$"):
        load_teacher(path)


def test_a_file_that_is_no_gguf(tmp_path):
    path = tmp_path / "text.gguf"
    path.write_text("hello " * 1000)
    with pytest.raises(ModelCorrupt, match=r"text.gguf: not a sound GGUF file"):
        load_teacher(path)


def test_without_the_package(made, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(TrainingError, match=r"a GGUF teacher needs the package gguf: pip install"):
        load_teacher(made[1])
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(TrainingError, match=r"a teacher needs the package transformers: pip install"):
        load_teacher(made[0])
