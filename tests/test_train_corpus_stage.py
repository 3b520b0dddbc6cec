"""The corpus stage: both kinds of corpus leave what the other stages read, once."""

import json
import random

import pytest

from edgellm.data import corpus as home
from edgellm.data import tokenizer as bpe
from edgellm.errors import TrainingError
from edgellm.train import config, corpus_stage
from edgellm.train.batches import balance

pytestmark = pytest.mark.train

RECIPE = """
name = "own"
description = "for tests"
seed = 3
least_per_intent = 3
{corpus}
{teacher}
[teacher_plan]
tokens = 1000
{student}
[student_plan]
tokens = 1000
[qat_plan]
tokens = 1000
"""
SHAPE = "vocab = 270\nwidth = 16\nlayers = 1\nheads = 2\nkv_heads = 1\nhead_dim = 8\nffn = 16\ncontext = 64"


@pytest.fixture
def recipe(tmp_path):
    def load(table):
        path = tmp_path / "r.toml"
        shapes = {role: f"[{role}]\n{SHAPE}" for role in ("teacher", "student")}
        path.write_text(RECIPE.format(corpus=f"[corpus]\n{table}", **shapes))
        return config.load(path)

    return load


@pytest.fixture
def own(recipe, tmp_path):
    rows = [{"prompt": f"What is {n}?", "completion": f"{n} is a number"} for n in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return recipe('kind = "jsonl"\ntrain = "a.jsonl"\nvalid_share = 0.2\nlicence = "CC0-1.0"')


def test_own_corpus(own, tmp_path):
    folder = tmp_path / "run"
    corpus_stage.make(own, folder)
    assert {path.name for path in folder.iterdir()} == {"corpus", "tokenizer.json"}
    train, valid = (corpus_stage.examples(own, folder, split) for split in ("train", "valid"))
    assert len(train) + len(valid) == 40
    library = bpe.load_tokenizer(folder / "tokenizer.json")
    ids, prompt = valid[0]
    assert library.decode(ids[1:prompt]).strip().startswith("What is")
    assert library.decode(ids[prompt:]).endswith("is a number")
    assert corpus_stage.about(own) == {
        "prompt": {"template": "<s> {prompt}\t", "normalise": ("strip_spaces",)},
        "licence": "CC0-1.0",
    }


def test_made_once(own, tmp_path):
    folder = tmp_path / "run"
    corpus_stage.make(own, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (tmp_path / "a.jsonl").write_text("changed since")
    corpus_stage.make(own, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        TrainingError, match=r"tokenizer.json: missing, though .*corpus is there: remove that to make both"
    ):
        corpus_stage.make(own, folder)


def test_a_refused_corpus_leaves_nothing(own, tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    with pytest.raises(TrainingError, match=r"a.jsonl:1: field prompt is missing"):
        corpus_stage.make(own, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_home_corpus_is_encoded_as_ever(recipe, tmp_path):
    rows = [("turn on the light", "HassTurnOn domain= light", "Done")] * 4 + [("stop", "HassStop", "Stopped")]
    folder = tmp_path / "run" / "corpus"
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    settings = recipe("train = 5")
    bpe.train_on_texts(
        [" turn on the light"], ["HassTurnOn", "HassStop", " domain="], 270, tmp_path / "run/tokenizer.json"
    )
    repeated = balance(home.read_split(folder, "train"), 3, random.Random(3))
    expected = bpe.encode_rows(bpe.load_tokenizer(tmp_path / "run/tokenizer.json"), repeated)
    assert list(corpus_stage.examples(settings, tmp_path / "run", "train")) == expected
    assert len(expected) == 7
    assert corpus_stage.about(settings) == {}


def test_before_the_stage(own, tmp_path):
    with pytest.raises(TrainingError, match=r"tokenizer.json: not a readable tokenizer"):
        corpus_stage.examples(own, tmp_path, "train")
