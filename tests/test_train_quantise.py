"""Calibration-only quantisation: where the float model comes from, what is written, and how good it is."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_run import finished_run

from edgellm import manifest
from edgellm.errors import TrainingError, UsageError
from edgellm.numerics import onnxfile
from edgellm.numerics.golden import GoldenModel
from edgellm.train import config, quality, recipe_text
from edgellm.train.bits import Bits
from edgellm.train.float_source import open_source
from edgellm.train.quantise import Quantiser, export

pytestmark = pytest.mark.train

NARROW = Bits(weight=4, head=5, activation=4, kv=4, embedding=6, overrides={"layers.0.down": 8, "qkv": 3})


@pytest.fixture(scope="module")
def run():
    return finished_run()


@pytest.fixture(scope="module")
def quantiser(run):
    source = open_source(run)
    return Quantiser(source, source.valid(12))


@pytest.fixture(scope="module")
def written(quantiser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow") / "model"
    model = quantiser.model(NARROW)
    export(model, NARROW, quantiser.source, folder)
    return model, folder


def test_the_source_is_the_student_of_a_run(run):
    source = open_source(run)
    assert (source.stage, source.folder) == (run / "student", run)
    same = open_source(run / "student", run.parent / "tiny.toml")
    assert (same.arch, same.about()["name"]) == (source.arch, "tiny")
    assert len(source.calibration(30)) == 30
    assert source.calibration(30) == source.calibration(30)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            "corpus",
            r"corpus: no float model there: give a folder of `edgellm distill` with prune or student in it$",
        ),
        ("qat", r"qat: already quantised: give its run's folder, where the float student is$"),
        ("checkpoint", r"checkpoint: already quantised: give its run's folder"),
    ],
)
def test_what_is_no_float_model(run, place, message):
    with pytest.raises(UsageError, match=message):
        open_source(run / place)


def test_a_lonely_checkpoint(run, tmp_path):
    shutil.copytree(run / "student", tmp_path / "student")
    with pytest.raises(
        UsageError, match=r"tokenizer\.json: missing: the float model must lie in the folder of its run"
    ):
        open_source(tmp_path)


def test_a_corpus_of_ones_own_needs_its_recipe(run, tmp_path):
    shutil.copytree(run / "student", tmp_path / "student")
    shutil.copyfile(run / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "valid.jsonl").write_text("")
    with pytest.raises(UsageError, match="how its prompts are framed is in the recipe: give --config RECIPE"):
        open_source(tmp_path).valid()


def test_a_recipe_of_another_shape(run, tmp_path):
    recipe = config.load(run.parent / "tiny.toml")
    text = recipe_text.bits_text(recipe.bits)
    assert "weight = 4" in text
    (tmp_path / "r.toml").write_text((run.parent / "tiny.toml").read_text())
    about = tmp_path / "old"
    shutil.copytree(run / "student", about)
    from safetensors.torch import load_file, save_file

    save_file(load_file(about / "weights.safetensors"), about / "weights.safetensors")
    fields = json.loads((about / "about.json").read_text())
    del fields["arch"]
    (about / "about.json").write_text(json.dumps(fields))
    with pytest.raises(TrainingError, match="does not tell its architecture: give --config RECIPE"):
        open_source(about)


def test_exact_is_what_greedy_decoding_gives(quantiser):
    from edgellm.data.tokenizer import END_ID
    from edgellm.train.evaluate import greedy

    model = quantiser.model(Bits(8, 8))
    found = quality.measure(model, quantiser.valid)
    answers = greedy(model, [ids[:prompt] for ids, prompt in quantiser.valid], 60)
    expected = [ids[prompt : ids.index(END_ID)] for ids, prompt in quantiser.valid]
    assert found.exact == np.mean([a == e for a, e in zip(answers, expected, strict=True)])
    assert 0 < found.loss < 10


def test_bytes_lose_next_to_nothing(quantiser):
    wide, before = quantiser.quality(Bits(8, 8)), quantiser.unquantised
    assert wide.loss == pytest.approx(before.loss, rel=0.02)


def test_narrower_loses_more(quantiser):
    losses = [quantiser.quality(Bits(bits, 8)).loss for bits in (8, 4, 2)]
    assert losses[0] < losses[1] < losses[2]


def test_the_model_folder(written, quantiser):
    _, folder = written
    described = manifest.read(folder)
    assert described.numerics_version == 2
    assert described.provenance["bits"]["overrides"] == {"layers.0.down": 8, "qkv": 3}
    model = onnxfile.load(folder / "model.onnx")
    assert model.widths == NARROW.widths
    assert [block.down.weight_bits for block in model.blocks] == [8, 4]
    assert {block.qkv.weight_bits for block in model.blocks} == {3}
    assert int(model.blocks[1].down.mult.max()) > 255 > int(model.blocks[1].gate_up.mult.max())
    assert not list(folder.glob(".quantise*"))


def test_the_integer_model_is_what_was_measured(written, quantiser):
    model, folder = written
    torch_quality, integer = (
        quality.measure(model, quantiser.valid),
        quality.measure_integer(folder, quantiser.valid),
    )
    assert integer.loss == pytest.approx(torch_quality.loss, rel=0.02)
    golden = GoldenModel(onnxfile.load(folder / "model.onnx"))
    same = total = 0
    for ids, _ in quantiser.valid[:5]:
        cache = golden.new_cache()
        whole = np.array([golden.step(cache, token, at) for at, token in enumerate(ids)])
        with torch.no_grad():
            trained = model(torch.tensor([ids]))[0].numpy() / model.scheme.logits
        assert np.abs(whole - trained).mean() < 0.02 * np.abs(whole).max()
        same += int((whole.argmax(1) == trained.argmax(1)).sum())
        total += len(ids)
    assert same >= 0.97 * total


def test_a_recipe_as_text_is_read_back(run, tmp_path):
    recipe = replace(
        config.load(run.parent / "tiny.toml"), bits=NARROW, description='with "quotes" and ünïcode'
    )
    recipe_text.write(recipe, tmp_path / "again.toml", "a remark")
    assert config.load(tmp_path / "again.toml") == recipe
    assert (tmp_path / "again.toml").read_text().startswith("# a remark\n")


def test_paths_in_a_recipe_stay_right(run, tmp_path):
    text = (run.parent / "tiny.toml").read_text()
    head, _, rest = text.partition("[corpus]\ntrain = 900\nvalid = 20\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "lines.jsonl").write_text("{}\n")
    own = '[corpus]\nkind = "jsonl"\ntrain = "../lines.jsonl"\n'
    (tmp_path / "a" / "own.toml").write_text(head + own + rest)
    recipe = config.load(tmp_path / "a" / "own.toml")
    (tmp_path / "b" / "c").mkdir(parents=True)
    recipe_text.write(recipe, tmp_path / "b" / "c" / "again.toml", "moved")
    again = config.load(tmp_path / "b" / "c" / "again.toml")
    assert again.corpus.train[0].resolve() == (tmp_path / "lines.jsonl").resolve()
